//! A flow that is made to run, and its output.

use std::fmt;
use std::sync::Arc;

use llmspell::pattern::pipeline::Stages;
use llmspell::{BoxStep, Context, Error, Limit, Pipeline, Result, Step, StepInfo, step};
use serde_json::{Map, Value};

use super::builder::Builder;
use super::memo::Memo;
use super::policy::Tunable;
use super::redacted::Scrubbed;
use super::scope::Scope;
use super::secrets::Secrets;
use crate::ir;
use crate::ir::fields::Inputs;
use crate::ir::step::OUTPUT;
use crate::template::Template;

/// A flow that is made to run.
pub struct Compiled {
    inputs: Inputs,
    secrets: Arc<Secrets>,
    /// The secrets as templates see them.
    view: minijinja::Value,
    steps: BoxStep<Scope, Value>,
    /// What can be changed while the flow runs, by the paths of the steps within the flow.
    tunables: Vec<(Arc<str>, Tunable)>,
}

impl Compiled {
    /// Makes a flow of checked steps; `fields` are those of its records and of its output.
    pub(crate) fn new(
        name: Arc<str>,
        steps: Vec<ir::Step>,
        output: Option<Template>,
        (inputs, returns): (Inputs, Inputs),
        secrets: Arc<Secrets>,
    ) -> Self {
        let mut builder = Builder::new(secrets.clone());
        // The limit of a step is part of its policy, inside of the retry: a record that waits for its next attempt
        // holds no place.
        let mut stages: Vec<_> = steps
            .into_iter()
            .map(|step| {
                let (id, part) = builder.part(step);
                (id, part, Limit::unlimited())
            })
            .collect();
        stages.extend(output.map(|output| (Arc::from(OUTPUT), rendered(output), Limit::unlimited())));
        let steps = Checking { steps: Pipeline::of_stages(name, stages), returns }.boxed();
        Compiled { inputs, view: secrets.view(), secrets, steps, tunables: builder.tunables }
    }

    /// The flow as a step from a record to its output.
    pub(crate) fn into_step(self) -> BoxStep<Value, Value> {
        let compiled = Arc::new(self);
        let within = compiled.clone();
        let run = step(move |record: Value, cx: Context| {
            let scope = within.scope(record, cx.item().unwrap_or(0));
            let steps = within.steps.clone();
            async move { steps.run(scope?, &cx).await }
        });
        let step = Scrubbed::around(run.boxed(), &compiled.secrets);
        Whole { compiled, step }.boxed()
    }

    /// What can be changed while the flow runs, by the paths of the steps within the flow.
    pub fn tunables(&self) -> &[(Arc<str>, Tunable)] {
        &self.tunables
    }

    /// How many records in flight keep the steps busy.
    pub fn default_in_flight(&self) -> usize {
        self.steps.info().default_in_flight
    }

    /// The flow as a step from a record to its output, whose results are kept by the memo that comes with the record.
    pub fn into_recorded_step(self) -> BoxStep<Recorded, Value> {
        let secrets = self.secrets.clone();
        Scrubbed::around(RecordedFlow(self).boxed(), &secrets)
    }

    /// A record on its way into the flow.
    fn scope(&self, record: Value, index: usize) -> Result<Scope> {
        let record = self.inputs.accept(object(record)?)?;
        Ok(Scope::new(&record, index, self.view.clone()))
    }
}

/// A record, if it is one, and the memo of its steps.
pub type Recorded = (Result<Value>, Option<Arc<dyn Memo>>);

/// A record through the flow.
struct RecordedFlow(Compiled);

impl Step for RecordedFlow {
    type In = Recorded;
    type Out = Value;

    async fn run(&self, (record, memo): Recorded, cx: &Context) -> Result<Value> {
        let scope = self.0.scope(record?, cx.item().unwrap_or(0))?;
        let scope = memo.into_iter().fold(scope, Scope::with_memo);
        self.0.steps.run(scope, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.0.steps.info()
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").finish_non_exhaustive()
    }
}

/// The whole flow: from outside, it is what its pipeline is.
struct Whole {
    compiled: Arc<Compiled>,
    step: BoxStep<Value, Value>,
}

impl Step for Whole {
    type In = Value;
    type Out = Value;

    fn run(&self, record: Value, cx: &Context) -> impl Future<Output = Result<Value>> + Send {
        self.step.run(record, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.compiled.steps.info()
    }
}

/// The pipeline of a flow, whose output must be what the flow declares.
struct Checking {
    steps: Pipeline<Stages<Scope>>,
    returns: Inputs,
}

impl Step for Checking {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let output = self.steps.run(scope, cx).await?.into_last();
        self.returns.check_output(&output)?;
        Ok(output)
    }

    fn info(&self) -> StepInfo<'_> {
        self.steps.info()
    }
}

/// The `output` of the file as a last stage, so that its errors have a path too.
fn rendered(output: Template) -> BoxStep<Scope, Scope> {
    let (id, output) = (Arc::<str>::from(OUTPUT), Arc::new(output));
    let work = step(move |scope: Scope, _| {
        let (id, output) = (id.clone(), output.clone());
        async move {
            let made = output.render(&scope.value())?;
            Ok(scope.with(&id, made))
        }
    });
    work.boxed()
}

fn object(record: Value) -> Result<Map<String, Value>> {
    match record {
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::invalid("the record is not a JSON object")
            .with_hint("write one object a line: {\"question\": \"…\"}")),
    }
}

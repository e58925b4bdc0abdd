//! A flow that is ready to run, and the check of its output.

use std::fmt;
use std::sync::Arc;

use llmspell::pattern::pipeline::Pipeline;
use llmspell::pattern::pipeline::Stages;
use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Error, Limit, Result, Step, step};
use serde_json::{Map, Value};

use super::builder::Builder;
use super::memo::Memo;
use super::policy::Tunable;
use super::redacted::Redacted;
use super::scope::Scope;
use super::secrets::Secrets;
use crate::ir;
use crate::ir::fields::Inputs;
use crate::ir::step::OUTPUT;
use crate::template::Template;

/// A flow that is ready to run.
pub struct Compiled {
    inputs: Inputs,
    secrets: Arc<Secrets>,
    /// The secrets as templates see them.
    view: minijinja::Value,
    steps: BoxStep<Scope, Value>,
    /// The settings that can change while the flow runs, by the paths of the steps within the flow.
    tunables: Vec<(Arc<str>, Tunable)>,
}

impl Compiled {
    /// Builds a flow from checked steps; the pair holds the fields of its records and of its output.
    pub(crate) fn new(
        name: Arc<str>,
        steps: Vec<ir::Step>,
        output: Option<Template>,
        (inputs, returns): (Inputs, Inputs),
        secrets: Arc<Secrets>,
    ) -> Self {
        let mut builder = Builder::new(secrets.clone());
        // The limit of a step is part of its policy, inside of the retry, so that a record waiting for its next
        // attempt holds no permit.
        let mut stages: Vec<_> = steps
            .into_iter()
            .map(|step| {
                let (id, step) = builder.step_into_scope(step);
                (id, step, Limit::unlimited())
            })
            .collect();
        stages.extend(output.map(|output| (Arc::from(OUTPUT), rendered(output), Limit::unlimited())));
        let steps = OutputCheck { steps: Pipeline::of_stages(name, stages), returns }.boxed();
        Compiled { inputs, view: secrets.view(), secrets, steps, tunables: builder.tunables }
    }

    /// Returns the flow as a step from a record to its output.
    pub(crate) fn into_step(self) -> BoxStep<Value, Value> {
        let compiled = Arc::new(self);
        let running = compiled.clone();
        let run = step(move |record: Value, cx: Context| {
            let scope = running.scope(record, cx.item().unwrap_or(0));
            let steps = running.steps.clone();
            async move { steps.run(scope?, &cx).await }
        });
        let step = Redacted::around(run.boxed(), &compiled.secrets);
        FlowStep { compiled, step }.boxed()
    }

    /// Returns the settings that can change while the flow runs, by the paths of the steps within the flow.
    pub fn tunables(&self) -> &[(Arc<str>, Tunable)] {
        &self.tunables
    }

    /// Returns the number of records in flight that keeps the steps busy.
    pub fn default_in_flight(&self) -> usize {
        self.steps.info().default_in_flight
    }

    /// Returns the flow as a step from a record to its output, whose results are kept by the memo of the record.
    pub fn into_recorded_step(self) -> BoxStep<Recorded, Value> {
        let secrets = self.secrets.clone();
        Redacted::around(RecordedFlow(self).boxed(), &secrets)
    }

    /// Checks a record and returns its scope.
    fn scope(&self, record: Value, index: usize) -> Result<Scope> {
        let record = self.inputs.accept(object(record)?)?;
        Ok(Scope::new(&record, index, self.view.clone()))
    }
}

/// A record or the error of reading it, and the memo of its steps.
pub type Recorded = (Result<Value>, Option<Arc<dyn Memo>>);

/// A flow as a step over records with their memos.
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

/// The whole flow. To its caller it has the properties of its pipeline.
struct FlowStep {
    compiled: Arc<Compiled>,
    step: BoxStep<Value, Value>,
}

impl Step for FlowStep {
    type In = Value;
    type Out = Value;

    fn run(&self, record: Value, cx: &Context) -> impl Future<Output = Result<Value>> + Send {
        self.step.run(record, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.compiled.steps.info()
    }
}

/// The pipeline of a flow, with a check of its output against the declared fields.
struct OutputCheck {
    steps: Pipeline<Stages<Scope>>,
    returns: Inputs,
}

impl Step for OutputCheck {
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

/// Returns the `output` of the file as a last stage, so that its errors also have a path.
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

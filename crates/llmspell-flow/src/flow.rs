//! A flow: steps described in a file, as a step of the library.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use llmspell::tool::DynTool;
use llmspell::{BoxStep, Error, Result};
use llmspell_tools::Permissions;
use serde_json::Value;

use crate::check::declared::{Declared, keys};
use crate::check::{Checked, check};
use crate::exec::compiled::Compiled;
use crate::exec::memo::StepKey;
use crate::exec::secrets::Secrets;
use crate::ir::fields::Inputs;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::names::Wanted;
use crate::ir::step::Planned;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::options::{self, RunOption};
use crate::syntax::source::Source;
use crate::template::Template;
use crate::toolbox::Toolbox;

/// A flow that has been read and found right.
///
/// ```
/// use llmspell::{Context, Step};
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_tools::Permissions;
/// use serde_json::json;
///
/// let text = "
/// flow: greet
/// steps:
///   - id: clean
///     tool: text
///     with: { trim: true, value: \"${{ inputs.name }}\" }
/// output: Hello, ${{ steps.clean }}!
/// ";
/// let toolbox = Toolbox::built_in(&Permissions::none());
/// let flow = Flow::parse(&Source::new("greet.yaml", text), &toolbox)?;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let greet = flow.into_step();
/// assert_eq!(greet.run(json!({ "name": " Ada " }), &Context::new()).await.unwrap(), "Hello, Ada!");
/// # });
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
pub struct Flow {
    key: Option<String>,
    name: Arc<str>,
    description: Option<String>,
    inputs: Inputs,
    returns: Inputs,
    steps: Vec<Planned>,
    output: Option<Template>,
    fingerprint: Fingerprint,
    secrets: Arc<Secrets>,
    asked: Permissions,
    wanted: Wanted,
    refused: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    options: Vec<RunOption>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("name", &self.name).field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Why a flow file could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// It could not be read.
    Read(Error),
    /// It says something that cannot be.
    Wrong(Diagnostics),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read(error) => {
                write!(f, "error: {error}")?;
                error.hint().map_or(Ok(()), |hint| write!(f, "\n\nhint: {hint}"))
            }
            LoadError::Wrong(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

impl Flow {
    /// Reads a flow file.
    ///
    /// # Errors
    /// If the file cannot be read, or with everything that is wrong in it.
    pub fn load(path: &Path, toolbox: &Toolbox) -> std::result::Result<Self, LoadError> {
        let source = Source::load(path).map_err(LoadError::Read)?;
        Flow::parse(&source, toolbox).map_err(LoadError::Wrong)
    }

    /// Reads a flow from a text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(source: &Source, toolbox: &Toolbox) -> std::result::Result<Self, Diagnostics> {
        let Checked { file, inputs, steps, output, fingerprint, returns, asked, mut refused, warnings } =
            check(source, toolbox)?;
        let options = options::read(&file.run, source)?;
        let declared = file.secrets.iter().map(|secret| secret.value.as_str());
        let (secrets, missing) = Secrets::read(declared, keys(&file));
        for name in file.secrets.iter().filter(|secret| missing.contains(&secret.value.as_str())) {
            let message = format!("the secret `{}` is not set", name.value);
            let problem = source.diagnose(Some(name.at.clone()), message);
            refused.push(problem.with_hint(format!("set the environment variable {}", name.value)));
        }
        Ok(Flow {
            wanted: Wanted::of(&file),
            name: Arc::from(file.flow.value),
            key: file.key.map(|key| key.value),
            description: file.description,
            inputs,
            returns,
            steps,
            output,
            fingerprint,
            secrets: Arc::new(secrets),
            asked,
            refused,
            warnings,
            options,
        })
    }

    /// The name of a secret of the flow whose value stands in a text. Such a text must not be written down. Secrets are
    /// what the flow declares as such, and what its `key` of models and `token` of servers name, if that is of 8
    /// characters or more: less is what servers get that want no key.
    pub fn secret_in(&self, text: &str) -> Option<&str> {
        self.secrets.found_in(text)
    }

    /// What takes the values of the flow's secrets out of a text; it gives `None` for a text without any. `None` if the
    /// flow has no secrets.
    ///
    /// What the flow gives, fails with and tells of itself needs none of it: secrets are not in there.
    pub fn scrub(&self) -> Option<impl Fn(&str) -> Option<String> + Send + Sync + 'static> {
        let secrets = self.secrets.clone();
        (!secrets.are_none()).then_some(move |text: &str| secrets.told(text))
    }

    /// The steps whose outputs a journal keeps, in the order of the file.
    #[doc(hidden)]
    pub fn kept_steps(&self) -> Vec<StepKey> {
        let kept = self.steps.iter().flat_map(Planned::all).filter(|step| step.is_kept());
        kept.map(|step| StepKey { path: step.path.clone(), fingerprint: step.fingerprint }).collect()
    }

    /// The field of a record that identifies it, if the flow declares one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// How a run of it goes, if its user says nothing else.
    pub fn run_options(&self) -> &[RunOption] {
        &self.options
    }

    /// The steps, with all that is known of them.
    pub(crate) fn planned(&self) -> &[Planned] {
        &self.steps
    }

    /// The names that it declares.
    pub(crate) fn names(&self) -> &Wanted {
        &self.wanted
    }

    /// The fields of a record.
    #[doc(hidden)]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Reads the value of a field from a command line: as the type that the flow declares for it; or else as JSON if
    /// it is JSON, and as text if it is not.
    ///
    /// ```
    /// use llmspell_flow::{Flow, Source, Toolbox};
    /// use llmspell_tools::Permissions;
    ///
    /// let text = "flow: f\ninputs: { zip: { type: string } }\nsteps: [{ id: a, tool: slow }]";
    /// let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none()))?;
    /// assert_eq!(flow.value_of("zip", "01234").unwrap(), "01234");
    /// assert_eq!(flow.value_of("other", "12").unwrap(), 12);
    /// assert_eq!(flow.value_of("other", "a b").unwrap(), "a b");
    /// # Ok::<(), llmspell_flow::Diagnostics>(())
    /// ```
    ///
    /// # Errors
    /// If it does not fit the type.
    pub fn value_of(&self, field: &str, text: &str) -> Result<Value> {
        self.inputs.read(field, text)
    }

    /// The name of the flow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the flow says it does.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The ids of the steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| &*step.id)
    }

    /// What decides an outcome besides the record: the same as long as every step does the same.
    #[doc(hidden)]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the flow does that nobody can want, such as a step whose output goes nowhere. It can run all the same.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.warnings.iter()
    }

    /// What a flow file names that has to be opened before the file can be [parsed](Flow::parse): models, and MCP
    /// servers.
    ///
    /// # Errors
    /// If the text is no flow file.
    pub fn declared(source: &Source) -> std::result::Result<Declared, Diagnostics> {
        Declared::read(source)
    }

    /// What the flow asks for under `allow`.
    pub fn asked(&self) -> &Permissions {
        &self.asked
    }

    /// Whether the user allows every tool in it. Ask before running: a tool that is not allowed would fail with each
    /// record.
    ///
    /// # Errors
    /// The steps whose tools are not allowed, each with the flag that would allow it.
    pub fn permitted(&self) -> std::result::Result<(), Diagnostics> {
        Diagnostics::none_of(self.refused.clone())
    }

    /// The flow as a tool that takes a record and gives its output: for agents, for other flows, and for clients of an
    /// MCP server.
    ///
    /// Its arguments are what the flow declares under `inputs`; what it may do is what the most powerful of its tools
    /// may.
    ///
    /// ```
    /// use llmspell_flow::{Flow, Source, Toolbox};
    /// use llmspell_tools::Permissions;
    ///
    /// let text = "
    /// flow: greet
    /// description: Greets somebody.
    /// inputs:
    ///   name: { type: string }
    /// steps:
    ///   - id: greeting
    ///     tool: text
    ///     with: { value: \"Hello, ${{ inputs.name }}!\" }
    /// ";
    /// let flow = Flow::parse(&Source::new("greet.yaml", text), &Toolbox::built_in(&Permissions::none()))?;
    /// let greet = flow.into_tool();
    /// assert_eq!(greet.spec().parameters["properties"]["name"]["type"], "string");
    /// # Ok::<(), llmspell_flow::Diagnostics>(())
    /// ```
    pub fn into_tool(self) -> DynTool {
        let name = self.name.clone();
        let description = self.description.clone().unwrap_or_else(|| format!("Runs the flow `{name}`."));
        let security = self.steps.iter().flat_map(Planned::all).map(|step| step.kind.security());
        let security = security.max().unwrap_or_default();
        let parameters = self.inputs.schema();
        DynTool::from_schema(&name, &description, parameters, self.into_step()).security(security)
    }

    /// The flow as a step from a record, a JSON object, to its output.
    ///
    /// It is a [pipeline](llmspell::pattern::pipeline): streamed, records overlap across its steps, each step has its
    /// own limit, and the report tells how well that went.
    pub fn into_step(self) -> BoxStep<Value, Value> {
        self.compile().into_step()
    }

    /// The steps of the flow, made to run, and how records are made ready for them.
    #[doc(hidden)]
    pub fn compile(self) -> Compiled {
        let Flow { name, inputs, returns, steps, output, secrets, .. } = self;
        Compiled::new(name, steps, output, (inputs, returns), secrets)
    }
}

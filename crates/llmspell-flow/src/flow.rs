//! A flow: a checked flow file, as a step of the library.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use llmspell::step::BoxStep;
use llmspell::tool::DynTool;
use llmspell::{Error, Result};
use llmspell_tools::Permissions;
use serde_json::Value;

use crate::check::declared::{Declarations, keys};
use crate::check::{CheckedFlow, check};
use crate::exec::compiled::Compiled;
use crate::exec::memo::StepKey;
use crate::exec::secrets::Secrets;
use crate::ir::fields::Inputs;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::names::DeclaredNames;
use crate::ir::step::Step;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::options::{self, RunOption};
use crate::syntax::source::Source;
use crate::template::Template;
use crate::toolbox::Toolbox;

/// A flow that has been parsed and checked.
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
    steps: Vec<Step>,
    output: Option<Template>,
    fingerprint: Fingerprint,
    secrets: Arc<Secrets>,
    requested: Permissions,
    wanted: DeclaredNames,
    refused: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    options: Vec<RunOption>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.steps().collect();
        f.debug_struct("Flow").field("name", &self.name).field("steps", &steps).finish_non_exhaustive()
    }
}

/// The error of loading a flow file.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    Read(Error),
    /// The flow is invalid.
    Invalid(Diagnostics),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read(error) => {
                write!(f, "error: {error}")?;
                error.hint().map_or(Ok(()), |hint| write!(f, "\n\nhint: {hint}"))
            }
            LoadError::Invalid(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

impl Flow {
    /// Loads a flow file.
    ///
    /// # Errors
    /// If the file cannot be read, or all problems in it.
    pub fn load(path: &Path, toolbox: &Toolbox) -> std::result::Result<Self, LoadError> {
        let source = Source::load(path).map_err(LoadError::Read)?;
        Flow::parse(&source, toolbox).map_err(LoadError::Invalid)
    }

    /// Parses and checks a flow.
    ///
    /// # Errors
    /// All problems in it.
    pub fn parse(source: &Source, toolbox: &Toolbox) -> std::result::Result<Self, Diagnostics> {
        let CheckedFlow { file, inputs, steps, output, fingerprint, returns, requested, mut refused, warnings } =
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
            wanted: DeclaredNames::of(&file),
            name: Arc::from(file.flow.value),
            key: file.key.map(|key| key.value),
            description: file.description,
            inputs,
            returns,
            steps,
            output,
            fingerprint,
            secrets: Arc::new(secrets),
            requested,
            refused,
            warnings,
            options,
        })
    }

    /// Returns the name of a secret whose value occurs in a text, which must then not be stored or shown.
    ///
    /// Secrets are the variables under `secrets`, and those that `key` of a model and `token` of a server name. The latter
    /// count from 8 characters on, because servers that need no key get a short placeholder.
    pub fn secret_in(&self, text: &str) -> Option<&str> {
        self.secrets.find(text)
    }

    /// Returns a function that redacts the flow's secrets in a text, and returns `None` for a text without any. Returns
    /// `None` if the flow has no secrets.
    ///
    /// The outputs, errors and events of the flow are already redacted.
    pub fn redactor(&self) -> Option<impl Fn(&str) -> Option<String> + Send + Sync + 'static> {
        let secrets = self.secrets.clone();
        (!secrets.is_empty()).then_some(move |text: &str| secrets.redact_message(text))
    }

    /// Returns the steps whose outputs a journal keeps, in the order of the file.
    #[doc(hidden)]
    pub fn journaled_steps(&self) -> Vec<StepKey> {
        let kept = self.steps.iter().flat_map(Step::all).filter(|step| step.is_journaled());
        kept.map(|step| StepKey { path: step.path.clone(), fingerprint: step.fingerprint }).collect()
    }

    /// Returns the field that identifies a record, if the flow declares one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the defaults of a run, which the user can override.
    pub fn run_options(&self) -> &[RunOption] {
        &self.options
    }

    /// Returns the checked steps.
    pub(crate) fn checked_steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the names that the flow declares.
    pub(crate) fn names(&self) -> &DeclaredNames {
        &self.wanted
    }

    /// Returns the fields of a record.
    #[doc(hidden)]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Parses the value of a field from a command line, as the declared type. The value of an undeclared field is parsed
    /// as JSON if possible, and is a text otherwise.
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
    /// If the value does not fit the type.
    pub fn value_of(&self, field: &str, text: &str) -> Result<Value> {
        self.inputs.read(field, text)
    }

    /// Returns the name of the flow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the description of the flow.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns the ids of the steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| &*step.id)
    }

    /// Returns the fingerprint of everything that decides an outcome, except the record. It changes with the work of a
    /// step.
    #[doc(hidden)]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the warnings of [lint rules](crate::LINT_RULES), such as a step whose output is unused. The flow can still
    /// run.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.warnings.iter()
    }

    /// Returns the models and MCP servers that must be opened before the file can be [parsed](Flow::parse).
    ///
    /// # Errors
    /// If the text is not a flow file.
    pub fn declarations(source: &Source) -> std::result::Result<Declarations, Diagnostics> {
        Declarations::read(source)
    }

    /// Returns the permissions that the flow requests under `allow`.
    pub fn requested_permissions(&self) -> &Permissions {
        &self.requested
    }

    /// Checks that the user grants the permissions of every tool. Call it before a run: a tool without its permission
    /// fails for each record.
    ///
    /// # Errors
    /// The missing permissions, each with the option that grants it as the hint.
    pub fn check_permissions(&self) -> std::result::Result<(), Diagnostics> {
        Diagnostics::none_of(self.refused.clone())
    }

    /// Turns the flow into a tool from a record to its output: for agents, for other flows, and for clients of an MCP
    /// server.
    ///
    /// Its arguments are the fields under `inputs`. It has the privilege of its most powerful tool.
    ///
    /// ```
    /// use llmspell_flow::{Flow, Source, Toolbox};
    /// use llmspell_tools::Permissions;
    ///
    /// let text = "
    /// flow: greet
    /// description: Greets a user.
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
        let security = self.steps.iter().flat_map(Step::all).map(|step| step.kind.security());
        let security = security.max().unwrap_or_default();
        let parameters = self.inputs.schema();
        DynTool::from_schema(&name, &description, parameters, self.into_step()).security(security)
    }

    /// Turns the flow into a step from a record, a JSON object, to its output.
    ///
    /// The step is a [pipeline](llmspell::pattern::pipeline): in a stream, records overlap across its steps, each step has
    /// its own limit, and the report shows the efficiency.
    pub fn into_step(self) -> BoxStep<Value, Value> {
        self.compile().into_step()
    }

    /// Compiles the steps of the flow, and the preparation of records for them.
    #[doc(hidden)]
    pub fn compile(self) -> Compiled {
        let Flow { name, inputs, returns, steps, output, secrets, .. } = self;
        Compiled::new(name, steps, output, (inputs, returns), secrets)
    }
}

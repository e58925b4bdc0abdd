//! Loading: from the path of a flow file to a flow with its models opened and its MCP servers connected.
//!
//! This module opens and closes what a flow declares. It prints nothing but that a signal stopped it.

mod models;
mod servers;

use std::path::Path;

use llmspell::registry::Registry;
use llmspell::{Error, ErrorKind};
use llmspell_flow::{Declarations, Diagnostic, Diagnostics, Flow, Source, Toolbox};
use tokio::runtime::{Builder, Runtime};

use crate::exit::{CommandError, Exit};
use crate::interrupt::Interrupts;
pub(crate) use servers::Servers;

/// A flow, and the resources opened for it.
pub(crate) struct ReadyFlow {
    pub(crate) flow: Flow,
    /// The connected servers; the owner closes them at the end.
    pub(crate) servers: Servers,
    /// Keys of models that are not set.
    pub(crate) missing_keys: Vec<Diagnostic>,
}

/// The reason why a flow could not be loaded.
pub(crate) enum LoadFailure {
    /// The file cannot be read.
    Unreadable(Error),
    /// The flow is invalid, not allowed, or needs a server that cannot be reached.
    Rejected(Exit, Diagnostics),
    /// A signal stopped the program while servers were being connected, and that was printed.
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "there are no servers to wait for"))]
    Interrupted(Exit),
}

impl From<LoadFailure> for CommandError {
    fn from(failure: LoadFailure) -> Self {
        match failure {
            LoadFailure::Unreadable(error) => error.into(),
            LoadFailure::Rejected(exit, problems) => CommandError { exit, text: problems.to_string() },
            LoadFailure::Interrupted(exit) => CommandError { exit, text: String::new() },
        }
    }
}

impl From<Diagnostics> for LoadFailure {
    fn from(problems: Diagnostics) -> Self {
        LoadFailure::Rejected(Exit::Invalid, problems)
    }
}

fn not_allowed(problems: Diagnostics) -> LoadFailure {
    LoadFailure::Rejected(Exit::NotAllowed, problems)
}

/// A flow file that was read once. Checks, permissions and the run use the same text, even if the file changes while
/// servers start.
pub(crate) struct LoadedFlow {
    source: Source,
    declared: Declarations,
    /// With the models of the flow, without its servers.
    toolbox: Toolbox,
    /// With no server connected.
    ready: ReadyFlow,
}

impl LoadedFlow {
    /// Reads and checks a flow file. It starts no program, sends no request, and accepts missing keys.
    pub(crate) fn read(path: &Path, toolbox: Toolbox, registry: &Registry) -> Result<LoadedFlow, LoadFailure> {
        let source = Source::load(path).map_err(LoadFailure::Unreadable)?;
        let declared = Flow::declarations(&source)?;
        let (toolbox, missing_keys) = with_models(&declared, toolbox, registry)?;
        let all = toolbox.clone();
        let all = declared.servers.iter().fold(all, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let flow = Flow::parse(&source, &all)?;
        Ok(LoadedFlow {
            source,
            declared,
            toolbox,
            ready: ReadyFlow { flow, servers: Servers::default(), missing_keys },
        })
    }

    /// Returns the flow as far as it is known without its servers.
    pub(crate) fn flow(&self) -> &Flow {
        &self.ready.flow
    }

    /// Returns the flow for inspection, with no server connected.
    pub(crate) fn inspect(self) -> ReadyFlow {
        self.ready
    }

    /// Checks permissions and keys before anything is opened.
    pub(crate) fn check_permissions(&self) -> Result<(), LoadFailure> {
        self.ready.flow.check_permissions().map_err(not_allowed)?;
        match self.ready.missing_keys.is_empty() {
            true => Ok(()),
            false => Err(not_allowed(self.ready.missing_keys.iter().cloned().collect())),
        }
    }

    /// Returns the flow ready to run, with its servers connected. Nothing is started if any check fails.
    pub(crate) fn prepare(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Result<ReadyFlow, LoadFailure> {
        self.check_permissions()?;
        let ready = self.connect(runtime, interrupts)?;
        // Checked again: this flow was built with the tools that its servers offer.
        if let Err(problems) = ready.flow.check_permissions() {
            ready.servers.end(runtime, interrupts);
            return Err(not_allowed(problems));
        }
        Ok(ready)
    }

    /// Returns the flow for inspection, with those of its servers connected that the user allows. The outline of the    /// flow lists the missing permissions.
    pub(crate) fn connect(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Result<ReadyFlow, LoadFailure> {
        let LoadedFlow { source, declared, toolbox, ready } = self;
        if declared.servers.is_empty() {
            return Ok(ready);
        }
        let (toolbox, servers) = runtime.block_on(servers::connect(&declared.servers, toolbox, interrupts))?;
        match Flow::parse(&source, &toolbox) {
            Ok(flow) => Ok(ReadyFlow { flow, servers, ..ready }),
            Err(problems) => {
                servers.end(runtime, interrupts);
                Err(problems.into())
            }
        }
    }
}

/// Adds the models of the flow to the toolbox. Returns also the models that lack a key.
fn with_models(
    declared: &Declarations,
    mut toolbox: Toolbox,
    registry: &Registry,
) -> Result<(Toolbox, Vec<Diagnostic>), LoadFailure> {
    let (mut problems, mut missing_keys) = (Vec::new(), Vec::new());
    for model in &declared.models {
        if !model.may_be_opened(&toolbox) {
            toolbox = toolbox.with_unopened_model(&*model.name);
            continue;
        }
        match models::open(model, registry) {
            Ok(opened) => toolbox = toolbox.with_model(&*model.name, opened),
            Err(error) if error.kind() == ErrorKind::Denied => {
                missing_keys.push(model.diagnose(&error));
                toolbox = toolbox.with_unopened_model(&*model.name);
            }
            Err(error) => problems.push(model.diagnose(&error)),
        }
    }
    match problems.is_empty() {
        true => Ok((toolbox, missing_keys)),
        false => Err(problems.into_iter().collect::<Diagnostics>().into()),
    }
}

/// Starts the runtime of a command.
pub(crate) fn runtime() -> Result<Runtime, CommandError> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| CommandError::bug(&format!("the runtime cannot start: {error}")))
}

//! From a flow file to a flow with its models and servers at hand.

mod models;
mod servers;

use std::path::Path;

use llmspell::{Error, Kind, Registry};
use llmspell_flow::{Declared, Diagnostic, Diagnostics, Flow, Source, Toolbox};
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};
use servers::Servers;

/// A flow, and what has been opened for it.
pub(crate) struct Opened {
    pub(crate) flow: Flow,
    /// Those that have been connected; to be closed at the end.
    pub(crate) servers: Servers,
    /// The keys that are not there.
    pub(crate) unset: Vec<Diagnostic>,
}

/// Why there is none.
pub(crate) enum NotOpened {
    /// The file cannot be read.
    Unread(Error),
    /// Something is wrong in it, not allowed, or out of reach.
    Wrong(Exit, Diagnostics),
}

impl From<NotOpened> for Failure {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::Unread(error) => error.into(),
            NotOpened::Wrong(exit, problems) => Failure { exit, text: problems.to_string() },
        }
    }
}

impl From<Diagnostics> for NotOpened {
    fn from(problems: Diagnostics) -> Self {
        NotOpened::Wrong(Exit::Invalid, problems)
    }
}

/// A flow to be looked at: nobody is asked, nothing is started, and keys may be missing.
pub(crate) fn to_look(path: &Path, toolbox: Toolbox, registry: &Registry) -> Result<Opened, NotOpened> {
    let (source, declared) = read(path)?;
    let (toolbox, unset) = with_models(&declared, toolbox, registry)?;
    let toolbox = declared.servers.iter().fold(toolbox, |toolbox, server| toolbox.with_unopened_server(&*server.name));
    let flow = Flow::parse(&source, &toolbox)?;
    Ok(Opened { flow, servers: Servers::default(), unset })
}

/// A flow to be looked at together with what its servers offer, as far as the user lets them be connected.
pub(crate) fn to_look_closely(
    path: &Path,
    toolbox: Toolbox,
    registry: &Registry,
    runtime: &Runtime,
) -> Result<Opened, NotOpened> {
    let opened = to_look(path, toolbox.clone(), registry)?;
    connected(path, toolbox, registry, runtime, opened)
}

/// A flow to be run: what its user does not allow, a key that is missing and a server that cannot be reached are
/// errors, and nothing is started if there is any other.
pub(crate) fn to_run(
    path: &Path,
    toolbox: Toolbox,
    registry: &Registry,
    runtime: &Runtime,
) -> Result<Opened, NotOpened> {
    let not_allowed = |problems| NotOpened::Wrong(Exit::NotAllowed, problems);
    let opened = to_look(path, toolbox.clone(), registry)?;
    opened.flow.permitted().map_err(not_allowed)?;
    if !opened.unset.is_empty() {
        return Err(not_allowed(opened.unset.into_iter().collect()));
    }
    connected(path, toolbox, registry, runtime, opened)
}

/// The same with its servers connected, as far as they may be.
fn connected(
    path: &Path,
    toolbox: Toolbox,
    registry: &Registry,
    runtime: &Runtime,
    opened: Opened,
) -> Result<Opened, NotOpened> {
    let (source, declared) = read(path)?;
    if declared.servers.is_empty() {
        return Ok(opened);
    }
    let (toolbox, _) = with_models(&declared, toolbox, registry)?;
    let (toolbox, servers) = runtime.block_on(servers::connect(&declared.servers, toolbox))?;
    match Flow::parse(&source, &toolbox) {
        Ok(flow) => Ok(Opened { flow, servers, ..opened }),
        Err(wrong) => {
            runtime.block_on(servers.close());
            Err(wrong.into())
        }
    }
}

fn read(path: &Path) -> Result<(Source, Declared), NotOpened> {
    let source = Source::load(path).map_err(NotOpened::Unread)?;
    let declared = Flow::declared(&source)?;
    Ok((source, declared))
}

/// The toolbox with the models of the flow, and those that lack a key.
fn with_models(
    declared: &Declared,
    mut toolbox: Toolbox,
    registry: &Registry,
) -> Result<(Toolbox, Vec<Diagnostic>), NotOpened> {
    let (mut wrong, mut unset) = (Vec::new(), Vec::new());
    for model in &declared.models {
        if !model.may_be_opened(&toolbox) {
            toolbox = toolbox.with_unopened_model(&*model.name);
            continue;
        }
        match models::open(model, registry) {
            Ok(opened) => toolbox = toolbox.with_model(&*model.name, opened),
            Err(error) if error.kind() == Kind::Denied => {
                unset.push(model.diagnose(&error));
                toolbox = toolbox.with_unopened_model(&*model.name);
            }
            Err(error) => wrong.push(model.diagnose(&error)),
        }
    }
    match wrong.is_empty() {
        true => Ok((toolbox, unset)),
        false => Err(wrong.into_iter().collect::<Diagnostics>().into()),
    }
}

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
    Ok(Read::new(path, toolbox, registry)?.opened)
}

/// A flow to be looked at together with what its servers offer, as far as the user lets them be connected. What is not
/// allowed is told by its outline.
pub(crate) fn to_look_closely(
    path: &Path,
    toolbox: Toolbox,
    registry: &Registry,
    runtime: &Runtime,
) -> Result<Opened, NotOpened> {
    Read::new(path, toolbox, registry)?.connected(runtime)
}

/// A flow to be run: what its user does not allow, a key that is missing and a server that cannot be reached are
/// errors, and nothing is started if there is any other.
pub(crate) fn to_run(
    path: &Path,
    toolbox: Toolbox,
    registry: &Registry,
    runtime: &Runtime,
) -> Result<Opened, NotOpened> {
    let read = Read::new(path, toolbox, registry)?;
    read.opened.flow.permitted().map_err(not_allowed)?;
    if !read.opened.unset.is_empty() {
        return Err(not_allowed(read.opened.unset.into_iter().collect()));
    }
    let opened = read.connected(runtime)?;
    // Asked again: this is another flow, whose tools are those that the servers have told of.
    if let Err(problems) = opened.flow.permitted() {
        runtime.block_on(opened.servers.close());
        return Err(not_allowed(problems));
    }
    Ok(opened)
}

fn not_allowed(problems: Diagnostics) -> NotOpened {
    NotOpened::Wrong(Exit::NotAllowed, problems)
}

/// A file that has been read, once: what is connected, allowed and run is the same text, whatever becomes of the file
/// while servers start.
struct Read {
    source: Source,
    declared: Declared,
    /// With the models of the flow, without its servers.
    toolbox: Toolbox,
    /// With no server connected.
    opened: Opened,
}

impl Read {
    fn new(path: &Path, toolbox: Toolbox, registry: &Registry) -> Result<Read, NotOpened> {
        let source = Source::load(path).map_err(NotOpened::Unread)?;
        let declared = Flow::declared(&source)?;
        let (toolbox, unset) = with_models(&declared, toolbox, registry)?;
        let all = toolbox.clone();
        let all = declared.servers.iter().fold(all, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let flow = Flow::parse(&source, &all)?;
        Ok(Read { source, declared, toolbox, opened: Opened { flow, servers: Servers::default(), unset } })
    }

    /// The same with its servers connected, as far as they may be.
    fn connected(self, runtime: &Runtime) -> Result<Opened, NotOpened> {
        let Read { source, declared, toolbox, opened } = self;
        if declared.servers.is_empty() {
            return Ok(opened);
        }
        let (toolbox, servers) = runtime.block_on(servers::connect(&declared.servers, toolbox))?;
        match Flow::parse(&source, &toolbox) {
            Ok(flow) => Ok(Opened { flow, servers, ..opened }),
            Err(wrong) => {
                runtime.block_on(servers.close());
                Err(wrong.into())
            }
        }
    }
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

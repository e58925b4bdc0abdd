//! From a flow file to a flow with its models and servers at hand.

mod models;
mod servers;

use std::path::Path;

use llmspell::{Error, ErrorKind, Registry};
use llmspell_flow::{Declared, Diagnostic, Diagnostics, Flow, Source, Toolbox};
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
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
    /// Somebody asked the program to end while servers were being connected, and has been told so.
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "there are no servers to wait for"))]
    Interrupted(Exit),
}

impl From<NotOpened> for Failure {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::Unread(error) => error.into(),
            NotOpened::Wrong(exit, problems) => Failure { exit, text: problems.to_string() },
            NotOpened::Interrupted(exit) => Failure { exit, text: String::new() },
        }
    }
}

impl From<Diagnostics> for NotOpened {
    fn from(problems: Diagnostics) -> Self {
        NotOpened::Wrong(Exit::Invalid, problems)
    }
}

fn not_allowed(problems: Diagnostics) -> NotOpened {
    NotOpened::Wrong(Exit::NotAllowed, problems)
}

/// A file that has been read, once: what is connected, allowed and run is the same text, whatever becomes of the file
/// while servers start.
pub(crate) struct Read {
    source: Source,
    declared: Declared,
    /// With the models of the flow, without its servers.
    toolbox: Toolbox,
    /// With no server connected.
    opened: Opened,
}

impl Read {
    /// Reads a flow: nobody is asked, nothing is started, and keys may be missing.
    pub(crate) fn new(path: &Path, toolbox: Toolbox, registry: &Registry) -> Result<Read, NotOpened> {
        let source = Source::load(path).map_err(NotOpened::Unread)?;
        let declared = Flow::declared(&source)?;
        let (toolbox, unset) = with_models(&declared, toolbox, registry)?;
        let all = toolbox.clone();
        let all = declared.servers.iter().fold(all, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let flow = Flow::parse(&source, &all)?;
        Ok(Read { source, declared, toolbox, opened: Opened { flow, servers: Servers::default(), unset } })
    }

    /// The flow as far as it is known without its servers.
    pub(crate) fn flow(&self) -> &Flow {
        &self.opened.flow
    }

    /// To be looked at with no server connected.
    pub(crate) fn into_look(self) -> Opened {
        self.opened
    }

    /// What its user does not allow, and a key that is missing, before anything else is opened.
    pub(crate) fn permitted(&self) -> Result<(), NotOpened> {
        self.opened.flow.permitted().map_err(not_allowed)?;
        match self.opened.unset.is_empty() {
            true => Ok(()),
            false => Err(not_allowed(self.opened.unset.iter().cloned().collect())),
        }
    }

    /// To be run: a server that cannot be reached is an error, too, and nothing is started if there is any other.
    pub(crate) fn into_run(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Result<Opened, NotOpened> {
        self.permitted()?;
        let opened = self.connected(runtime, interrupts)?;
        // Asked again: this is another flow, whose tools are those that the servers have told of.
        if let Err(problems) = opened.flow.permitted() {
            opened.servers.end(runtime, interrupts);
            return Err(not_allowed(problems));
        }
        Ok(opened)
    }

    /// To be looked at together with what its servers offer, as far as the user lets them be connected. What is not
    /// allowed is told by its outline.
    pub(crate) fn connected(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Result<Opened, NotOpened> {
        let Read { source, declared, toolbox, opened } = self;
        if declared.servers.is_empty() {
            return Ok(opened);
        }
        let (toolbox, servers) = runtime.block_on(servers::connect(&declared.servers, toolbox, interrupts))?;
        match Flow::parse(&source, &toolbox) {
            Ok(flow) => Ok(Opened { flow, servers, ..opened }),
            Err(wrong) => {
                servers.end(runtime, interrupts);
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
            Err(error) if error.kind() == ErrorKind::Denied => {
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

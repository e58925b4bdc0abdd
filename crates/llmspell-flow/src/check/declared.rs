//! What a flow file names that somebody has to open: models, and MCP servers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use llmspell::Error;
use llmspell_tools::Permissions;

use super::allow::asked;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::file::{FlowFile, ServerDef, every_step};
use crate::syntax::located::Located;
use crate::syntax::parse::parse;
use crate::syntax::source::Source;
use crate::toolbox::Toolbox;

/// The models and MCP servers of a flow file. Whoever loads it opens them, puts them into the [`Toolbox`], and then
/// [parses](crate::Flow::parse) the file.
///
/// ```
/// use llmspell_flow::{Flow, Source};
///
/// let text = "
/// flow: ask
/// models: { quick: { model: openai/gpt-5-mini, key: WORK_KEY } }
/// tools: { notes: { mcp: { command: [mcp-notes, /srv/notes] } } }
/// steps:
///   - id: answer
///     agent: { model: quick, prompt: \"${{ inputs.question }}\", tools: [notes.search] }
/// ";
/// let declared = Flow::declared(&Source::new("ask.yaml", text))?;
/// assert_eq!((declared.models[0].name.as_str(), declared.models[0].model.as_str()), ("quick", "openai/gpt-5-mini"));
/// assert_eq!(declared.servers[0].name, "notes");
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Declared {
    /// The models, those of `models` first, then those that agents name in full.
    pub models: Vec<DeclaredModel>,
    /// The MCP servers.
    pub servers: Vec<DeclaredServer>,
}

/// A model that a flow file names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeclaredModel {
    /// What [`Toolbox::with_model`] is to call it.
    pub name: String,
    /// Its provider and its name there, such as `openai/gpt-5-mini`.
    pub model: String,
    /// Where it is served, if not at its provider's.
    pub endpoint: Option<String>,
    /// The name of the environment variable that holds its key, if not the usual one.
    pub key: Option<String>,
    place: Place,
}

/// An MCP server that a flow file declares.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeclaredServer {
    /// What [`Toolbox::with_server`] is to call it.
    pub name: String,
    /// How it is reached.
    pub way: ServerWay,
    /// How long connecting to it may take, if the flow says so.
    pub connect: Option<Duration>,
    place: Place,
}

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerWay {
    /// It is started.
    #[non_exhaustive]
    Program {
        /// The program and its arguments.
        command: Vec<String>,
        /// The environment variables that it may see beside the usual few.
        env: Vec<String>,
    },
    /// It is there already.
    #[non_exhaustive]
    Http {
        /// Its address.
        url: String,
        /// The name of the environment variable that holds its token.
        token: Option<String>,
    },
}

/// Where something stands, and what the flow asks for.
#[derive(Clone, Debug)]
struct Place {
    source: Source,
    at: Range<usize>,
    asked: Arc<Permissions>,
}

impl Place {
    fn diagnose(&self, error: &Error) -> Diagnostic {
        let problem = self.source.diagnose(Some(self.at.clone()), error.message());
        match error.hint() {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    }
}

impl Declared {
    /// What the file says; what is wrong with its meaning is found by [`Flow::parse`](crate::Flow::parse).
    pub(crate) fn read(source: &Source) -> Result<Self, Diagnostics> {
        let file = parse(source)?;
        let asked = Arc::new(asked(&file, source, &mut Vec::new()));
        let place = |at: &Range<usize>| Place { source: source.clone(), at: at.clone(), asked: asked.clone() };
        Ok(Declared { models: models(&file, place), servers: servers(&file, place) })
    }
}

impl DeclaredModel {
    /// Whether the flow asks for what it takes to talk to the model, and the user grants it. Only an endpoint of the
    /// flow's own takes a permission; a model without it belongs into [`Toolbox::with_unopened_model`].
    pub fn may_be_opened(&self, toolbox: &Toolbox) -> bool {
        self.endpoint.as_deref().is_none_or(|url| toolbox.gate(&self.place.asked).missing_url(url).is_none())
    }

    /// Why it cannot be opened, at its place in the file.
    pub fn diagnose(&self, error: &Error) -> Diagnostic {
        self.place.diagnose(error)
    }
}

impl DeclaredServer {
    /// Whether the flow asks for what it takes to reach the server, and the user grants it: to run the program, or to
    /// talk to the host. One without it belongs into [`Toolbox::with_unopened_server`].
    pub fn may_be_opened(&self, toolbox: &Toolbox) -> bool {
        let gate = toolbox.gate(&self.place.asked);
        match &self.way {
            ServerWay::Program { command, .. } => {
                command.first().is_none_or(|program| gate.missing_program(program).is_none())
            }
            ServerWay::Http { url, .. } => gate.missing_url(url).is_none(),
        }
    }

    /// Why it cannot be reached, at its place in the file.
    pub fn diagnose(&self, error: &Error) -> Diagnostic {
        self.place.diagnose(error)
    }
}

/// The environment variables that hold keys of its models and tokens of its servers.
pub(crate) fn keys(file: &FlowFile) -> impl Iterator<Item = &str> {
    let keys = file.models.0.iter().filter_map(|(_, model)| model.value.0.key.as_ref());
    let tokens = file.tools.0.iter().filter_map(|(_, tool)| tool.value.mcp.as_ref()?.value.token.as_ref());
    keys.chain(tokens).map(|name| name.value.as_str())
}

fn models(file: &FlowFile, place: impl Fn(&Range<usize>) -> Place) -> Vec<DeclaredModel> {
    let text = |value: &Option<Located<String>>| value.as_ref().map(|value| value.value.clone());
    let mut models = Vec::new();
    for (name, def) in &file.models.0 {
        let def_at = &def.value.0.model.at;
        let at = if def_at.is_empty() { &def.at } else { def_at };
        models.push(DeclaredModel {
            name: name.value.clone(),
            model: def.value.0.model.value.clone(),
            endpoint: text(&def.value.0.endpoint),
            key: text(&def.value.0.key),
            place: place(at),
        });
    }
    let agents = every_step(&file.steps.value).into_iter().filter_map(|step| step.agent.as_ref());
    let named = agents.filter_map(|agent| agent.value.model.as_ref());
    for name in file.defaults.model.iter().chain(named) {
        if name.value.contains('/') && models.iter().all(|model| model.name != name.value) {
            models.push(DeclaredModel {
                name: name.value.clone(),
                model: name.value.clone(),
                endpoint: None,
                key: None,
                place: place(&name.at),
            });
        }
    }
    models
}

fn servers(file: &FlowFile, place: impl Fn(&Range<usize>) -> Place) -> Vec<DeclaredServer> {
    let server = |(name, def): &(Located<String>, Located<crate::syntax::file::ToolDef>)| {
        let server = def.value.mcp.as_ref()?;
        Some(DeclaredServer {
            name: name.value.clone(),
            way: way(&server.value)?,
            connect: server.value.connect.map(|span| span.0),
            place: place(&server.at),
        })
    };
    file.tools.0.iter().filter_map(server).collect()
}

/// `None` if it says neither or both, which is wrong.
fn way(server: &ServerDef) -> Option<ServerWay> {
    match (&server.command, &server.url) {
        (Some(command), None) if !command.value.is_empty() => {
            Some(ServerWay::Program { command: command.value.clone(), env: server.env.clone() })
        }
        (None, Some(url)) => {
            let token = server.token.as_ref().map(|token| token.value.clone());
            Some(ServerWay::Http { url: url.value.clone(), token })
        }
        _ => None,
    }
}

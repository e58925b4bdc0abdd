//! The models and MCP servers that a program must open before it loads a flow.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use llmspell::Error;
use llmspell_tools::Permissions;

use super::allow::requested;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::file::{FlowFile, ServerDef, every_step};
use crate::syntax::located::Located;
use crate::syntax::parse::parse;
use crate::syntax::source::Source;
use crate::toolbox::Toolbox;

/// The models and MCP servers of a flow file. A program that loads the flow opens them, puts them into the [`Toolbox`],
/// and then [parses](crate::Flow::parse) the file.
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
/// let declared = Flow::declarations(&Source::new("ask.yaml", text))?;
/// assert_eq!((declared.models[0].name.as_str(), declared.models[0].model.as_str()), ("quick", "openai/gpt-5-mini"));
/// assert_eq!(declared.servers[0].name, "notes");
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Declarations {
    /// The models: first the entries of `models`, then the models that agents name in full.
    pub models: Vec<DeclaredModel>,
    /// The MCP servers.
    pub servers: Vec<DeclaredServer>,
}

/// A model that a flow file names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeclaredModel {
    /// The name for [`Toolbox::with_model`].
    pub name: String,
    /// The provider and the name there, such as `openai/gpt-5-mini`.
    pub model: String,
    /// The address of the server, if it is not the provider's.
    pub endpoint: Option<String>,
    /// The name of the environment variable with the key, if it is not the usual one.
    pub key: Option<String>,
    declaration: Declaration,
}

/// An MCP server that a flow file declares.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeclaredServer {
    /// The name for [`Toolbox::with_server`].
    pub name: String,
    /// The transport of the connection.
    pub transport: ServerTransport,
    /// The time limit for connecting, if the flow sets one.
    pub connect: Option<Duration>,
    declaration: Declaration,
}

/// The transport of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerTransport {
    /// A program that is started, with MCP on its standard input and output.
    #[non_exhaustive]
    Program {
        /// The program and its arguments.
        command: Vec<String>,
        /// The environment variables passed to it in addition to the usual few.
        env: Vec<String>,
    },
    /// A running server over HTTP.
    #[non_exhaustive]
    Http {
        /// The address.
        url: String,
        /// The name of the environment variable with the token.
        token: Option<String>,
    },
}

/// The position of a declaration, and the permissions that the flow requests.
#[derive(Clone, Debug)]
struct Declaration {
    source: Source,
    at: Range<usize>,
    requested: Arc<Permissions>,
}

impl Declaration {
    fn diagnose(&self, error: &Error) -> Diagnostic {
        let problem = self.source.diagnose(Some(self.at.clone()), error.message());
        match error.hint() {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    }
}

impl Declarations {
    /// Reads the declarations. Problems with their meaning are found by [`Flow::parse`](crate::Flow::parse).
    pub(crate) fn read(source: &Source) -> Result<Self, Diagnostics> {
        let file = parse(source)?;
        let requested = Arc::new(requested(&file, source, &mut Vec::new()));
        let declaration =
            |at: &Range<usize>| Declaration { source: source.clone(), at: at.clone(), requested: requested.clone() };
        Ok(Declarations { models: models(&file, declaration), servers: servers(&file, declaration) })
    }
}

impl DeclaredModel {
    /// Returns whether the permission to contact the model is requested by the flow and granted by the user. Only a model
    /// with an `endpoint` needs one. Pass a model without permission to [`Toolbox::with_unopened_model`].
    pub fn may_be_opened(&self, toolbox: &Toolbox) -> bool {
        self.endpoint.as_deref().is_none_or(|url| toolbox.gate(&self.declaration.requested).missing_url(url).is_none())
    }

    /// Returns an error that occurred while opening it as a diagnostic at its position.
    pub fn diagnose(&self, error: &Error) -> Diagnostic {
        self.declaration.diagnose(error)
    }
}

impl DeclaredServer {
    /// Returns whether the permission to run the program, or to contact the host, is requested by the flow and granted by
    /// the user. Pass a server without permission to [`Toolbox::with_unopened_server`].
    pub fn may_be_opened(&self, toolbox: &Toolbox) -> bool {
        let gate = toolbox.gate(&self.declaration.requested);
        match &self.transport {
            ServerTransport::Program { command, .. } => {
                command.first().is_none_or(|program| gate.missing_program(program).is_none())
            }
            ServerTransport::Http { url, .. } => gate.missing_url(url).is_none(),
        }
    }

    /// Returns an error that occurred while connecting as a diagnostic at its position.
    pub fn diagnose(&self, error: &Error) -> Diagnostic {
        self.declaration.diagnose(error)
    }
}

/// The environment variables that hold keys of its models and tokens of its servers.
pub(crate) fn keys(file: &FlowFile) -> impl Iterator<Item = &str> {
    let keys = file.models.0.iter().filter_map(|(_, model)| model.value.0.key.as_ref());
    let tokens = file.tools.0.iter().filter_map(|(_, tool)| tool.value.mcp.as_ref()?.value.token.as_ref());
    keys.chain(tokens).map(|name| name.value.as_str())
}

fn models(file: &FlowFile, declaration: impl Fn(&Range<usize>) -> Declaration) -> Vec<DeclaredModel> {
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
            declaration: declaration(at),
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
                declaration: declaration(&name.at),
            });
        }
    }
    models
}

fn servers(file: &FlowFile, declaration: impl Fn(&Range<usize>) -> Declaration) -> Vec<DeclaredServer> {
    let server = |(name, def): &(Located<String>, Located<crate::syntax::file::ToolDef>)| {
        let server = def.value.mcp.as_ref()?;
        Some(DeclaredServer {
            name: name.value.clone(),
            transport: transport(&server.value)?,
            connect: server.value.connect.map(|span| span.0),
            declaration: declaration(&server.at),
        })
    };
    file.tools.0.iter().filter_map(server).collect()
}

/// Returns `None` for neither or both, which [`Flow::parse`](crate::Flow::parse) reports.
fn transport(server: &ServerDef) -> Option<ServerTransport> {
    match (&server.command, &server.url) {
        (Some(command), None) if !command.value.is_empty() => {
            Some(ServerTransport::Program { command: command.value.clone(), env: server.env.clone() })
        }
        (None, Some(url)) => {
            let token = server.token.as_ref().map(|token| token.value.clone());
            Some(ServerTransport::Http { url: url.value.clone(), token })
        }
        _ => None,
    }
}

//! What a flow brings or asks for beside its steps: tools of its own, permissions, defaults.

use schemars::JsonSchema;
use serde::Deserialize;

use super::modifiers::{RetryDef, TimeoutDef};
use super::{InputDef, Short};
use crate::syntax::duration::Span;
use crate::syntax::entries::Entries;
use crate::syntax::located::Located;
use crate::syntax::node::Node;

/// A tool of the flow's own: a program, or the tools of an MCP server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tool")]
pub(crate) struct ToolDef {
    /// What it does, for models that may call it.
    pub(crate) description: Option<String>,
    /// The program and its arguments, with templates over `args`: `[jq, -r, "${{ args.filter }}"]`. No shell.
    pub(crate) command: Option<Located<Vec<Located<String>>>>,
    /// The arguments that the program takes.
    pub(crate) args: Option<Entries<InputDef>>,
    /// Says that running the program twice does no harm, as `idempotent` of a step does for all its calls.
    #[serde(default)]
    pub(crate) idempotent: bool,
    /// More output than this, in bytes, is an error; so is more error output. The default is 1048576, 1 MiB.
    #[schemars(range(min = 1))]
    pub(crate) max_bytes: Option<Located<usize>>,
    /// The MCP server whose tools are called `<name>.<tool>`.
    pub(crate) mcp: Option<Located<ServerDef>>,
}

/// An MCP server: a program to start, or an address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(crate) struct ServerDef {
    /// The program and its arguments.
    pub(crate) command: Option<Located<Vec<String>>>,
    /// The environment variables of ours that it may see; by default none but `PATH` and `HOME`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    /// Its address, if it is served over HTTP.
    pub(crate) url: Option<Located<String>>,
    /// The name of the environment variable that holds its token.
    pub(crate) token: Option<Located<String>>,
    /// How long connecting to it may take, its start included. The default is 30s.
    pub(crate) connect: Option<Span>,
}

/// What the tools of the flow want to touch. What the user does not grant, too, they may not.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Allow")]
pub(crate) struct AllowDef {
    /// Folders and files to read, relative to the flow.
    #[serde(default)]
    pub(crate) read: Vec<Located<String>>,
    /// Folders and files to write, relative to the flow.
    #[serde(default)]
    pub(crate) write: Vec<Located<String>>,
    /// Hosts to talk to, such as `example.org` or `localhost:8080`; `*` is any.
    #[serde(default)]
    pub(crate) net: Vec<Located<String>>,
    /// Whether hosts are at private addresses, although their names do not say so.
    #[serde(default)]
    pub(crate) net_private: bool,
    /// Programs to run.
    #[serde(default)]
    pub(crate) command: Vec<Located<String>>,
    /// Tools of extensions and of MCP servers that are not safe.
    #[serde(default)]
    pub(crate) tool: Vec<Located<String>>,
}

/// What steps have that say nothing else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Defaults")]
pub(crate) struct DefaultsDef {
    /// The model of agents.
    pub(crate) model: Option<Located<String>>,
    /// How long an attempt of a tool or an agent may take.
    pub(crate) timeout: Option<Located<Short<TimeoutDef>>>,
    /// How long all attempts of a tool or an agent may take.
    pub(crate) deadline: Option<Located<Span>>,
    /// What of tools and agents to try again.
    pub(crate) retry: Option<Located<Short<RetryDef>>>,
    /// How many calls of each tool and each agent may run at once.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<Located<u32>>,
}

/// How a run of the flow goes, if its user says nothing else: the options of `llmspell run`, by their names.
pub(crate) type RunDef = Entries<Node>;

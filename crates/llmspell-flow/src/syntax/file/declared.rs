//! The declarations of a flow beside its steps: tools, permissions and defaults.

use schemars::JsonSchema;
use serde::Deserialize;

use super::modifiers::{RetryDef, TimeoutDef};
use super::{InputDef, Short};
use crate::syntax::duration::DurationDef;
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;

/// A tool that the flow declares: a program, or the tools of an MCP server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tool")]
pub(crate) struct ToolDef {
    /// A description for models that may call the tool.
    pub(crate) description: Option<String>,
    /// The program and its arguments, with templates over `args`: `[jq, -r, "${{ args.filter }}"]`. No shell.
    pub(crate) command: Option<Located<Vec<Located<String>>>>,
    /// The arguments of the tool.
    pub(crate) args: Option<Mapping<InputDef>>,
    /// States that running the program twice is harmless, like `idempotent` of a step.
    #[serde(default)]
    pub(crate) idempotent: bool,
    /// The maximum size of the output, and of the error output, in bytes. More is an error. The default is 1048576, 1 MiB.
    #[schemars(range(min = 1))]
    pub(crate) max_bytes: Option<Located<usize>>,
    /// An MCP server. Its tools have the names `<name>.<tool>`.
    pub(crate) mcp: Option<Located<ServerDef>>,
}

/// An MCP server: a program to start, or an address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(crate) struct ServerDef {
    /// The program and its arguments.
    pub(crate) command: Option<Located<Vec<String>>>,
    /// The environment variables that are passed to the program, in addition to `PATH` and `HOME`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    /// The address of a server over HTTP.
    pub(crate) url: Option<Located<String>>,
    /// The name of the environment variable with the token.
    pub(crate) token: Option<Located<String>>,
    /// The time limit for starting the server and connecting to it. The default is 30s.
    pub(crate) connect: Option<DurationDef>,
}

/// The permissions that the tools of the flow need. A permission takes effect only if the user also grants it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Allow")]
pub(crate) struct AllowDef {
    /// Folders and files that may be read, relative to the flow.
    #[serde(default)]
    pub(crate) read: Vec<Located<String>>,
    /// Folders and files that may be written, relative to the flow.
    #[serde(default)]
    pub(crate) write: Vec<Located<String>>,
    /// Hosts that may be contacted, such as `example.org` or `localhost:8080`; `*` is any host.
    #[serde(default)]
    pub(crate) net: Vec<Located<String>>,
    /// Whether hosts may have private addresses that their names do not show.
    #[serde(default)]
    pub(crate) net_private: bool,
    /// Programs that may be run.
    #[serde(default)]
    pub(crate) command: Vec<Located<String>>,
    /// Tools of extensions and MCP servers that are not marked as safe.
    #[serde(default)]
    pub(crate) tool: Vec<Located<String>>,
}

/// The modifiers of all steps that do not set their own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Defaults")]
pub(crate) struct DefaultsDef {
    /// The model of agents that name none.
    pub(crate) model: Option<Located<String>>,
    /// The time limit for one attempt of a tool or an agent.
    pub(crate) timeout: Option<Located<Short<TimeoutDef>>>,
    /// The time limit for all attempts of a tool or an agent.
    pub(crate) deadline: Option<Located<DurationDef>>,
    /// The retries of tools and agents.
    pub(crate) retry: Option<Located<Short<RetryDef>>>,
    /// The maximum number of calls at a time, for each step with a tool or an agent.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<Located<u32>>,
}

/// The defaults of a run of the flow: options of `llmspell run`, by name.
pub(crate) type RunDef = Mapping<Node>;

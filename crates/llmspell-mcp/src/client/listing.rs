//! Lists the tools of a server as [`DynTool`]s.

use std::sync::Arc;

use llmspell::step::StepInfo;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, ErrorKind, Result, Step};
use rmcp::model::{PaginatedRequestParams, Tool};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::names;
use super::reconnecting_client::ReconnectingClient;

/// The most pages of a list. The limit stops a server whose list has no end.
const MAX_PAGES: usize = 1000;

/// One tool of a server.
struct RemoteTool {
    client: Arc<ReconnectingClient>,
    /// The tool's name on the server.
    name: String,
    idempotent: bool,
}

impl Step for RemoteTool {
    type In = Value;
    type Out = Value;

    async fn run(&self, input: Value, cx: &Context) -> Result<Value> {
        let arguments = match input {
            Value::Object(arguments) => arguments,
            Value::Null => Default::default(),
            _ => return Err(Error::invalid("the arguments of an MCP tool must be an object")),
        };
        self.client.call(&self.name, arguments, self.idempotent, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        let info = StepInfo::default();
        if self.idempotent { info.idempotent() } else { info }
    }
}

pub(crate) async fn list(client: &Arc<ReconnectingClient>, cx: &Context) -> Result<Vec<DynTool>> {
    let deadline = Instant::now() + client.options().call_timeout;
    let deadline = cx.deadline().map_or(deadline, |known| known.min(deadline));
    let tools = timeout_at(deadline, list_pages(client, cx)).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("the MCP server `{}` did not list its tools in time", client.server()))
    })??;
    let names: Vec<_> = tools.iter().map(|tool| format!("{}{}", client.options().prefix, tool.name)).collect();
    let named = tools.into_iter().zip(names::callable(&names));
    Ok(named.map(|(tool, name)| dyn_tool(client, tool, &name)).collect())
}

async fn list_pages(client: &Arc<ReconnectingClient>, cx: &Context) -> Result<Vec<Tool>> {
    let mut is_second = false;
    loop {
        let connection = client.connection(cx).await?;
        let mut tools = Vec::new();
        let mut cursor = None;
        let failure = 'pages: {
            for _ in 0..MAX_PAGES {
                let page = PaginatedRequestParams::default().with_cursor(cursor.take());
                match connection.peer().list_tools(Some(page)).await {
                    Ok(page) => {
                        tools.extend(page.tools);
                        match page.next_cursor {
                            Some(next) => cursor = Some(next),
                            None => return Ok(tools),
                        }
                    }
                    Err(error) => break 'pages error,
                }
            }
            let message = format!("the MCP server `{}` listed its tools on over {MAX_PAGES} pages", client.server());
            return Err(Error::failed(message));
        };
        // A repeated listing is harmless.
        let is_lost = answer::is_connection_lost(&failure);
        if is_lost {
            connection.retire();
        }
        if !is_lost || is_second {
            return Err(answer::failure(&failure, client.server(), true));
        }
        is_second = true;
    }
}

fn dyn_tool(client: &Arc<ReconnectingClient>, tool: Tool, name: &str) -> DynTool {
    let hints = tool.annotations.clone().filter(|_| !client.options().ignore_hints).unwrap_or_default();
    let only_reads = hints.read_only_hint == Some(true);
    let idempotent = only_reads || hints.is_idempotent();
    let remote = RemoteTool { client: client.clone(), name: tool.name.to_string(), idempotent };
    let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
    let security = if only_reads { Privilege::Restricted } else { Privilege::Privileged };
    let dyn_tool = DynTool::from_schema(name, description, tool.schema_as_json_value(), remote).security(security);
    // Only if the server says so explicitly: MCP's default is destructive, which would make most servers' calls run one
    // at a time.
    if !only_reads && hints.destructive_hint == Some(true) { dyn_tool.exclusive() } else { dyn_tool }
}

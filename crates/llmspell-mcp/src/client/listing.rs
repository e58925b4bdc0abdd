//! What a server offers.

use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, ErrorKind, Result, Step, StepInfo};
use rmcp::model::{PaginatedRequestParams, Tool};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::names;
use super::reconnecting_client::ReconnectingClient;

/// Lists are read to their end, but not for ever.
const MAX_PAGES: usize = 1000;

/// One tool of a server.
struct RemoteTool {
    link: Arc<ReconnectingClient>,
    /// What the server calls it.
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
            _ => return Err(Error::invalid("the arguments of an MCP tool are an object")),
        };
        self.link.call(&self.name, arguments, self.idempotent, cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        let about = StepInfo::default();
        if self.idempotent { about.idempotent() } else { about }
    }
}

pub(crate) async fn list(link: &Arc<ReconnectingClient>, cx: &Context) -> Result<Vec<DynTool>> {
    let deadline = Instant::now() + link.rules().call_timeout;
    let deadline = cx.deadline().map_or(deadline, |known| known.min(deadline));
    let tools = timeout_at(deadline, pages(link, cx)).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, format!("the MCP server `{}` did not list its tools in time", link.place()))
    })??;
    let names: Vec<_> = tools.iter().map(|tool| format!("{}{}", link.rules().prefix, tool.name)).collect();
    let named = tools.into_iter().zip(names::callable(&names));
    Ok(named.map(|(tool, name)| erased(link, tool, &name)).collect())
}

async fn pages(link: &Arc<ReconnectingClient>, cx: &Context) -> Result<Vec<Tool>> {
    let mut is_second = false;
    loop {
        let connection = link.connection(cx).await?;
        let mut tools = Vec::new();
        let mut cursor = None;
        let failed = 'pages: {
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
            return Err(Error::failed(format!("the list of the tools of `{}` has no end", link.place())));
        };
        // Listing twice does no harm.
        let is_lost = answer::is_of_transport(&failed);
        if is_lost {
            connection.retire();
        }
        if !is_lost || is_second {
            return Err(answer::failure(&failed, link.place(), true));
        }
        is_second = true;
    }
}

fn erased(link: &Arc<ReconnectingClient>, tool: Tool, name: &str) -> DynTool {
    let hints = tool.annotations.clone().filter(|_| !link.rules().ignore_hints).unwrap_or_default();
    let only_reads = hints.read_only_hint == Some(true);
    let remote =
        RemoteTool { link: link.clone(), name: tool.name.to_string(), idempotent: only_reads || hints.is_idempotent() };
    let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
    let security = if only_reads { Privilege::Restricted } else { Privilege::Privileged };
    let erased = DynTool::from_schema(name, description, tool.schema_as_json_value(), remote).security(security);
    // Only if the server says so: taking silence for it would run the calls of most servers one by one.
    if !only_reads && hints.destructive_hint == Some(true) { erased.exclusive() } else { erased }
}

//! Handles the requests of one session: lists tools and runs calls.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use llmspell::context::{ChunkData, Chunks};
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Result, Step};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult, NotificationMetaObject,
    PaginatedRequestParams, ProgressNotificationParam, ProgressToken, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::{Peer, RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::admission::Admission;
use super::call_result;
use crate::protocol::CHUNK;

/// The number of chunks that wait for a slow client; beyond that the tool waits.
const CHUNK_CAPACITY: usize = 16;

/// The error of calls that are dropped when the server ends.
const SERVER_ENDED: &str = "the server ended before the tool had finished; the call may have happened";

/// The state that all connections of a server share.
pub(crate) struct ServerState {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instructions: Option<String>,
    pub(crate) tools: BTreeMap<String, DynTool>,
    pub(crate) admission: Admission,
    pub(crate) call_timeout: Duration,
    pub(crate) cx: Context,
}

/// The handler of one session.
#[derive(Clone)]
pub(crate) struct Handler(pub(crate) Arc<ServerState>);

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(self.0.name.as_str(), self.0.version.as_str()));
        match &self.0.instructions {
            Some(instructions) => info.with_instructions(instructions.as_str()),
            None => info,
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tools.get(name).map(mcp_tool)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools.values().map(mcp_tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let server = &self.0;
        let Some(tool) = server.tools.get(&*request.name).cloned() else {
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`", request.name), None));
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let progress = context.meta.get_progress_token().map(|token| (token, context.peer.clone()));
        let work = move |cx: Context| run_tool(tool, arguments, progress, cx);
        let deadline = tokio::time::Instant::now() + server.call_timeout;
        let cx = server.cx.with_deadline(deadline);
        let call = timeout(server.call_timeout, server.admission.run(&cx, work));
        // Dropping the call stops the work; rmcp would let it run.
        tokio::select! {
            biased;
            result = call => match result {
                Ok(Ok(result)) => Ok(call_result::response(result)),
                Ok(Err(overloaded)) => Err(call_result::rejection(&overloaded)),
                Err(_) => Ok(call_result::response(Err(call_result::timed_out(server.call_timeout)))),
            },
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
            () = server.admission.ended() => Err(ErrorData::internal_error(SERVER_ENDED, None)),
        }
    }
}

/// Runs a tool, sends its partial output as progress, and turns a panic into an error.
async fn run_tool(
    tool: DynTool,
    arguments: Value,
    progress: Option<(ProgressToken, Peer<RoleServer>)>,
    cx: Context,
) -> Result<Value> {
    let tool = tool.catch_panic();
    let Some((token, peer)) = progress else {
        return tool.run(arguments, &cx).await;
    };
    let (cx, chunks) = cx.with_chunks(CHUNK_CAPACITY);
    let (done, is_done) = oneshot::channel();
    let work = async move {
        let result = tool.run(arguments, &cx).await;
        let _ = done.send(());
        result
    };
    // Joined, so that chunks emitted before the end are sent before the answer.
    tokio::join!(work, send_progress(token, peer, chunks, is_done)).0
}

/// Sends chunks as progress until no more can come, or the tool has returned. Work that outlives the tool, such as a
/// thread, may still emit; the answer does not wait for it.
async fn send_progress(
    token: ProgressToken,
    peer: Peer<RoleServer>,
    mut chunks: Chunks,
    is_done: oneshot::Receiver<()>,
) {
    let mut last = f64::NEG_INFINITY;
    let mut is_done = pin!(is_done);
    loop {
        let chunk = tokio::select! {
            biased;
            _ = &mut is_done, if !chunks.is_closed() => {
                chunks.close();
                continue;
            }
            chunk = chunks.next() => chunk,
        };
        let Some(chunk) = chunk else { return };
        let ChunkData::Output(value) = chunk.data else { continue };
        // An error means that the client has left, which the connection notices itself.
        let _ = peer.notify_progress(progress_param(&token, value, &mut last)).await;
    }
}

/// Converts a chunk to progress. `last` is the progress value sent before; MCP requires the values to increase.
fn progress_param(token: &ProgressToken, value: Value, last: &mut f64) -> ProgressNotificationParam {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    // A tool that emits the members of MCP's progress means them.
    *last = number("progress").filter(|progress| *progress > *last).unwrap_or(last.max(0.0) + 1.0);
    let mut param = ProgressNotificationParam::new(token.clone(), *last);
    param.total = number("total");
    param.message = match &value {
        Value::String(text) => Some(text.clone()),
        value => value.get("message").and_then(Value::as_str).map(String::from),
    };
    let mut meta = NotificationMetaObject::new();
    meta.insert(CHUNK.to_owned(), value);
    param.meta = Some(meta);
    param
}

/// Converts the specification of a tool to MCP.
fn mcp_tool(tool: &DynTool) -> Tool {
    let spec = tool.spec();
    let schema = match &spec.parameters {
        Value::Object(schema) => schema.clone(),
        _ => Default::default(),
    };
    let mut annotations = ToolAnnotations::new().read_only(spec.security < Privilege::Privileged);
    if tool.info().idempotent {
        annotations = annotations.idempotent(true);
    }
    Tool::new(spec.name.clone(), spec.description.clone(), schema).with_annotations(annotations)
}

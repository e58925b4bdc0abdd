//! What is done with a call of a tool.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use llmspell::tool::{DynTool, Privilege};
use llmspell::{ChunkData, Chunks, Context, Error, ErrorKind, Result, Step};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    NotificationMetaObject, PaginatedRequestParams, ProgressNotificationParam, ProgressToken, ServerCapabilities,
    ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{Peer, RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::admission::{Admission, Overloaded};
use crate::chunk::{CHUNK, OVERLOADED};

/// Chunks that wait for a client that is slow to take them; after that the tool waits.
const CHUNK_CAPACITY: usize = 16;

/// What is said to calls that are cut off when the server ends.
const ENDED: &str = "the server has ended before the tool was done; the call may have happened";

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instructions: Option<String>,
    pub(crate) tools: BTreeMap<String, DynTool>,
    pub(crate) admission: Admission,
    pub(crate) call_timeout: Duration,
    pub(crate) cx: Context,
}

/// One session.
#[derive(Clone)]
pub(crate) struct Handler(pub(crate) Arc<Shared>);

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
        self.0.tools.get(name).map(described)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools.values().map(described).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let shared = &self.0;
        let Some(tool) = shared.tools.get(&*request.name).cloned() else {
            return Err(ErrorData::invalid_params(format!("there is no tool `{}`", request.name), None));
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let progress = context.meta.get_progress_token().map(|token| (token, context.peer.clone()));
        let work = move |cx: Context| call(tool, arguments, progress, cx);
        let deadline = tokio::time::Instant::now() + shared.call_timeout;
        let cx = shared.cx.with_deadline(deadline);
        let call = timeout(shared.call_timeout, shared.admission.run(&cx, work));
        // Dropping the call stops the work; rmcp would let it go on.
        tokio::select! {
            biased;
            result = call => match result {
                Ok(Ok(result)) => Ok(answer(result)),
                Ok(Err(refusal)) => Err(refused(&refusal)),
                Err(_) => Ok(answer(Err(late(shared.call_timeout)))),
            },
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
            () = shared.admission.ended() => Err(ErrorData::internal_error(ENDED, None)),
        }
    }
}

/// Runs a tool, shows its partial output as progress, and lets no panic out.
async fn call(
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
    // What was emitted before the end is told before the answer.
    tokio::join!(work, tell(token, peer, chunks, is_done)).0
}

/// Tells the client of chunks until no more can come, or the work is done: a part of it that goes on all the same, such
/// as a thread, could show more, but the answer does not wait for that.
async fn tell(token: ProgressToken, peer: Peer<RoleServer>, mut chunks: Chunks, is_done: oneshot::Receiver<()>) {
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
        let object = value.as_object();
        let number = |key: &str| object.and_then(|object| object.get(key)?.as_f64());
        // A tool that emits progress as MCP knows it means that; it has to grow in any case.
        last = number("progress").filter(|told| *told > last).unwrap_or(last.max(0.0) + 1.0);
        let mut step = ProgressNotificationParam::new(token.clone(), last);
        step.total = number("total");
        step.message = match &value {
            Value::String(text) => Some(text.clone()),
            value => value.get("message").and_then(Value::as_str).map(String::from),
        };
        let mut meta = NotificationMetaObject::new();
        meta.insert(CHUNK.to_owned(), value);
        step.meta = Some(meta);
        // A client that went away is noticed elsewhere.
        let _ = peer.notify_progress(step).await;
    }
}

fn late(longest: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("the tool took longer than {} s, which is all it may take", longest.as_secs_f64()),
    )
    .with_hint("ask for less at once")
}

/// The answer to a call that was not taken on: the client is to act on it, and a model not to read it.
fn refused(Overloaded(error): &Overloaded) -> ErrorData {
    let wait = error.retry_after().map(|wait| json!({ "retryAfterMs": wait.as_millis() as u64 }));
    ErrorData::new(rmcp::model::ErrorCode(OVERLOADED), error.message().to_owned(), wait)
}

/// The answer to a call that ran: also an error is one for a model to read, whatever kind it is of.
fn answer(result: Result<Value>) -> CallToolResponse {
    let error = match result {
        Ok(value) => {
            let result = success(value);
            return if is_too_long(&result) { too_long() } else { result }.into();
        }
        Err(error) => error,
    };
    let text = match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    };
    CallToolResult::error(vec![ContentBlock::text(text)]).into()
}

/// The longest line of stdio and the largest event of HTTP that rmcp, and with it our client, takes. Over stdio it
/// leaves out what is longer without a word, and the call would be waited for in vain.
const LONGEST: usize = 16 << 20;

/// What goes around an answer on its way.
const ENVELOPE: usize = 4096;

fn too_long() -> CallToolResult {
    let text = "the answer is longer than the 16 MiB that clients of MCP take\nhint: ask for less of it";
    CallToolResult::error(vec![ContentBlock::text(text)])
}

fn is_too_long(result: &CallToolResult) -> bool {
    serde_json::to_writer(ByteCounter(LONGEST - ENVELOPE), result).is_err()
}

/// Takes so many bytes, and remembers none of them.
struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Objects are structured content, and text as well for clients that know no other; strings are text as they are.
/// What is content as MCP describes it, and nothing else, stays that: a tool of another server that gives an image
/// gives one here.
fn success(value: Value) -> CallToolResult {
    if let Some(content) = content(&value) {
        return CallToolResult::success(content);
    }
    let text = match &value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    if value.is_object() {
        result.structured_content = Some(value);
    }
    result
}

/// The content of `{ "content": […] }`.
fn content(value: &Value) -> Option<Vec<ContentBlock>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let content: Vec<ContentBlock> = serde_json::from_value(object.get("content")?.clone()).ok()?;
    (!content.is_empty()).then_some(content)
}

/// A tool as clients are told of it.
fn described(tool: &DynTool) -> Tool {
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

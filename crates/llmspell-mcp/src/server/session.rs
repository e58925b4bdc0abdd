//! A handler that counts as an open session while it lives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::Result;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};

use super::handler::Handler;

/// The most open sessions. rmcp ends an unused one after five minutes.
const MAX_SESSIONS: usize = 1024;

pub(crate) struct Session {
    handler: Handler,
    open_sessions: Arc<AtomicUsize>,
}

impl Session {
    pub(crate) fn open(handler: Handler, open_sessions: Arc<AtomicUsize>) -> io::Result<Session> {
        let before = open_sessions.fetch_add(1, Ordering::AcqRel);
        // Built before the check: dropping a session beyond the limit restores the count.
        let session = Session { handler, open_sessions };
        if before < MAX_SESSIONS { Ok(session) } else { Err(io::Error::other("too many sessions")) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.open_sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        self.handler.get_info()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.handler.get_tool(name)
    }

    fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, rmcp::ErrorData>> + Send {
        self.handler.list_tools(request, context)
    }

    fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CallToolResponse, rmcp::ErrorData>> + Send {
        self.handler.call_tool(request, context)
    }
}

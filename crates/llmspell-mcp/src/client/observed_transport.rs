//! A transport that reports to [`PendingCalls`] what it sends and receives.
//!
//! rmcp reports only how a call ended. Only the transport knows whether a call was ever sent, whether an answer
//! followed its cancellation, and the order of progress notifications.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::RoleClient;
use rmcp::model::{
    ClientRequest, GetExtensions, GetMeta, JsonRpcMessage, NotificationMetaObject, ProgressNotification,
    ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::pending_calls::{CallProgress, PendingCall, PendingCalls};
use crate::protocol::{CHUNK, OVERSIZED};

/// The key by which rmcp marks errors that it generates itself.
const GENERATED: &str = "io.modelcontextprotocol/transportClosed";

pub(crate) struct ObservedTransport<T> {
    pub(crate) transport: T,
    pub(crate) calls: Arc<PendingCalls>,
    /// Counts the server's announcements that its tools have changed.
    pub(crate) changes: watch::Sender<u64>,
}

impl<T: Transport<RoleClient> + 'static> Transport<RoleClient> for ObservedTransport<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        mut message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        let mut is_wanted = true;
        if let JsonRpcMessage::Request(request) = &mut message
            && let ClientRequest::CallToolRequest(params) = &mut request.request
            && let Some(call) = params.extensions_mut().remove::<Arc<PendingCall>>()
        {
            let token = request.request.get_meta().get_progress_token();
            is_wanted = self.calls.insert(request.id.clone(), token, call);
        }
        let send = is_wanted.then(|| self.transport.send(message));
        async move {
            match send {
                Some(send) => send.await,
                None => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.transport.receive().await;
        match &message {
            Some(JsonRpcMessage::Response(response)) => self.calls.on_answer(&response.id),
            Some(JsonRpcMessage::Error(error)) => {
                let data = |name| error.error.data.as_ref().and_then(|data| data.get(name));
                // An error that rmcp generates when the stream of a call breaks off says nothing about the call. Nor
                // does an oversized answer that may belong to another call.
                let is_answer = data(GENERATED).is_none() && data(OVERSIZED) != Some(&Value::Bool(false));
                if let Some(id) = error.id.as_ref().filter(|_| is_answer) {
                    self.calls.on_answer(id);
                }
            }
            Some(JsonRpcMessage::Notification(notification)) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => self.calls.on_progress(call_progress(progress)),
                ServerNotification::ToolListChangedNotification(_) => self.changes.send_modify(|count| *count += 1),
                _ => {}
            },
            Some(JsonRpcMessage::Request(_)) => {}
            None => self.calls.close(),
        }
        message
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.calls.close();
        self.transport.close()
    }
}

/// Converts a progress notification. A chunk emitted by a tool of our server is passed on unchanged. Other servers'
/// progress becomes an object with `progress` and, where given, `total` and `message`.
fn call_progress(notification: &ProgressNotification) -> CallProgress {
    let params = &notification.params;
    let chunk = notification
        .extensions
        .get::<NotificationMetaObject>()
        .and_then(|meta| meta.get(CHUNK))
        .cloned()
        .unwrap_or_else(|| {
            let mut chunk = json!({ "progress": params.progress });
            if let Some(total) = params.total {
                chunk["total"] = json!(total);
            }
            if let Some(message) = &params.message {
                chunk["message"] = Value::String(message.clone());
            }
            chunk
        });
    CallProgress { token: params.progress_token.clone(), value: params.progress, chunk }
}

//! A transport that is looked at as it works.
//!
//! rmcp says how a call ended, and nothing else. Whether it was ever sent, whether an answer came after it had been
//! cancelled, and in which order progress came is known only here.

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

use super::pending_call::{PendingCall, PendingCalls, Progress};
use crate::chunk::{CHUNK, OVERSIZED};

/// What rmcp marks the errors with that it makes up.
const LOST: &str = "io.modelcontextprotocol/transportClosed";

pub(crate) struct ObservedTransport<T> {
    pub(crate) transport: T,
    pub(crate) desk: Arc<PendingCalls>,
    /// Counts how often the server said that its tools have changed.
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
            && let ClientRequest::CallToolRequest(call) = &mut request.request
            && let Some(ticket) = call.extensions_mut().remove::<Arc<PendingCall>>()
        {
            let token = request.request.get_meta().get_progress_token();
            is_wanted = self.desk.enter(request.id.clone(), token, ticket);
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
            Some(JsonRpcMessage::Response(response)) => self.desk.answered(&response.id),
            Some(JsonRpcMessage::Error(error)) => {
                let told = |name| error.error.data.as_ref().and_then(|data| data.get(name));
                // An answer that rmcp makes up when the stream of a call breaks off says nothing of the call; nor does
                // one that was too large, if it may have been the answer to another.
                let is_answer = told(LOST).is_none() && told(OVERSIZED) != Some(&Value::Bool(false));
                if let Some(id) = error.id.as_ref().filter(|_| is_answer) {
                    self.desk.answered(id);
                }
            }
            Some(JsonRpcMessage::Notification(notification)) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => self.desk.progress(told(progress)),
                ServerNotification::ToolListChangedNotification(_) => self.changes.send_modify(|count| *count += 1),
                _ => {}
            },
            Some(JsonRpcMessage::Request(_)) => {}
            None => self.desk.close(),
        }
        message
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.desk.close();
        self.transport.close()
    }
}

/// Progress as it is shown: what the tool of a server of ours emitted, as it was, and anybody else's as an object with
/// `progress` and, where told, `total` and `message`.
fn told(notification: &ProgressNotification) -> Progress {
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
    Progress { token: params.progress_token.clone(), progress: params.progress, chunk }
}

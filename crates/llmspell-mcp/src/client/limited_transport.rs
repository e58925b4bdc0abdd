//! rmcp's transport over two streams, with a size limit for answers.

use std::borrow::Cow;
use std::io::Result;

use rmcp::RoleClient;
use rmcp::model::{ClientNotification, JsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};

use super::limited_lines::LimitedLines;
use super::sent_requests::SentRequests;

/// The longest line, equal to rmcp's limit for an event over HTTP.
const MAX_LINE: usize = 16 << 20;

/// A transport that turns oversized answers into errors.
pub(crate) struct LimitedTransport<R: AsyncRead + Unpin, W: AsyncWrite> {
    transport: AsyncRwTransport<RoleClient, LimitedLines<R>, W>,
    sent: SentRequests,
}

impl<R, W> LimitedTransport<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(output: R, input: W) -> Self {
        let sent = SentRequests::default();
        let lines = LimitedLines::new(output, MAX_LINE, sent.clone());
        // An oversized line is passed on up to one byte above the limit, and rmcp skips it.
        let transport = AsyncRwTransport::new_client(lines, input).with_max_line_length(MAX_LINE + 1);
        LimitedTransport { transport, sent }
    }
}

impl<R, W> Transport<RoleClient> for LimitedTransport<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn name() -> Cow<'static, str> {
        AsyncRwTransport::<RoleClient, LimitedLines<R>, W>::name()
    }

    fn send(&mut self, message: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = Result<()>> + Send + 'static {
        match &message {
            JsonRpcMessage::Request(request) => self.sent.insert(request.id.clone()),
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.sent.remove(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        self.transport.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.transport.receive().await;
        match &message {
            Some(JsonRpcMessage::Response(response)) => self.sent.remove(&response.id),
            Some(JsonRpcMessage::Error(error)) => {
                if let Some(id) = &error.id {
                    self.sent.remove(id);
                }
            }
            _ => {}
        }
        message
    }

    fn close(&mut self) -> impl Future<Output = Result<()>> + Send {
        self.transport.close()
    }
}

//! A transport with backpressure and an orderly end of its input.
//!
//! rmcp reads requests as they arrive and keeps every answer until the client takes it. A client that sends requests
//! and reads no answers would fill the memory. This transport stops reading while too many answers wait.
//!
//! When the input ends, rmcp gives the calls in flight five seconds. This transport reports the end to rmcp only when
//! all calls are answered, or the server's time to drain has passed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::handler::ServerState;

/// The number of outgoing messages that may wait to be written.
const WRITE_CAPACITY: usize = 256;

/// The time limit for sending the errors of calls that were dropped.
const FLUSH_TIME: Duration = Duration::from_millis(500);

pub(crate) struct BackpressuredTransport<T> {
    transport: T,
    write_permits: Arc<Semaphore>,
    server: Arc<ServerState>,
    drain: Duration,
    /// Requests that were read and have no answer yet.
    unanswered: HashSet<RequestId>,
    /// When requests that were unanswered at the end of the input must have ended.
    drain_deadline: Option<Instant>,
}

impl<T> BackpressuredTransport<T> {
    pub(crate) fn new(transport: T, server: Arc<ServerState>, drain: Duration) -> Self {
        BackpressuredTransport {
            transport,
            write_permits: Arc::new(Semaphore::new(WRITE_CAPACITY)),
            server,
            drain,
            unanswered: HashSet::new(),
            drain_deadline: None,
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for BackpressuredTransport<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        match &message {
            JsonRpcMessage::Response(answer) => drop(self.unanswered.remove(&answer.id)),
            JsonRpcMessage::Error(error) => drop(error.id.as_ref().map(|id| self.unanswered.remove(id))),
            _ => {}
        }
        let send = self.transport.send(message);
        // Sent even without a permit: such an answer belongs to a call that was admitted before the reading stopped.
        let permit = self.write_permits.clone().try_acquire_owned();
        async move {
            let result = send.await;
            drop(permit);
            result
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        // Waits for a free permit but does not keep it: only answers need permits.
        drop(self.write_permits.acquire().await);
        if self.drain_deadline.is_none()
            && let Some(message) = self.transport.receive().await
        {
            match &message {
                JsonRpcMessage::Request(request) => drop(self.unanswered.insert(request.id.clone())),
                // A cancelled request gets no answer.
                JsonRpcMessage::Notification(notification) => {
                    if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.unanswered.remove(id);
                    }
                }
                _ => {}
            }
            return Some(message);
        }
        // The deadline is stored, because rmcp drops this future when it has an answer to send, and then calls again.
        let deadline = *self.drain_deadline.get_or_insert_with(|| Instant::now() + self.drain);
        if !self.unanswered.is_empty() {
            sleep_until(deadline).await;
            self.server.admission.end();
            // Time for the last answers to be sent.
            sleep_until(deadline + FLUSH_TIME).await;
        }
        None
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}

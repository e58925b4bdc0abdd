//! A transport that reads no faster than it is read from.
//!
//! rmcp reads requests as they come and keeps every answer until the other side takes it. A client that asks and does
//! not listen would fill the memory: here it is not heard while too many answers wait.
//!
//! And when its input ends, rmcp gives calls under way five seconds. Here it learns of the end only when all are
//! answered, or have had the time that the server gives them.

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

use super::handler::Shared;

/// Messages that may wait to be written.
const MAX_WAITING: usize = 256;

/// How long the errors of calls that are cut off may take to be sent.
const LAST: Duration = Duration::from_millis(500);

pub(crate) struct BackpressuredTransport<T> {
    transport: T,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    drain: Duration,
    /// What was read and is not answered.
    open: HashSet<RequestId>,
    /// When what is open at the end of the input has to be done.
    end: Option<Instant>,
}

impl<T> BackpressuredTransport<T> {
    pub(crate) fn new(transport: T, shared: Arc<Shared>, drain: Duration) -> Self {
        BackpressuredTransport {
            transport,
            room: Arc::new(Semaphore::new(MAX_WAITING)),
            shared,
            drain,
            open: HashSet::new(),
            end: None,
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
            JsonRpcMessage::Response(answer) => drop(self.open.remove(&answer.id)),
            JsonRpcMessage::Error(error) => drop(error.id.as_ref().map(|id| self.open.remove(id))),
            _ => {}
        }
        let send = self.transport.send(message);
        // What is beyond the room was asked for before the reading stopped: calls that were admitted already.
        let place = self.room.clone().try_acquire_owned();
        async move {
            let result = send.await;
            drop(place);
            result
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        // Only looked at, and given back: being read takes no room, being answered does.
        drop(self.room.acquire().await);
        if self.end.is_none()
            && let Some(message) = self.transport.receive().await
        {
            match &message {
                JsonRpcMessage::Request(request) => drop(self.open.insert(request.id.clone())),
                // It will not be answered.
                JsonRpcMessage::Notification(notification) => {
                    if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.open.remove(id);
                    }
                }
                _ => {}
            }
            return Some(message);
        }
        // rmcp drops this when there is an answer to send, and then asks again.
        let end = *self.end.get_or_insert_with(|| Instant::now() + self.drain);
        if !self.open.is_empty() {
            sleep_until(end).await;
            self.shared.admission.end();
            // The last answers are on their way.
            sleep_until(end + LAST).await;
        }
        None
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}

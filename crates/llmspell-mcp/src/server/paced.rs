//! A transport that reads no faster than it is read from.
//!
//! rmcp reads requests as they come and keeps every answer until the other side takes it. A client that asks and does
//! not listen would fill the memory: here it is not heard while too many answers wait.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::Semaphore;

/// Messages that may wait to be written.
const WAITING: usize = 256;

pub(crate) struct Paced<T> {
    transport: T,
    room: Arc<Semaphore>,
}

impl<T> Paced<T> {
    pub(crate) fn new(transport: T) -> Self {
        Paced { transport, room: Arc::new(Semaphore::new(WAITING)) }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Paced<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
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
        self.transport.receive().await
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}

//! One connection to a server, from its handshake to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use llmspell::{Context, Result};
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientRequest,
    RequestId, ServerResult,
};
use rmcp::service::{ClientInitializeError, Peer, PeerRequestOptions, RunningService, ServiceError, serve_client};
use rmcp::transport::Transport;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ClientInfo;
use super::answer;
use super::child::{ChildTransport, ExitInfo};
use super::observed_transport::ObservedTransport;
use super::pending_call::{PendingCall, PendingCalls, Progress};
use crate::background;

/// Progress that waits for a caller who is busy; more than that is left out.
const MAX_PENDING_PROGRESS: usize = 16;

/// How long the transport may take to close, and to take a cancellation.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection. Dropping it ends it, in good order and in the background.
pub(crate) struct Connection {
    peer: Peer<RoleClient>,
    desk: Arc<PendingCalls>,
    pub(crate) process: Option<u32>,
    end: CancellationToken,
    _end: DropGuard,
    over: watch::Receiver<bool>,
}

/// How long calls are held whose callers have left.
#[derive(Clone, Copy)]
pub(crate) struct CancelGrace {
    /// While nothing is known of the server.
    pub(crate) grace: Duration,
    /// Once it has answered calls that had been cancelled.
    pub(crate) ignores_cancel: Duration,
}

/// How a call ended that has no answer.
pub(crate) enum CallFailure {
    /// It never got to the peer.
    NotSent,
    /// It may have happened.
    Unknown,
    /// There is an error to show.
    Failed(ServiceError),
}

impl Connection {
    /// Shakes hands over `transport`.
    pub(crate) async fn open<T>(
        transport: T,
        process: Option<ChildTransport>,
        changes: watch::Sender<u64>,
        patience: CancelGrace,
    ) -> Result<Connection, (ClientInitializeError, Option<ExitInfo>)>
    where
        T: Transport<RoleClient> + 'static,
    {
        let desk = Arc::new(PendingCalls::default());
        let watched = ObservedTransport { transport, desk: desk.clone(), changes };
        let running = match serve_client(ClientInfo, watched).await {
            Ok(running) => running,
            Err(error) => {
                let last = match process {
                    Some(process) => Some(process.last_words().await),
                    None => None,
                };
                return Err((error, last));
            }
        };
        let peer = running.peer().clone();
        let id = process.as_ref().and_then(ChildTransport::id);
        let end = CancellationToken::new();
        let (over, is_over) = watch::channel(false);
        background::spawn(attend(running, process, desk.clone(), patience, end.clone(), over));
        Ok(Connection { peer, desk, process: id, _end: end.clone().drop_guard(), end, over: is_over })
    }

    /// Whether new calls may go this way.
    pub(crate) fn is_open(&self) -> bool {
        !self.desk.is_closed() && !self.peer.is_transport_closed()
    }

    /// New calls go another way; those under way go on.
    pub(crate) fn retire(&self) {
        self.desk.close();
    }

    /// Whether anything has been heard here since the handshake.
    pub(crate) fn has_answered(&self) -> bool {
        self.desk.has_answered()
    }

    pub(crate) fn peer(&self) -> &Peer<RoleClient> {
        &self.peer
    }

    /// Ends the connection and waits until it has ended.
    pub(crate) async fn close(self: Arc<Self>) {
        let mut over = self.over.clone();
        self.end.cancel();
        drop(self);
        let _ = over.wait_for(|over| *over).await;
    }

    /// Calls a tool and waits for the answer. Dropping the future tells the peer. `sent` tells whether the peer may
    /// have seen the call.
    pub(crate) async fn call(
        &self,
        params: CallToolRequestParams,
        sent: &Arc<AtomicBool>,
        cx: &Context,
    ) -> Result<ServerResult, CallFailure> {
        let (tether, custody) = cx.detached_work();
        let (sender, mut progress) = mpsc::channel(MAX_PENDING_PROGRESS);
        let ticket = PendingCall::new(custody, sender, sent.clone());
        let mut call = CallWait { ticket: ticket.clone(), desk: &self.desk, id: None, _tether: tether };
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(ticket.clone());
        let request = ClientRequest::CallToolRequest(request);
        let sending = self.peer.send_request_with_option(request, PeerRequestOptions::no_options());
        let handle = match sending.await {
            Ok(handle) => handle,
            Err(ServiceError::TransportClosed) => return Err(CallFailure::NotSent),
            Err(error) => return Err(CallFailure::Failed(error)),
        };
        call.id = Some(handle.id.clone());
        let mut answer = handle.rx;
        let mut shown = f64::NEG_INFINITY;
        let result = loop {
            tokio::select! {
                biased;
                Some(step) = progress.recv() => show(cx, step, &mut shown).await,
                answer = &mut answer => break answer,
            }
        };
        while let Ok(step) = progress.try_recv() {
            show(cx, step, &mut shown).await;
        }
        match result.unwrap_or(Err(ServiceError::TransportClosed)) {
            Ok(result) => Ok(result),
            Err(ServiceError::TransportClosed) if !ticket.is_sent() => Err(CallFailure::NotSent),
            Err(ServiceError::TransportClosed | ServiceError::Cancelled { .. }) => Err(CallFailure::Unknown),
            Err(error @ ServiceError::TransportSend(_)) if answer::is_unreachable(&error) => {
                ticket.set_sent(false);
                self.desk.forget(&handle.id);
                drop(error);
                Err(CallFailure::NotSent)
            }
            Err(error) => Err(CallFailure::Failed(error)),
        }
    }
}

/// Shows progress as partial output. What comes twice, or too late, is left out.
async fn show(cx: &Context, step: Progress, shown: &mut f64) {
    cx.heartbeat();
    if step.progress > *shown {
        *shown = step.progress;
        // A race that is lost ends this call from outside.
        let _ = cx.emit(step.chunk).await;
    }
}

/// The caller's end of a call.
struct CallWait<'a> {
    ticket: Arc<PendingCall>,
    desk: &'a PendingCalls,
    /// `None` until the request is on its way.
    id: Option<RequestId>,
    _tether: llmspell::CallerGuard,
}

impl Drop for CallWait<'_> {
    fn drop(&mut self) {
        match &self.id {
            // Ended already, or to be told to the peer.
            Some(id) => self.desk.leave(id, &self.ticket),
            None => self.ticket.release(),
        }
    }
}

/// Looks after a connection: tells the peer of callers who left, gives up on calls of which nothing more is heard, and
/// cleans up at the end.
async fn attend(
    mut running: RunningService<RoleClient, ClientInfo>,
    process: Option<ChildTransport>,
    desk: Arc<PendingCalls>,
    patience: CancelGrace,
    end: CancellationToken,
    over: watch::Sender<bool>,
) {
    let peer = running.peer().clone();
    let has_process = process.is_some();
    let mut sends = JoinSet::new();
    let mut held: VecDeque<(Instant, RequestId)> = VecDeque::new();
    let is_broken = loop {
        let alarm = held.iter().map(|(until, _)| *until).min();
        tokio::select! {
            biased;
            () = end.cancelled() => break false,
            () = desk.changed.notified() => {
                for id in desk.take_leaving() {
                    let patience = if desk.is_heedless() { patience.ignores_cancel } else { patience.grace };
                    held.push_back((Instant::now() + patience, id.clone()));
                    // A peer that does not read keeps nobody else from being heard.
                    sends.spawn(cancel(peer.clone(), id));
                }
                while sends.try_join_next().is_some() {}
                if peer.is_transport_closed() || (desk.is_closed() && has_process) {
                    break true;
                }
            }
            () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                let now = Instant::now();
                held.retain(|(until, id)| {
                    if *until <= now {
                        desk.forget(id);
                    }
                    *until > now
                });
            }
        }
    };
    desk.close();
    if !is_broken {
        for id in desk.take_leaving() {
            sends.spawn(cancel(peer.clone(), id));
        }
        while sends.join_next().await.is_some() {}
    }
    let _ = running.close_with_timeout(CLOSE_TIMEOUT).await;
    if let Some(process) = process {
        if is_broken { process.kill().await } else { process.end().await }
    }
    desk.release_all();
    let _ = over.send(true);
}

/// Tells the peer that nobody waits for its answer any more.
async fn cancel(peer: Peer<RoleClient>, id: RequestId) {
    let param = CancelledNotificationParam::new(Some(id), Some("the caller has gone".to_owned()));
    let _ = timeout(CLOSE_TIMEOUT, peer.send_notification(CancelledNotification::new(param).into())).await;
}

//! One connection to a server, from its handshake to its end.
//!
//! A connection makes calls and cancels those whose callers leave. Its background task ends the server's process. It
//! does not reconnect.

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

use super::answer;
use super::child::{ExitInfo, ServerProcess};
use super::client_info::ClientInfo;
use super::observed_transport::ObservedTransport;
use super::pending_calls::{CallProgress, PendingCall, PendingCalls};
use crate::background;

/// The most progress notifications that wait for a busy caller; further ones are dropped.
const PROGRESS_CAPACITY: usize = 16;

/// The time limit for closing the transport, and for sending a cancellation.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection. Dropping it closes it in the background, in good order.
pub(crate) struct Connection {
    peer: Peer<RoleClient>,
    calls: Arc<PendingCalls>,
    pub(crate) process_id: Option<u32>,
    end: CancellationToken,
    _end_on_drop: DropGuard,
    is_over: watch::Receiver<bool>,
}

/// How long an abandoned call is held.
#[derive(Clone, Copy)]
pub(crate) struct CancelGrace {
    /// While it is unknown whether the server honours cancellations.
    pub(crate) unknown: Duration,
    /// Once the server has answered cancelled calls.
    pub(crate) ignores_cancel: Duration,
}

/// The failure of a call without an answer.
pub(crate) enum CallFailure {
    /// The call never reached the peer.
    NotSent,
    /// The call may have happened.
    Unknown,
    /// The error to report.
    Failed(ServiceError),
}

impl Connection {
    /// Performs the handshake over `transport`.
    pub(crate) async fn open<T>(
        transport: T,
        process: Option<ServerProcess>,
        changes: watch::Sender<u64>,
        grace: CancelGrace,
    ) -> Result<Connection, (ClientInitializeError, Option<ExitInfo>)>
    where
        T: Transport<RoleClient> + 'static,
    {
        let calls = Arc::new(PendingCalls::default());
        let observed = ObservedTransport { transport, calls: calls.clone(), changes };
        let running = match serve_client(ClientInfo, observed).await {
            Ok(running) => running,
            Err(error) => {
                let exit = match process {
                    Some(process) => Some(process.exit_info().await),
                    None => None,
                };
                return Err((error, exit));
            }
        };
        let peer = running.peer().clone();
        let process_id = process.as_ref().and_then(ServerProcess::id);
        let end = CancellationToken::new();
        let (over, is_over) = watch::channel(false);
        let maintenance =
            Maintenance { has_process: process.is_some(), calls: calls.clone(), grace, held: VecDeque::new() };
        background::spawn(maintenance.run(running, process, end.clone(), over));
        Ok(Connection { peer, calls, process_id, _end_on_drop: end.clone().drop_guard(), end, is_over })
    }

    /// Returns whether the connection takes new calls.
    pub(crate) fn is_open(&self) -> bool {
        !self.calls.is_closed() && !self.peer.is_transport_closed()
    }

    /// Closes the connection to new calls; calls in flight continue.
    pub(crate) fn retire(&self) {
        self.calls.close();
    }

    /// Returns whether the server has answered a call since the handshake.
    pub(crate) fn has_answered(&self) -> bool {
        self.calls.has_answered()
    }

    pub(crate) fn peer(&self) -> &Peer<RoleClient> {
        &self.peer
    }

    /// Closes the connection and waits until it has ended.
    pub(crate) async fn close(self: Arc<Self>) {
        let mut is_over = self.is_over.clone();
        self.end.cancel();
        drop(self);
        let _ = is_over.wait_for(|over| *over).await;
    }

    /// Calls a tool and waits for the answer. Dropping the future cancels the call at the peer. `is_sent` says whether
    /// the peer may have seen the call.
    pub(crate) async fn call(
        &self,
        params: CallToolRequestParams,
        is_sent: &Arc<AtomicBool>,
        cx: &Context,
    ) -> Result<ServerResult, CallFailure> {
        let (caller_guard, work_guard) = cx.detached_work();
        let (sender, mut progress) = mpsc::channel(PROGRESS_CAPACITY);
        let call = PendingCall::new(work_guard, sender, is_sent.clone());
        let mut guard =
            PendingCallGuard { call: call.clone(), calls: &self.calls, id: None, _caller_guard: caller_guard };
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(call.clone());
        let request = ClientRequest::CallToolRequest(request);
        let sending = self.peer.send_request_with_option(request, PeerRequestOptions::no_options());
        let handle = match sending.await {
            Ok(handle) => handle,
            Err(ServiceError::TransportClosed) => return Err(CallFailure::NotSent),
            Err(error) => return Err(CallFailure::Failed(error)),
        };
        guard.id = Some(handle.id.clone());
        let mut answer = handle.rx;
        let mut last = f64::NEG_INFINITY;
        let result = loop {
            tokio::select! {
                biased;
                Some(progress) = progress.recv() => emit(cx, progress, &mut last).await,
                answer = &mut answer => break answer,
            }
        };
        while let Ok(progress) = progress.try_recv() {
            emit(cx, progress, &mut last).await;
        }
        match result.unwrap_or(Err(ServiceError::TransportClosed)) {
            Ok(result) => Ok(result),
            Err(ServiceError::TransportClosed) if !call.is_sent() => Err(CallFailure::NotSent),
            Err(ServiceError::TransportClosed | ServiceError::Cancelled { .. }) => Err(CallFailure::Unknown),
            Err(error @ ServiceError::TransportSend(_)) if answer::is_unreachable(&error) => {
                call.set_sent(false);
                self.calls.forget(&handle.id);
                drop(error);
                Err(CallFailure::NotSent)
            }
            Err(error) => Err(CallFailure::Failed(error)),
        }
    }
}

/// Emits progress as partial output. A repeated or late notification is dropped.
async fn emit(cx: &Context, progress: CallProgress, last: &mut f64) {
    cx.heartbeat();
    if progress.value > *last {
        *last = progress.value;
        // An error means that a race was lost; the race drops this call.
        let _ = cx.emit(progress.chunk).await;
    }
}

/// The caller's side of a call: cancels the call at the peer if the caller drops it.
struct PendingCallGuard<'a> {
    call: Arc<PendingCall>,
    calls: &'a PendingCalls,
    /// `None` until the request is handed to the transport.
    id: Option<RequestId>,
    _caller_guard: llmspell::context::CallerGuard,
}

impl Drop for PendingCallGuard<'_> {
    fn drop(&mut self) {
        match &self.id {
            // The call has ended already, or its cancellation must be sent.
            Some(id) => self.calls.abandon(id, &self.call),
            None => self.call.release(),
        }
    }
}

/// The background task of a connection: cancels abandoned calls at the peer, releases those that get no answer, and
/// cleans up at the end.
struct Maintenance {
    has_process: bool,
    calls: Arc<PendingCalls>,
    grace: CancelGrace,
    /// Abandoned calls, and when each is released.
    held: VecDeque<(Instant, RequestId)>,
}

impl Maintenance {
    async fn run(
        mut self,
        mut running: RunningService<RoleClient, ClientInfo>,
        process: Option<ServerProcess>,
        end: CancellationToken,
        over: watch::Sender<bool>,
    ) {
        let peer = running.peer().clone();
        let mut cancellations = JoinSet::new();
        let is_broken = self.run_until_end(&peer, &mut cancellations, &end).await;
        self.calls.close();
        if !is_broken {
            for id in self.calls.take_abandoned() {
                cancellations.spawn(send_cancellation(peer.clone(), id));
            }
            while cancellations.join_next().await.is_some() {}
        }
        let _ = running.close_with_timeout(CLOSE_TIMEOUT).await;
        if let Some(process) = process {
            if is_broken { process.kill().await } else { process.end().await }
        }
        self.calls.release_all();
        let _ = over.send(true);
    }

    /// Runs until the connection is closed (returns false) or broken (returns true).
    async fn run_until_end(
        &mut self,
        peer: &Peer<RoleClient>,
        cancellations: &mut JoinSet<()>,
        end: &CancellationToken,
    ) -> bool {
        loop {
            let next_release = self.held.iter().map(|(until, _)| *until).min();
            tokio::select! {
                biased;
                () = end.cancelled() => return false,
                () = self.calls.changed.notified() => {
                    self.cancel_abandoned(peer, cancellations);
                    if peer.is_transport_closed() || (self.calls.is_closed() && self.has_process) {
                        return true;
                    }
                }
                () = sleep_until(next_release.unwrap_or_else(Instant::now)), if next_release.is_some() => {
                    self.release_due();
                }
            }
        }
    }

    fn cancel_abandoned(&mut self, peer: &Peer<RoleClient>, cancellations: &mut JoinSet<()>) {
        for id in self.calls.take_abandoned() {
            let grace = if self.calls.ignores_cancel() { self.grace.ignores_cancel } else { self.grace.unknown };
            self.held.push_back((Instant::now() + grace, id.clone()));
            // Sent by a task of its own: a peer that does not read must not delay this one.
            cancellations.spawn(send_cancellation(peer.clone(), id));
        }
        while cancellations.try_join_next().is_some() {}
    }

    fn release_due(&mut self) {
        let now = Instant::now();
        let calls = &self.calls;
        self.held.retain(|(until, id)| {
            if *until <= now {
                calls.forget(id);
            }
            *until > now
        });
    }
}

/// Tells the peer that the caller has left.
async fn send_cancellation(peer: Peer<RoleClient>, id: RequestId) {
    let param = CancelledNotificationParam::new(Some(id), Some("the caller has left".to_owned()));
    let _ = timeout(CLOSE_TIMEOUT, peer.send_notification(CancelledNotification::new(param).into())).await;
}

//! Events: everything that can be observed about a run.
//!
//! Owns the event format, which is an interface: its JSON must stay readable. It must not decide what is recorded.

mod reason;

use std::time::Duration;

pub use reason::{LimitChange, RejectedBy, RetryStop};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::observe::millis;
use crate::observe::outcome::Quality;
use crate::observe::rate_limits::RateLimits;
use crate::observe::usage::Usage;
use crate::path::Path;

/// One observable fact about a run.
///
/// Events serialise to nearly flat JSON objects: `{"v":1,"at_ms":12.5,"path":"triage.fetch","call":7,
/// "fact":{"event":"retrying","attempt":2,"delay_ms":300.0}}`. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The version of this format, [`Event::VERSION`].
    pub v: u16,
    /// The time since the recorder was created.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// The path of the step.
    pub path: Path,
    /// The number of the call of that step, unique in a recording; 0 is the root, which is never called.
    pub call: u64,
    /// The number of the call inside which this call was made.
    pub parent: u64,
    /// The index of the stream item or record it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// The kind of the event, with its details.
    pub fact: EventKind,
}

impl Event {
    /// The version of the event format. It grows when a field changes its meaning or is removed.
    pub const VERSION: u16 = 1;
}

/// The kind of an [`Event`], with its details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A named step was called.
    Started,
    /// A call entered a wait queue.
    #[non_exhaustive]
    Queued {
        /// The named step that the call will start, if the wait comes before that start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// The resource that it waits for.
        #[serde(default, skip_serializing_if = "WaitKind::is_limit")]
        queue: WaitKind,
    },
    /// A call left a wait queue and may proceed.
    #[non_exhaustive]
    Admitted {
        /// The named step that the call will start, if the wait came before that start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// The resource that it waited for.
        #[serde(default, skip_serializing_if = "WaitKind::is_limit")]
        queue: WaitKind,
        /// The time in the queue.
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
    },
    /// A call was rejected before it began.
    #[non_exhaustive]
    Refused {
        /// The named step that the call would have started, if the rejection comes before that start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// The control that rejected it.
        by: RejectedBy,
        /// The reason.
        error: EventError,
    },
    /// A call returned a value.
    #[non_exhaustive]
    Finished {
        /// The time from start to end, waits included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// The quality of the value.
        quality: Quality,
    },
    /// A call returned an error.
    #[non_exhaustive]
    Failed {
        /// The time from start to end, waits included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// The error.
        error: EventError,
    },
    /// A call was dropped before it returned: it timed out, lost a race, or its caller was dropped.
    #[non_exhaustive]
    Cancelled {
        /// The time from start to end, waits included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// A step exceeded its time limit.
    #[non_exhaustive]
    TimedOut {
        /// The limit.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// An attempt of a retried step failed.
    #[non_exhaustive]
    AttemptFailed {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// Its error.
        error: EventError,
    },
    /// Another attempt follows after a wait.
    #[non_exhaustive]
    Retrying {
        /// The number of the next attempt, from 2.
        attempt: u32,
        /// The wait before it.
        #[serde(rename = "delay_ms", with = "millis")]
        delay: Duration,
    },
    /// No further attempt is made, although the error is transient.
    #[non_exhaustive]
    RetryRefused {
        /// The reason.
        reason: RetryStop,
    },
    /// A fallback replaces a step that failed.
    #[non_exhaustive]
    FellBack {
        /// The error of the step.
        cause: EventError,
    },
    /// A result is less than what was asked for.
    #[non_exhaustive]
    Degraded {
        /// Its quality.
        quality: Quality,
        /// The reasons: one error for each part that is missing.
        causes: Vec<EventError>,
    },
    /// A contender of a race decided it.
    #[non_exhaustive]
    RaceWon {
        /// Its index, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A contender was dropped because another one decided the race.
    #[non_exhaustive]
    RaceLost {
        /// Its index, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A contender failed while others continued.
    #[non_exhaustive]
    RaceFailed {
        /// Its index, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
        /// Its error.
        error: EventError,
    },
    /// A second copy of a slow call was started.
    #[non_exhaustive]
    Hedged {
        /// The time that the first copy had run.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// A second copy of one of the last items of a stream was started.
    #[non_exhaustive]
    Straggler {
        /// The time that the item had run.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// A breaker opened: it rejects calls from now on.
    #[non_exhaustive]
    BreakerOpened {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// The number of failures that opened it.
        failures: u64,
        /// The number of calls among which they were counted: those in its window, in a row, or the probes.
        calls: u64,
        /// The time for which it rejects calls; `None` if it stays open until it is reset.
        #[serde(rename = "for_ms", with = "millis::optional", default, skip_serializing_if = "Option::is_none")]
        wait: Option<Duration>,
        /// The last of the failures.
        error: EventError,
    },
    /// An open breaker admits a probe.
    #[non_exhaustive]
    BreakerHalfOpen {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
    },
    /// The probes of a breaker succeeded: it admits every call again.
    #[non_exhaustive]
    BreakerClosed {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
    },
    /// The end of a call changed an adaptive limit.
    #[non_exhaustive]
    LimitChanged {
        /// The maximum of concurrent calls before.
        from: usize,
        /// The maximum from now on.
        to: usize,
        /// The reason.
        reason: LimitChange,
    },
    /// A record passed a stage of a pipeline.
    #[non_exhaustive]
    PipelineStage {
        /// The index of the stage, from 0.
        stage: usize,
        /// The name of the stage.
        name: String,
        /// The limit of the stage; `None` means no limit.
        limit: Option<usize>,
        /// The time that the record waited for the stage.
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
        /// The time that the stage worked on the record.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// A call reported consumption; see [`Context::record_usage`](crate::Context::record_usage).
    Used(Usage),
    /// A server reported its remaining quota; see [`Context::rate_limits`](crate::Context::rate_limits).
    RateLimits(RateLimits),
    /// A server requested a pause: no call of this rate starts before it is over.
    #[non_exhaustive]
    RatePaused {
        /// The length of the pause.
        #[serde(rename = "pause_ms", with = "millis")]
        pause: Duration,
    },
    /// A stream stopped reading its source, which may have more items: it delivers those in flight and ends.
    #[non_exhaustive]
    StreamStopped {
        /// The reason.
        error: EventError,
    },
    /// Orphaned work: it cannot be dropped and outlived its caller, and holds its permits until it ends.
    Runaway,
    /// Orphaned work ended.
    #[non_exhaustive]
    RunawayEnded {
        /// The time by which it outlived its caller.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
}

impl EventKind {
    /// Returns the errors in it: every text that a step may have written, for the redactor. The match names every variant,
    /// so that a new one with such a text cannot be forgotten here.
    pub(crate) fn errors_mut(&mut self) -> &mut [EventError] {
        match self {
            EventKind::Refused { error, .. }
            | EventKind::Failed { error, .. }
            | EventKind::AttemptFailed { error, .. }
            | EventKind::FellBack { cause: error }
            | EventKind::RaceFailed { error, .. }
            | EventKind::BreakerOpened { error, .. }
            | EventKind::StreamStopped { error } => std::slice::from_mut(error),
            EventKind::Degraded { causes, .. } => causes,
            EventKind::Started
            | EventKind::Queued { .. }
            | EventKind::Admitted { .. }
            | EventKind::Finished { .. }
            | EventKind::Cancelled { .. }
            | EventKind::TimedOut { .. }
            | EventKind::Retrying { .. }
            | EventKind::RetryRefused { .. }
            | EventKind::RaceWon { .. }
            | EventKind::RaceLost { .. }
            | EventKind::Hedged { .. }
            | EventKind::Straggler { .. }
            | EventKind::BreakerHalfOpen { .. }
            | EventKind::BreakerClosed { .. }
            | EventKind::LimitChanged { .. }
            | EventKind::PipelineStage { .. }
            | EventKind::Used(_)
            | EventKind::RateLimits(_)
            | EventKind::RatePaused { .. }
            | EventKind::Runaway
            | EventKind::RunawayEnded { .. } => &mut [],
        }
    }
}

/// The resource that a queued call waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitKind {
    /// A permit of a [limit](crate::Limit); omitted in JSON.
    #[default]
    Limit,
    /// A reservation of a [rate](crate::Rate).
    Rate,
    /// The part of a [budget](crate::Budget) that other calls have reserved and may not use.
    Budget,
}

impl WaitKind {
    /// Returns its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitKind::Limit => "limit",
            WaitKind::Rate => "rate",
            WaitKind::Budget => "budget",
        }
    }

    fn is_limit(&self) -> bool {
        *self == WaitKind::Limit
    }
}

/// An error in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventError {
    /// The class of the error.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
}

impl From<&Error> for EventError {
    fn from(error: &Error) -> Self {
        EventError { kind: error.kind(), message: error.message().to_owned() }
    }
}

/// A consumer of events: a live view, an exporter, a log.
///
/// `record` is called on the task that emits the event, so it should only pass the event on. It cannot make a run fail: a
/// panic in it is caught, and the sink is not called again.
///
/// This trait is open: implement it for your own types. Closures over `&Event` implement it.
pub trait EventSink: Send + Sync + 'static {
    /// Receives one event.
    fn record(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> EventSink for F {
    fn record(&self, event: &Event) {
        self(event);
    }
}

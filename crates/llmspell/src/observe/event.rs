//! Observable facts: the one way in which anything about a run is seen.

mod reason;

use std::time::Duration;

pub use reason::{LimitChange, RejectedBy, RetryStop};
use serde::{Deserialize, Serialize};

use crate::control::rate::RateLimits;
use crate::error::{Error, ErrorKind};
use crate::observe::outcome::Quality;
use crate::observe::usage::Usage;
use crate::path::Path;

/// One observable fact about a run.
///
/// Events serialise to flat-enough JSON objects: `{"v":1,"at_ms":12.5,"path":"triage.fetch","call":7,
/// "fact":{"event":"retrying","attempt":2,"delay_ms":300.0}}`. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The version of this format, [`Event::VERSION`].
    pub v: u16,
    /// Time since the recording began.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// The step it is about.
    pub path: Path,
    /// The call of that step, unique in a recording; 0 is the root, which is never called.
    pub call: u64,
    /// The call inside which this call was made.
    pub parent: u64,
    /// The index of the stream item or record it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// What happened.
    pub fact: EventKind,
}

impl Event {
    /// The version of the event format. It grows when a field changes its meaning or goes away.
    pub const VERSION: u16 = 1;
}

/// What an [`Event`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A named step was called.
    Started,
    /// A call waits in line.
    #[non_exhaustive]
    Queued {
        /// The named step that is to be called, if the wait comes before its start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// What for.
        #[serde(default, skip_serializing_if = "WaitKind::is_limit")]
        queue: WaitKind,
    },
    /// A call has waited long enough.
    #[non_exhaustive]
    Admitted {
        /// The named step that is to be called, if the wait came before its start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// What it waited for.
        #[serde(default, skip_serializing_if = "WaitKind::is_limit")]
        queue: WaitKind,
        /// How long it waited.
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
    },
    /// A call was refused before it began.
    #[non_exhaustive]
    Refused {
        /// The named step that was to be called, if the refusal comes before its start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// Who refused it.
        by: RejectedBy,
        /// Why.
        error: EventError,
    },
    /// A call returned a value.
    #[non_exhaustive]
    Finished {
        /// From start to end, waiting included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// How good the value is.
        quality: Quality,
    },
    /// A call returned an error.
    #[non_exhaustive]
    Failed {
        /// From start to end, waiting included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
        /// The error.
        error: EventError,
    },
    /// A call was dropped before it could end: it timed out, lost a race, or its caller went away.
    #[non_exhaustive]
    Cancelled {
        /// From start to end, waiting included.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// The time of a step is up.
    #[non_exhaustive]
    TimedOut {
        /// The time it had.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// An attempt of a retried step failed.
    #[non_exhaustive]
    AttemptFailed {
        /// The attempt, from 1.
        attempt: u32,
        /// Its error.
        error: EventError,
    },
    /// Another attempt follows.
    #[non_exhaustive]
    Retrying {
        /// The attempt that comes, from 2.
        attempt: u32,
        /// The wait before it.
        #[serde(rename = "delay_ms", with = "millis")]
        delay: Duration,
    },
    /// No further attempt is made although the error is transient.
    #[non_exhaustive]
    RetryRefused {
        /// Why not.
        reason: RetryStop,
    },
    /// A fallback stands in for a step that failed.
    #[non_exhaustive]
    FellBack {
        /// What it stands in for.
        cause: EventError,
    },
    /// A result is less than what was asked for.
    #[non_exhaustive]
    Degraded {
        /// How good it is.
        quality: Quality,
        /// What is missing, and why.
        causes: Vec<EventError>,
    },
    /// A contender of a race decided it.
    #[non_exhaustive]
    RaceWon {
        /// Its place, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A contender was dropped because another one had decided the race.
    #[non_exhaustive]
    RaceLost {
        /// Its place, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// A contender failed while others went on.
    #[non_exhaustive]
    RaceFailed {
        /// Its place, from 0.
        contender: usize,
        /// Its name, if it has one.
        name: Option<String>,
        /// Its error.
        error: EventError,
    },
    /// A second copy of a slow call was started.
    #[non_exhaustive]
    Hedged {
        /// How long the first copy had run.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// A second copy of one of the last items of a stream was started.
    #[non_exhaustive]
    Straggler {
        /// How long the item had run.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
    /// A breaker opened: it refuses calls from here on.
    #[non_exhaustive]
    BreakerOpened {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
        /// The failures that opened it.
        failures: u64,
        /// The calls that these were among: those in its window, in a row, or the probes.
        calls: u64,
        /// How long it refuses calls; `None` until it is reset.
        #[serde(rename = "for_ms", with = "millis::optional", default, skip_serializing_if = "Option::is_none")]
        wait: Option<Duration>,
        /// The last of the failures.
        error: EventError,
    },
    /// An open breaker lets a probe through.
    #[non_exhaustive]
    BreakerHalfOpen {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
    },
    /// The probes of a breaker have succeeded: it lets every call through again.
    #[non_exhaustive]
    BreakerClosed {
        /// The named step behind it, if the breaker stands in front of its call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Path>,
    },
    /// The end of a call has changed a limit that adapts.
    #[non_exhaustive]
    LimitChanged {
        /// How many calls could run at once.
        from: usize,
        /// How many can from here on.
        to: usize,
        /// Why.
        reason: LimitChange,
    },
    /// A record has passed a stage of a pipeline.
    #[non_exhaustive]
    PipelineStage {
        /// The place of the stage, from 0.
        stage: usize,
        /// The name of the stage.
        name: String,
        /// The limit of the stage; `None` means no limit.
        limit: Option<usize>,
        /// How long the record waited for the stage.
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
        /// How long the stage worked on the record.
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    },
    /// A call has consumed something; see [`Context::record_usage`](crate::Context::record_usage).
    Used(Usage),
    /// A server has said what it has left; see [`Context::rate_limits`](crate::Context::rate_limits).
    RateLimits(RateLimits),
    /// A server has asked to be left alone: no call of this rate starts before the pause is over.
    #[non_exhaustive]
    RatePaused {
        /// How long that is.
        #[serde(rename = "pause_ms", with = "millis")]
        pause: Duration,
    },
    /// A stream pulls no more from its source, which may have more: it delivers what is in flight and ends.
    #[non_exhaustive]
    StreamStopped {
        /// Why.
        error: EventError,
    },
    /// Work that cannot be dropped outlived its caller: it holds its permits until it ends.
    Runaway,
    /// Such work has ended.
    #[non_exhaustive]
    RunawayEnded {
        /// How long it outlived its caller.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    },
}

impl EventKind {
    /// The errors that it tells of: all in it that a step may have put into words. Every variant is named here, so that
    /// nobody adds one with a text that is not looked at.
    pub(crate) fn failures_mut(&mut self) -> &mut [EventError] {
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

/// The lines that calls stand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitKind {
    /// For a permit of a [limit](crate::Limit); left out in JSON.
    #[default]
    Limit,
    /// For a turn at a [rate](crate::Rate).
    Rate,
    /// For what other calls may leave of a [budget](crate::Budget).
    Budget,
}

impl WaitKind {
    /// Its name in events.
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

/// An error as an event keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventError {
    /// The class of the error.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

impl From<&Error> for EventError {
    fn from(error: &Error) -> Self {
        EventError { kind: error.kind(), message: error.message().to_owned() }
    }
}

/// A reader of events: a live page, an exporter, a log.
///
/// `record` is called on the task that the event comes from, so it should only hand the event on. It
/// cannot make a run fail: a panic in it is caught, and the reader is not called again.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> EventSink for F {
    fn record(&self, event: &Event) {
        self(event);
    }
}

/// Durations as fractional milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole microseconds: more digits would be noise.
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        serializer.serialize_f64(micros as f64 / 1e3)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let ms = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(ms / 1e3).map_err(serde::de::Error::custom)
    }

    /// The same, where there may be none.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            let ms = Option::<f64>::deserialize(deserializer)?;
            ms.map(|ms| Duration::try_from_secs_f64(ms / 1e3).map_err(serde::de::Error::custom)).transpose()
        }
    }
}

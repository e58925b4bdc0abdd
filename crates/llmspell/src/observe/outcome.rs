//! A result together with how it came about.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::observe::event::millis;
use crate::observe::usage::Usage;
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// How good a result is, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quality {
    /// What was asked for.
    #[default]
    Full,
    /// Part of what was asked for: some of it failed and was left out.
    Partial,
    /// A substitute served instead.
    Fallback,
}

impl Quality {
    /// The name used in JSON and in reports, such as `fallback`.
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Full => "full",
            Quality::Partial => "partial",
            Quality::Fallback => "fallback",
        }
    }
}

/// Which of several ways led to a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// The step that made the choice.
    pub path: Path,
    /// What it chose.
    pub served_by: ServedBy,
}

/// What a [`Choice`] came down to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServedBy {
    /// A contender of a race: its place, from 0, and its name if it has one.
    Contender {
        /// The place of the contender in the race.
        index: usize,
        /// The name of the contender.
        name: Option<String>,
    },
    /// The second copy that a hedge started.
    Hedge,
    /// The second copy of one of the last items of a stream.
    Straggler,
    /// The fallback of a step that failed.
    Fallback {
        /// The name of the fallback, if it has one: of several, it tells which.
        name: Option<String>,
    },
}

/// How a result came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Attempts beyond the first, over all retries on the way to the result or to the final error, those of steps that a
    /// fallback has stood in for and of losers of races included.
    pub retries: u32,
    /// The choices made on the way: who won a race, whether a second copy or a fallback served.
    pub choices: Vec<Choice>,
    /// Behind a pointer, and seldom there: outcomes are moved a lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Box<Usage>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stages: Option<Box<StageTimes>>,
}

/// How long the stages of pipelines took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct StageTimes(Vec<StageTime>);

/// How long work has been in one stage of a pipeline; see [`Provenance::stages`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageTime {
    /// The path of the stage.
    pub path: Path,
    /// From its arrival at the stage to its leaving, waiting and retries included; over all passes, if there were several.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

impl Provenance {
    /// The stages on the way, in the order in which they were first left, the last one perhaps by an error. Only under
    /// [`Context::with_stage_times`].
    pub fn stages(&self) -> &[StageTime] {
        self.stages.as_deref().map_or(&[], |stages| &stages.0)
    }

    /// What was used on the way, by failed attempts and by losers of races too; see
    /// [`Context::record_usage`](crate::Context::record_usage). What comes in after the end is not in here.
    pub fn usage(&self) -> Usage {
        self.usage.as_deref().copied().unwrap_or_default()
    }
}

/// One result with its index, its quality and its history.
///
/// [`Streaming`](crate::Streaming) yields one for each input, [`settle`](crate::settle) gives one for
/// each branch, and [`Step::with_outcome`](crate::Step::with_outcome) makes any step return one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// The place of the input, from 0.
    pub index: usize,
    /// What came out.
    pub result: Result<T>,
    /// Whether the result is what was asked for; says nothing if there is none.
    pub quality: Quality,
    /// What failed on the way to the result: attempts that were retried, what a fallback stood in for, contenders of a
    /// race, parts that were left out.
    pub causes: Vec<Error>,
    /// Attempts, winners, fallbacks.
    pub provenance: Provenance,
}

impl<T> Outcome<T> {
    /// The outcome of work in `scope`.
    pub(crate) fn new(index: usize, result: Result<T>, scope: &Context) -> Self {
        match scope.collector().and_then(ProvenanceCollector::take) {
            None => Outcome::plain(index, result),
            Some(entries) => Outcome {
                index,
                result,
                quality: entries.quality,
                causes: entries.causes,
                provenance: entries.provenance,
            },
        }
    }

    pub(crate) fn plain(index: usize, result: Result<T>) -> Self {
        Outcome { index, result, quality: Quality::Full, causes: Vec::new(), provenance: Provenance::default() }
    }

    /// The outcome of work that was done before, from what was kept of it; see [`Context::restore_outcome`]. Its index is 0.
    pub fn restored(result: Result<T>, quality: Quality, causes: Vec<Error>, provenance: Provenance) -> Self {
        Outcome { index: 0, result, quality, causes, provenance }
    }

    /// What it tells, apart from the result and from what was spent.
    pub(crate) fn into_parts(self) -> (Result<T>, Collected) {
        let Outcome { result, quality, causes, mut provenance, .. } = self;
        (provenance.retries, provenance.usage) = (0, None);
        (result, Collected { quality, causes, provenance })
    }

    /// Whether there is a result.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }

    /// Whether there is a result that is less than what was asked for.
    pub fn is_degraded(&self) -> bool {
        self.is_ok() && self.quality != Quality::Full
    }
}

/// Where a scope collects the provenance of what runs in it. Empty, and free, until something happens.
#[derive(Default)]
pub(crate) struct ProvenanceCollector(Mutex<Option<Box<Collected>>>);

/// What an outcome has cost, whatever came of it.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    retries: u32,
    usage: Usage,
}

impl Spent {
    pub(crate) fn of<T>(outcome: &Outcome<T>) -> Self {
        Spent { retries: outcome.provenance.retries, usage: outcome.provenance.usage() }
    }
}

#[derive(Default)]
pub(crate) struct Collected {
    quality: Quality,
    causes: Vec<Error>,
    provenance: Provenance,
}

impl Collected {
    /// A result less good than asked for, and why.
    pub(crate) fn degrade(&mut self, quality: Quality, causes: impl IntoIterator<Item = Error>) {
        self.quality = self.quality.max(quality);
        self.causes.extend(causes);
    }

    /// What failed before, or beside, what counts.
    pub(crate) fn failed(&mut self, failures: impl IntoIterator<Item = Error>) {
        self.causes.extend(failures);
    }

    /// There is another attempt.
    pub(crate) fn retried(&mut self) {
        self.provenance.retries += 1;
    }

    pub(crate) fn used(&mut self, usage: Usage) {
        **self.provenance.usage.get_or_insert_default() += usage;
    }

    pub(crate) fn spent(&mut self, spent: Spent) {
        self.provenance.retries += spent.retries;
        if !spent.usage.is_zero() {
            self.used(spent.usage);
        }
    }

    /// Work has left a stage after this time there.
    pub(crate) fn passed(&mut self, path: Path, took: Duration) {
        let StageTimes(stages) = &mut **self.provenance.stages.get_or_insert_default();
        match stages.iter_mut().find(|stage| stage.path == path) {
            Some(stage) => stage.took += took,
            None => stages.push(StageTime { path, took }),
        }
    }

    pub(crate) fn chose(&mut self, path: Path, served_by: ServedBy) {
        self.provenance.choices.push(Choice { path, served_by });
    }

    /// But for what was spent: that was written down throughout.
    pub(crate) fn absorb(&mut self, other: Collected) {
        self.quality = self.quality.max(other.quality);
        self.causes.extend(other.causes);
        self.provenance.choices.extend(other.provenance.choices);
        for stage in other.provenance.stages.map(|stages| stages.0).unwrap_or_default() {
            self.passed(stage.path, stage.took);
        }
    }
}

impl ProvenanceCollector {
    pub(crate) fn write(&self, entry: impl FnOnce(&mut Collected)) {
        let mut entries = lock(&self.0);
        entry(entries.get_or_insert_default());
    }

    /// Moves everything that `winner` collected into this ledger.
    pub(crate) fn merge(&self, winner: &ProvenanceCollector) {
        if let Some(entries) = winner.take() {
            self.write(|mine| mine.absorb(*entries));
        }
    }

    pub(crate) fn quality(&self) -> Quality {
        let entries = lock(&self.0);
        entries.as_ref().map_or(Quality::Full, |entries| entries.quality)
    }

    fn take(&self) -> Option<Box<Collected>> {
        lock(&self.0).take()
    }
}

//! Outcomes: a result with its quality and its provenance.
//!
//! Owns what a scope collects about the work in it. The context decides which scope that is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::observe::millis;
use crate::observe::usage::Usage;
use crate::path::Path;
use crate::runtime::sync::{Mutex, lock};

/// The quality of a result, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quality {
    /// The complete result.
    #[default]
    Full,
    /// Part of the result: some of it failed and was left out.
    Partial,
    /// A substitute: a fallback was used.
    Fallback,
}

impl Quality {
    /// Returns the name used in JSON and in reports, such as `fallback`.
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Full => "full",
            Quality::Partial => "partial",
            Quality::Fallback => "fallback",
        }
    }
}

/// A choice between several ways to a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// The step that made the choice.
    pub path: Path,
    /// The way that led to the result.
    pub served_by: ServedBy,
}

/// The way that led to a result; see [`Choice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServedBy {
    /// A contender of a race.
    Contender {
        /// Its index in the race, from 0.
        index: usize,
        /// Its name, if it has one.
        name: Option<String>,
    },
    /// The second copy that a hedge started.
    Hedge,
    /// The second copy of one of the last items of a stream.
    Straggler,
    /// The fallback of a step that failed.
    Fallback {
        /// Its name, if it has one.
        name: Option<String>,
    },
}

/// The history of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Attempts beyond the first, over all retries on the way to the result or to the final error. Includes those of steps
    /// that a fallback replaced and of losers of races.
    pub retries: u32,
    /// The choices on the way: winners of races, second copies and fallbacks that served.
    pub choices: Vec<Choice>,
    /// Behind a pointer and rarely present, because outcomes are moved often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Box<Usage>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stages: Option<Box<StageTimes>>,
}

/// The times in the stages of pipelines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct StageTimes(Vec<StageTime>);

/// The time that work spent in one stage of a pipeline; see [`Provenance::stages`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageTime {
    /// The path of the stage.
    pub path: Path,
    /// The time from arriving at the stage to leaving it, waits and retries included; the sum over all passes.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

impl Provenance {
    /// Returns the stages on the way, in the order in which they were first left; the last one may have been left by an
    /// error. Empty without [`Context::with_stage_times`](crate::Context::with_stage_times).
    pub fn stages(&self) -> &[StageTime] {
        self.stages.as_deref().map_or(&[], |stages| &stages.0)
    }

    /// Returns the consumption on the way, that of failed attempts and losers of races included; see
    /// [`Context::record_usage`](crate::Context::record_usage). Usage reported after the end is not included.
    pub fn usage(&self) -> Usage {
        self.usage.as_deref().copied().unwrap_or_default()
    }
}

/// A result with its index, its quality and its provenance.
///
/// [`Streaming`](crate::pattern::stream::Streaming) yields one for each input, [`settle`](crate::settle) returns one for each branch, and
/// [`Step::with_outcome`](crate::Step::with_outcome) makes any step return one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// The index of the input, from 0.
    pub index: usize,
    /// The result.
    pub result: Result<T>,
    /// The quality of the value; meaningless if the result is an error.
    pub quality: Quality,
    /// The failures on the way to the result: attempts that were retried, steps that a fallback replaced, contenders of a
    /// race, parts that were left out.
    pub causes: Vec<Error>,
    /// The attempts, choices and usage on the way.
    pub provenance: Provenance,
}

impl<T> Outcome<T> {
    /// Returns the outcome of work, with everything that its scope has collected.
    pub(crate) fn new(index: usize, result: Result<T>, collector: Option<&ProvenanceCollector>) -> Self {
        match collector.and_then(ProvenanceCollector::take) {
            None => Outcome::plain(index, result),
            Some(collected) => {
                let Collected { quality, causes, provenance } = *collected;
                Outcome { index, result, quality, causes, provenance }
            }
        }
    }

    pub(crate) fn plain(index: usize, result: Result<T>) -> Self {
        Outcome { index, result, quality: Quality::Full, causes: Vec::new(), provenance: Provenance::default() }
    }

    /// Returns the outcome of work of an earlier run, from its stored parts; see [`Context::restore_outcome`](crate::Context::restore_outcome). Its index is
    /// 0.
    pub fn restored(result: Result<T>, quality: Quality, causes: Vec<Error>, provenance: Provenance) -> Self {
        Outcome { index: 0, result, quality, causes, provenance }
    }

    /// Returns the result, and what was collected apart from retries and usage: those were counted when they happened.
    pub(crate) fn into_parts(self) -> (Result<T>, Collected) {
        let Outcome { result, quality, causes, mut provenance, .. } = self;
        (provenance.retries, provenance.usage) = (0, None);
        (result, Collected { quality, causes, provenance })
    }

    /// Whether the result is a value.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }

    /// Whether the result is a value of less than full quality.
    pub fn is_degraded(&self) -> bool {
        self.is_ok() && self.quality != Quality::Full
    }
}

/// The provenance that a scope collects about the work in it. Empty, and free, until something happens.
#[derive(Debug, Default)]
pub(crate) struct ProvenanceCollector(Mutex<Option<Box<Collected>>>);

/// The retries and usage of an outcome, which count even if the outcome does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expense {
    retries: u32,
    usage: Usage,
}

impl Expense {
    pub(crate) fn of<T>(outcome: &Outcome<T>) -> Self {
        Expense { retries: outcome.provenance.retries, usage: outcome.provenance.usage() }
    }
}

/// The content of a [`ProvenanceCollector`].
#[derive(Debug, Default)]
pub(crate) struct Collected {
    quality: Quality,
    causes: Vec<Error>,
    provenance: Provenance,
}

impl Collected {
    /// Lowers the quality because of these failures.
    pub(crate) fn lower_quality(&mut self, quality: Quality, causes: impl IntoIterator<Item = Error>) {
        self.quality = self.quality.max(quality);
        self.causes.extend(causes);
    }

    /// Adds failures of attempts or branches other than the one that counts.
    pub(crate) fn add_failures(&mut self, failures: impl IntoIterator<Item = Error>) {
        self.causes.extend(failures);
    }

    /// Counts another attempt.
    pub(crate) fn add_retry(&mut self) {
        self.provenance.retries += 1;
    }

    pub(crate) fn add_usage(&mut self, usage: Usage) {
        **self.provenance.usage.get_or_insert_default() += usage;
    }

    pub(crate) fn add_expense(&mut self, expense: Expense) {
        self.provenance.retries += expense.retries;
        if !expense.usage.is_zero() {
            self.add_usage(expense.usage);
        }
    }

    /// Adds the time that work spent in a stage.
    pub(crate) fn add_stage_time(&mut self, path: Path, took: Duration) {
        let StageTimes(stages) = &mut **self.provenance.stages.get_or_insert_default();
        match stages.iter_mut().find(|stage| stage.path == path) {
            Some(stage) => stage.took += took,
            None => stages.push(StageTime { path, took }),
        }
    }

    pub(crate) fn add_choice(&mut self, path: Path, served_by: ServedBy) {
        self.provenance.choices.push(Choice { path, served_by });
    }

    /// Adds everything of `other` except its expense, which every scope has counted already.
    pub(crate) fn merge(&mut self, other: Collected) {
        self.quality = self.quality.max(other.quality);
        self.causes.extend(other.causes);
        self.provenance.choices.extend(other.provenance.choices);
        for stage in other.provenance.stages.map(|stages| stages.0).unwrap_or_default() {
            self.add_stage_time(stage.path, stage.took);
        }
    }
}

impl ProvenanceCollector {
    pub(crate) fn write(&self, entry: impl FnOnce(&mut Collected)) {
        let mut collected = lock(&self.0);
        entry(collected.get_or_insert_default());
    }

    /// Moves everything that `winner` collected into this collector.
    pub(crate) fn merge(&self, winner: &ProvenanceCollector) {
        if let Some(collected) = winner.take() {
            self.write(|mine| mine.merge(*collected));
        }
    }

    pub(crate) fn quality(&self) -> Quality {
        let collected = lock(&self.0);
        collected.as_ref().map_or(Quality::Full, |collected| collected.quality)
    }

    fn take(&self) -> Option<Box<Collected>> {
        lock(&self.0).take()
    }
}

//! Upper bounds on the time of steps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::ir::step::{Step, StepKind};
use crate::syntax::duration::format_duration;

/// An upper bound on a time, or the reasons why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeBound(Result<Duration, Vec<String>>);

impl TimeBound {
    /// Returns the maximum time, if there is a bound.
    pub fn max(&self) -> Option<Duration> {
        self.0.as_ref().ok().copied()
    }

    /// Returns the reasons why there is no bound, such as "`fetch` has no timeout".
    pub fn reasons(&self) -> &[String] {
        self.0.as_ref().err().map_or(&[], Vec::as_slice)
    }

    pub(super) const NONE: TimeBound = TimeBound(Ok(Duration::ZERO));

    pub(super) fn then(self, next: TimeBound) -> TimeBound {
        self.with(next, Duration::saturating_add)
    }

    pub(super) fn parallel(self, other: TimeBound) -> TimeBound {
        self.with(other, Duration::max)
    }

    fn with(self, other: TimeBound, both: impl FnOnce(Duration, Duration) -> Duration) -> TimeBound {
        TimeBound(match (self.0, other.0) {
            (Ok(one), Ok(other)) => Ok(both(one, other)),
            (Err(why), Ok(_)) | (Ok(_), Err(why)) => Err(why),
            (Err(mut one), Err(other)) => {
                // A million records share their reasons, so each is kept once.
                let new: Vec<String> = other.into_iter().filter(|why| !one.contains(why)).collect();
                one.extend(new);
                Err(one)
            }
        })
    }

    fn times(self, factor: u32) -> TimeBound {
        TimeBound(self.0.map(|time| time.saturating_mul(factor)))
    }

    fn capped(self, cap: Option<Duration>) -> TimeBound {
        match cap {
            None => self,
            Some(cap) => TimeBound(Ok(self.0.map_or(cap, |time| time.min(cap)))),
        }
    }
}

impl fmt::Display for TimeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(time) if time.is_zero() => f.write_str("at once"),
            Ok(time) => write!(f, "at most {}", format_duration(*time)),
            Err(why) => write!(f, "unbounded: {}", why.join(", ")),
        }
    }
}

impl Serialize for TimeBound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &self.0 {
            Ok(time) => map.serialize_entry("most_ms", &(time.as_millis().min(u128::from(u64::MAX)) as u64))?,
            Err(why) => map.serialize_entry("unbounded", why)?,
        }
        map.end()
    }
}

/// The known lengths of lists, by the paths of the steps that process them.
pub(super) type Items = BTreeMap<Arc<str>, u64>;

/// Returns the bound of steps that run one after another.
pub(super) fn of_list(steps: &[Step], items: &Items) -> TimeBound {
    steps.iter().map(|step| of(step, items)).fold(TimeBound::NONE, TimeBound::then)
}

/// Returns the bound of a step with all attempts, delays and fallbacks.
pub(super) fn of(step: &Step, items: &Items) -> TimeBound {
    let modifiers = &step.modifiers;
    let times: Vec<Duration> =
        modifiers.timeout.iter().flat_map(|timeout| timeout.value.0.attempt.iter().map(|time| time.0)).collect();
    let work = of_kind(step, items);
    let hedged = modifiers.hedge.is_some();
    let attempt = |number: usize| {
        let attempt = work.clone().capped(times.get(number).or(times.last()).copied());
        // A second copy may start just before the first one ends.
        if hedged { attempt.times(2) } else { attempt }
    };
    let attempts = (0..modifiers.attempts() as usize).map(attempt).fold(TimeBound::NONE, TimeBound::then);
    let delays = modifiers.retry.as_ref().map_or(Duration::ZERO, |retry| {
        let base = retry.value.0.base.map_or(Duration::from_millis(100), |base| base.0);
        let delay = |number: u32| base.saturating_mul(2_u32.saturating_pow(number)).min(Duration::from_secs(30));
        (0..retry.value.0.max.saturating_sub(1)).map(delay).fold(Duration::ZERO, Duration::saturating_add)
    });
    let all = attempts.then(TimeBound(Ok(delays))).capped(modifiers.deadline.as_ref().map(|deadline| deadline.value.0));
    step.fallback.iter().map(|fallback| of(fallback, items)).fold(all, TimeBound::then)
}

fn of_kind(step: &Step, items: &Items) -> TimeBound {
    match &step.kind {
        StepKind::Tool { is_pure: true, .. } | StepKind::Value(_) => TimeBound::NONE,
        StepKind::Tool { .. } | StepKind::Agent(_) => TimeBound(Err(vec![format!("`{}` has no timeout", step.path)])),
        StepKind::Concurrent { branches, limit: Some(limit), .. } if *limit < branches.len() => {
            of_list(branches, items)
        }
        StepKind::Concurrent { branches: steps, .. } | StepKind::Race { contenders: steps, .. } => {
            steps.iter().map(|step| of(step, items)).fold(TimeBound::NONE, TimeBound::parallel)
        }
        StepKind::Pipeline(steps) => of_list(steps, items),
        StepKind::Repeat { steps, max, .. } => of_list(steps, items).times(*max),
        StepKind::Items { steps, list, limit, .. } => match of_list(steps, items) {
            bound if items.contains_key(&step.path) => {
                let rounds = items.get(&step.path).map_or(0, |items| items.div_ceil(*limit as u64));
                bound.times(u32::try_from(rounds).unwrap_or(u32::MAX))
            }
            TimeBound(Ok(time)) if !time.is_zero() => {
                let each = format_duration(time);
                TimeBound(Err(vec![format!("`{}` takes {each} × items of `{}`", step.path, list.text())]))
            }
            bound => bound,
        },
    }
}

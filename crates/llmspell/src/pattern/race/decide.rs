//! The rules of a race, for any kind of contenders.

use std::future::poll_fn;
use std::task::{self, Poll};

use super::RaceOptions;
use crate::context::node::NodeKind;
use crate::context::{Contender, Context};
use crate::error::{Error, Result};
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::pattern::branch::DynBranch;

/// The rule that decides a race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    FirstSuccess,
    FirstComplete,
}

/// Returns the context of one contender. Its provenance is collected separately, because only the winner's
/// counts.
pub(super) fn contender_context(cx: &Context, options: &RaceOptions, index: usize) -> Context {
    let below = cx.trial_scope().unwrap_or_else(|| cx.clone());
    match &options.first_output {
        None => below,
        Some(first_output) => below.child(NodeKind::Contender(Contender { race: first_output.clone(), index })),
    }
}

/// Runs the race and returns the index of the winner. With [`Rule::FirstComplete`] the winner may have failed.
///
/// # Errors
/// All failures, in order of occurrence, if no contender won.
pub(super) async fn decide(
    branches: &mut [&mut dyn DynBranch],
    names: &[Option<&str>],
    cx: &Context,
    options: &RaceOptions,
) -> Result<usize> {
    if branches.is_empty() {
        return Err(Error::invalid("a race needs at least one contender").at(|| cx.path()));
    }
    let mut state = RaceState { names, cx, options, failures: Vec::new(), chosen: None, first: 0 };
    let winner = poll_fn(|task| state.poll_branch(branches, task)).await;
    for branch in branches.iter_mut() {
        branch.stop();
    }
    let failures = state.failures;
    if cx.recorder().is_some() {
        record_results(cx, names, winner, &failures);
    }
    let failures = failures.into_iter().map(|(_, error)| error);
    match winner {
        Some(winner) => {
            if failures.len() > 0 {
                cx.record_provenance(|collected| collected.add_failures(failures));
            }
            Ok(winner)
        }
        None => {
            let message = format!("none of {} contenders succeeded", branches.len());
            Err(Error::all_failed(message, failures.collect()))
        }
    }
}

/// A race that is not yet decided.
struct RaceState<'a> {
    names: &'a [Option<&'a str>],
    cx: &'a Context,
    options: &'a RaceOptions,
    /// The failed contenders and their errors, in order of occurrence.
    failures: Vec<(usize, Error)>,
    /// The contender whose output came first, if the first output decides.
    chosen: Option<usize>,
    /// The contender that is polled first. It changes at each poll, so that one that is always ready starves no
    /// other.
    first: usize,
}

impl RaceState<'_> {
    /// Polls the contenders. Ready with the winner, or with `None` if all have failed.
    fn poll_branch(
        &mut self,
        branches: &mut [&mut dyn DynBranch],
        task: &mut task::Context<'_>,
    ) -> Poll<Option<usize>> {
        let total = branches.len();
        loop {
            for offset in 0..total {
                let index = if self.first + offset < total { self.first + offset } else { self.first + offset - total };
                let Poll::Ready(error) = branches[index].poll_branch(task) else { continue };
                let decides = error.is_none() || self.options.rule == Rule::FirstComplete;
                if decides && self.claim(index) {
                    return Poll::Ready(Some(index));
                }
                if let Some(error) = error.filter(|_| !decides) {
                    self.fail(index, error);
                    // A contender that was chosen for its output and then fails ends the race.
                    if self.failures.len() == total || self.chosen == Some(index) {
                        return Poll::Ready(None);
                    }
                }
            }
            self.first = if self.first + 1 < total { self.first + 1 } else { 0 };
            // The first output decides: the others are dropped, and the chosen contender continues alone.
            let Some(first_output) = self.options.first_output.as_ref().filter(|_| self.chosen.is_none()) else {
                return Poll::Pending;
            };
            let Some(chosen) = first_output.winner(task.waker()) else {
                return Poll::Pending;
            };
            self.chosen = Some(chosen);
            for (index, branch) in branches.iter_mut().enumerate() {
                if index != chosen {
                    branch.stop();
                }
            }
            if self.failures.iter().any(|(index, _)| *index == chosen) {
                return Poll::Ready(None);
            }
        }
    }

    /// Returns whether a completed contender decides the race: not if the output of another one came first.
    fn claim(&self, index: usize) -> bool {
        self.options.first_output.as_ref().is_none_or(|first_output| first_output.claim(index))
    }

    fn fail(&mut self, index: usize, error: Error) {
        let name = self.names[index].map(str::to_owned);
        self.cx.record_event(|| EventKind::RaceFailed { contender: index, name, error: (&error).into() });
        self.failures.push((index, error));
    }
}

/// Records the winner and the losers.
fn record_results(cx: &Context, names: &[Option<&str>], winner: Option<usize>, failures: &[(usize, Error)]) {
    for (contender, name) in names.iter().enumerate() {
        let name = name.map(str::to_owned);
        if winner == Some(contender) {
            cx.record_event(|| EventKind::RaceWon { contender, name });
        } else if failures.iter().all(|(failed, _)| *failed != contender) {
            cx.record_event(|| EventKind::RaceLost { contender, name });
        }
    }
}

/// Merges the provenance of the winner, and only that.
pub(super) fn merge_winner(cx: &Context, winner: &Context, served_by: impl FnOnce() -> Option<ServedBy>) {
    cx.merge_provenance(winner);
    if cx.collects_provenance()
        && let Some(served_by) = served_by()
    {
        cx.record_provenance(|collected| collected.add_choice(cx.path(), served_by));
    }
}

/// Returns the provenance of a result that a contender provided.
pub(super) fn served_by_contender(index: usize, name: Option<&str>) -> Option<ServedBy> {
    Some(ServedBy::Contender { index, name: name.map(str::to_owned) })
}

//! The course of a race, whatever its contenders are.

use std::future::poll_fn;
use std::task::{self, Poll};

use super::RaceOptions;
use crate::context::node::Facet;
use crate::context::{Contender, Context};
use crate::error::{Error, Result};
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::pattern::branch::Advance;

/// What decides a race.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rule {
    FirstSuccess,
    FirstComplete,
}

/// The context of one contender: provenance gathers apart, for only the winner's counts.
pub(super) fn lane(cx: &Context, how: &RaceOptions, index: usize) -> Context {
    let lane = cx.apart().unwrap_or_else(|| cx.clone());
    match &how.gate {
        None => lane,
        Some(gate) => lane.child(Facet::Contender(Contender { gate: gate.clone(), index })),
    }
}

/// Runs the race and gives the place of the winner. With [`Rule::FirstComplete`] the winner may have failed.
///
/// # Errors
/// All failures, in the order in which they happened, if nobody won.
pub(super) async fn decide(
    branches: &mut [&mut dyn Advance],
    names: &[Option<&str>],
    cx: &Context,
    how: &RaceOptions,
) -> Result<usize> {
    if branches.is_empty() {
        return Err(Error::invalid("a race needs a contender").at(|| cx.path()));
    }
    let mut contest = Contest { names, cx, how, failures: Vec::new(), chosen: None, first: 0 };
    let winner = poll_fn(|task| contest.advance(branches, task)).await;
    for branch in branches.iter_mut() {
        branch.stop();
    }
    let failures = contest.failures;
    if cx.recorder().is_some() {
        tell(cx, names, winner, &failures);
    }
    let failures = failures.into_iter().map(|(_, error)| error);
    match winner {
        Some(winner) => {
            if failures.len() > 0 {
                cx.note(|entries| entries.add_failures(failures));
            }
            Ok(winner)
        }
        None => {
            let message = format!("none of {} contenders succeeded", branches.len());
            Err(Error::all_failed(message, failures.collect()))
        }
    }
}

struct Contest<'a> {
    names: &'a [Option<&'a str>],
    cx: &'a Context,
    how: &'a RaceOptions,
    /// Who failed, in that order, and how.
    failures: Vec<(usize, Error)>,
    /// Whose output came first, if the first output decides.
    chosen: Option<usize>,
    /// Who is polled first; another one each time, so that one that is always busy starves nobody.
    first: usize,
}

impl Contest<'_> {
    /// Ready with the winner, or with nobody if all have failed.
    fn advance(&mut self, branches: &mut [&mut dyn Advance], task: &mut task::Context<'_>) -> Poll<Option<usize>> {
        let total = branches.len();
        loop {
            for turn in 0..total {
                let index = if self.first + turn < total { self.first + turn } else { self.first + turn - total };
                let Poll::Ready(error) = branches[index].advance(task) else { continue };
                let decides = error.is_none() || self.how.rule == Rule::FirstComplete;
                if decides && self.claim(index) {
                    return Poll::Ready(Some(index));
                }
                if let Some(error) = error.filter(|_| !decides) {
                    self.fail(index, error);
                    // Whoever was chosen for its output and then fails takes the race with it.
                    if self.failures.len() == total || self.chosen == Some(index) {
                        return Poll::Ready(None);
                    }
                }
            }
            self.first = if self.first + 1 < total { self.first + 1 } else { 0 };
            // The first output decides: the others are dropped, and the chosen one goes on alone.
            let Some(gate) = self.how.gate.as_ref().filter(|_| self.chosen.is_none()) else {
                return Poll::Pending;
            };
            let Some(chosen) = gate.winner(task.waker()) else {
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

    /// Whether a contender that has completed decides the race: not if the output of another one came first.
    fn claim(&self, index: usize) -> bool {
        self.how.gate.as_ref().is_none_or(|gate| gate.claim(index))
    }

    fn fail(&mut self, index: usize, error: Error) {
        let name = self.names[index].map(str::to_owned);
        self.cx.fact(|| EventKind::RaceFailed { contender: index, name, error: (&error).into() });
        self.failures.push((index, error));
    }
}

/// Says who won and who lost.
fn tell(cx: &Context, names: &[Option<&str>], winner: Option<usize>, failures: &[(usize, Error)]) {
    for (contender, name) in names.iter().enumerate() {
        let name = name.map(str::to_owned);
        if winner == Some(contender) {
            cx.fact(|| EventKind::RaceWon { contender, name });
        } else if failures.iter().all(|(failed, _)| *failed != contender) {
            cx.fact(|| EventKind::RaceLost { contender, name });
        }
    }
}

/// Takes over the provenance of the winner, and only of the winner.
pub(super) fn merge_outcome(cx: &Context, winner: &Context, served_by: impl FnOnce() -> Option<ServedBy>) {
    cx.take_over(winner);
    if cx.collects()
        && let Some(served_by) = served_by()
    {
        cx.note(|entries| entries.add_choice(cx.path(), served_by));
    }
}

/// How a contender stands in the provenance.
pub(super) fn contender(index: usize, name: Option<&str>) -> Option<ServedBy> {
    Some(ServedBy::Contender { index, name: name.map(str::to_owned) })
}

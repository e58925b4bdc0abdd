//! The course of a race, whatever its contenders are.

use std::future::poll_fn;
use std::task::Poll;

use super::How;
use crate::context::node::Facet;
use crate::context::{Contender, Context};
use crate::error::{Error, Result};
use crate::event::Fact;
use crate::outcome::ServedBy;
use crate::pattern::branch::Advance;

/// What decides a race.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rule {
    FirstSuccess,
    FirstComplete,
}

/// The context of one contender: provenance gathers apart, for only the winner's counts.
pub(super) fn lane(cx: &Context, how: &How, index: usize) -> Context {
    let lane = if cx.is_observed() { cx.scope(None) } else { cx.clone() };
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
    how: &How,
) -> Result<usize> {
    assert!(!branches.is_empty(), "a race needs a contender");
    let mut failures: Vec<(usize, Error)> = Vec::new();
    let mut chosen: Option<usize> = None;
    let winner = poll_fn(|task| {
        loop {
            for index in 0..branches.len() {
                match branches[index].advance(task) {
                    Poll::Pending => {}
                    Poll::Ready(None) => return Poll::Ready(Some(index)),
                    Poll::Ready(Some(_)) if how.rule == Rule::FirstComplete => return Poll::Ready(Some(index)),
                    Poll::Ready(Some(error)) => {
                        let name = names[index].map(str::to_owned);
                        cx.fact(|| Fact::RaceFailed { contender: index, name, error: (&error).into() });
                        failures.push((index, error));
                        // Whoever was chosen for its output and then fails takes the race with it.
                        if failures.len() == branches.len() || chosen == Some(index) {
                            return Poll::Ready(None);
                        }
                    }
                }
            }
            // The first output decides: the others are dropped, and the chosen one goes on alone.
            let Some(gate) = how.gate.as_ref().filter(|_| chosen.is_none()) else {
                return Poll::Pending;
            };
            let Some(first) = gate.winner(task.waker()) else {
                return Poll::Pending;
            };
            chosen = Some(first);
            for (index, branch) in branches.iter_mut().enumerate() {
                if index != first {
                    branch.stop();
                }
            }
            if failures.iter().any(|(index, _)| *index == first) {
                return Poll::Ready(None);
            }
        }
    })
    .await;
    for branch in branches.iter_mut() {
        branch.stop();
    }
    if cx.recorder().is_some() {
        tell(cx, names, winner, &failures);
    }
    winner.ok_or_else(|| {
        let message = format!("none of {} contenders succeeded", branches.len());
        Error::exhausted(message, failures.into_iter().map(|(_, error)| error).collect())
    })
}

/// Says who won and who lost.
fn tell(cx: &Context, names: &[Option<&str>], winner: Option<usize>, failures: &[(usize, Error)]) {
    for (contender, name) in names.iter().enumerate() {
        let name = name.map(str::to_owned);
        if winner == Some(contender) {
            cx.fact(|| Fact::RaceWon { contender, name });
        } else if failures.iter().all(|(failed, _)| *failed != contender) {
            cx.fact(|| Fact::RaceLost { contender, name });
        }
    }
}

/// Takes over the provenance of the winner, and only of the winner.
pub(super) fn adopt(cx: &Context, winner: &Context, served_by: impl FnOnce() -> Option<ServedBy>) {
    if cx.is_observed() {
        cx.adopt(winner);
        if let Some(served_by) = served_by() {
            cx.note(|entries| entries.chose(cx.path(), served_by));
        }
    }
}

/// How a contender stands in the provenance.
pub(super) fn contender(index: usize, name: Option<&str>) -> Option<ServedBy> {
    Some(ServedBy::Contender { index, name: name.map(str::to_owned) })
}

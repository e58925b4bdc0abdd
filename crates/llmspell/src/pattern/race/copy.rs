//! A second copy of a call, started in place once the first has been found slow.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::coop::unconstrained;

use super::RaceOptions;
use super::decide::{Rule, decide, lane, merge_outcome};
use crate::context::{Context, FirstOutput};
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::pattern::branch::{Advance, Branch, later};
use crate::step::Step;

/// Runs the step, and a second copy of it from when `slow` completes; the first to succeed serves, and the
/// other is dropped before this returns. The fact is recorded as the second copy starts.
///
/// With a gate, the first copy to show output goes on alone, be it before `slow` completes.
pub(in crate::pattern) async fn seconded<S: Step<In: Clone>>(
    step: &S,
    input: S::In,
    cx: &Context,
    gate: Option<Arc<FirstOutput>>,
    slow: impl Future<Output = EventKind> + Send,
    served_by: ServedBy,
) -> Result<S::Out> {
    let how = RaceOptions { rule: Rule::FirstSuccess, gate };
    let first_cx = lane(cx, &how, 0);
    let first = pin!(later(step, input.clone(), &first_cx));
    let mut first = Branch::new(first);
    let fact = {
        // Unconstrained: work that has used up the task's share of time must not stop the clock.
        let mut slow = pin!(Some(unconstrained(slow)));
        poll_fn(|task| {
            if first.advance(task).is_ready() {
                return Poll::Ready(None);
            }
            if slow.is_some() && how.gate.as_ref().is_some_and(|gate| gate.winner(task.waker()).is_some()) {
                slow.set(None);
            }
            match slow.as_mut().as_pin_mut() {
                Some(slow) => slow.poll(task).map(Some),
                None => Poll::Pending,
            }
        })
        .await
    };
    let Some(fact) = fact else {
        merge_outcome(cx, &first_cx, || None);
        return first.take().expect("the first copy has completed");
    };

    cx.fact(|| fact);
    let second_cx = lane(cx, &how, 1);
    let second = pin!(later(step, input, &second_cx));
    let mut second = Branch::new(second);
    let names = [step.info().name; 2];
    let winner = decide(&mut [&mut first as &mut dyn Advance, &mut second], &names, cx, &how).await?;
    let result = if winner == 0 {
        merge_outcome(cx, &first_cx, || None);
        first.take()
    } else {
        merge_outcome(cx, &second_cx, || Some(served_by));
        second.take()
    };
    result.expect("the winner has completed")
}

//! The second copy of a slow call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::coop::unconstrained;

use super::RaceOptions;
use super::decide::{Rule, contender_context, decide, merge_winner};
use crate::context::{Context, FirstOutput};
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::outcome::ServedBy;
use crate::pattern::branch::{Branch, DynBranch, lazy};
use crate::step::Step;

/// Runs the step, and a second copy of it once `slow` completes. The first to succeed wins, and the other is
/// dropped before this function returns. The event that `slow` returns is recorded when the second copy starts.
///
/// With `first_output`, the first copy to emit output continues alone, even before `slow` completes.
pub(in crate::pattern) async fn run_with_copy<S: Step<In: Clone>>(
    step: &S,
    input: S::In,
    cx: &Context,
    first_output: Option<Arc<FirstOutput>>,
    slow: impl Future<Output = EventKind> + Send,
    served_by: ServedBy,
) -> Result<S::Out> {
    let options = RaceOptions { rule: Rule::FirstSuccess, first_output };
    let first_cx = contender_context(cx, &options, 0);
    let first = pin!(lazy(step, input.clone(), &first_cx));
    let mut first = Branch::new(first);
    let event = {
        // Unconstrained, because work that has used up the cooperative budget of the task must not stop the
        // timer.
        let mut slow = pin!(Some(unconstrained(slow)));
        poll_fn(|task| {
            if first.poll_branch(task).is_ready() {
                return Poll::Ready(None);
            }
            if slow.is_some()
                && options.first_output.as_ref().is_some_and(|first_output| first_output.winner(task.waker()).is_some())
            {
                slow.set(None);
            }
            match slow.as_mut().as_pin_mut() {
                Some(slow) => slow.poll(task).map(Some),
                None => Poll::Pending,
            }
        })
        .await
    };
    let Some(event) = event else {
        merge_winner(cx, &first_cx, || None);
        return first.take().expect("the first copy has completed");
    };

    cx.record_event(|| event);
    let second_cx = contender_context(cx, &options, 1);
    let second = pin!(lazy(step, input, &second_cx));
    let mut second = Branch::new(second);
    let names = [step.info().name; 2];
    let winner = decide(&mut [&mut first as &mut dyn DynBranch, &mut second], &names, cx, &options).await?;
    let result = if winner == 0 {
        merge_winner(cx, &first_cx, || None);
        first.take()
    } else {
        merge_winner(cx, &second_cx, || Some(served_by));
        second.take()
    };
    result.expect("the winner has completed")
}

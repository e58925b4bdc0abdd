//! **Panics are contained**: the panic of one item is the error of that item, and N inputs have N outcomes.
//!
//! *Hazard*: one bad record ends the whole run; or worse, the stream ends early and looks complete.
//!
//! *Reports*: <https://github.com/tokio-rs/tokio/pull/6784>, <https://github.com/n0-computer/iroh/pull/4460>,
//! <https://github.com/fortanix/rust-sgx/issues/763>.
//!
//! *Common alternative*: `buffer_unordered` and `join_all` unwind through everything in flight (`cargo run -p
//! hazards -- panic`).
//!
//! *Here* (G9): a panic in item k is one `Panicked` at index k. It may happen before there is a future, in the
//! first or a later poll, in a destructor, or on a thread, inside any pattern.

use std::panic::{AssertUnwindSafe, catch_unwind};

use llmspell::step::BoxStep;
use llmspell::{Context, Error, ErrorKind, Step, all, join, race, settle, step};
use tokio::task::yield_now;

use crate::pattern_cases::every_pattern;
use crate::probe::{Probe, ms};

on_both_runtimes!(
    panic_is_the_outcome_of_its_item,
    panic_in_any_pattern_is_the_outcome_of_its_item,
    panic_is_the_error_of_its_branch,
    panic_in_a_destructor_is_the_outcome_of_its_item,
    panic_in_a_destructor_stays_in_its_branch,
    panic_on_a_thread_is_the_error_of_its_caller,
);

/// Returns a step that panics for input 3: before there is a future, at its first poll, or at a later one.
fn odd_one(when: usize) -> BoxStep<usize, usize> {
    let run = move |n: usize, _| {
        assert!((n, when) != (3, 0), "three");
        async move {
            assert!((n, when) != (3, 1), "three");
            yield_now().await;
            assert!((n, when) != (3, 2), "three");
            Ok(n)
        }
    };
    step(run).boxed()
}

fn is_panic(error: &Error) -> bool {
    error.kind() == ErrorKind::Panicked || error.causes().iter().any(is_panic)
}

async fn panic_is_the_outcome_of_its_item() {
    for when in 0..3 {
        for (limit, ordered) in [(1, false), (4, false), (4, true), (1, true)] {
            let stream = odd_one(when).named("odd").stream(0..8, &Context::new()).limit(limit);
            let mut outcomes = if ordered { stream.ordered() } else { stream }.collect().await;
            if ordered {
                assert!(outcomes.is_sorted_by_key(|outcome| outcome.index));
            }
            outcomes.sort_by_key(|outcome| outcome.index);
            assert_eq!(outcomes.len(), 8);
            for (index, outcome) in outcomes.into_iter().enumerate() {
                assert_eq!(outcome.index, index);
                match outcome.result {
                    Ok(n) => assert_eq!(n, index),
                    Err(error) => {
                        assert_eq!((error.kind(), index), (ErrorKind::Panicked, 3));
                        assert_eq!(error.message(), "panicked: three");
                    }
                }
            }
        }
    }
}

async fn panic_in_any_pattern_is_the_outcome_of_its_item() {
    for when in 0..3 {
        for case in every_pattern(|| odd_one(when)) {
            let outcomes = case.step.stream(0..8, &Context::new()).limit(3).ordered().collect().await;
            assert_eq!(outcomes.len(), 8, "{}", case.name);
            for (index, outcome) in outcomes.into_iter().enumerate() {
                match outcome.result {
                    Ok(n) => assert!(n == index && n != 3, "{}: {n}", case.name),
                    Err(error) => assert!(index == 3 && is_panic(&error), "{}: {error}", case.name),
                }
            }
        }
    }
}

async fn panic_is_the_error_of_its_branch() {
    let cx = Context::new();
    for when in 0..3 {
        let (good, bad) = settle((Probe::ok(5), odd_one(when))).run(3, &cx).await.unwrap();
        assert_eq!(good.result.unwrap(), 3);
        assert_eq!(bad.result.unwrap_err().message(), "panicked: three");

        let error = join((Probe::ok(5), odd_one(when))).run(3, &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        let error = all([Probe::ok(5).boxed(), odd_one(when)]).run(3, &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);

        // The others continue, and one of them wins.
        assert_eq!(race((odd_one(when), Probe::ok(5))).run(3, &cx).await.unwrap(), 3);
        let error = race((odd_one(when), Probe::fails(5, "no"))).run(3, &cx).await.unwrap_err();
        assert!(is_panic(&error));
    }
}

/// Panics when dropped, unless the thread is already panicking.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "bomb");
    }
}

async fn panic_in_a_destructor_is_the_outcome_of_its_item() {
    let armed = step(|n: usize, _| async move {
        let _bomb = (n == 2).then(|| Bomb);
        yield_now().await;
        Ok(n)
    });
    let outcomes = armed.stream(0..20, &Context::new()).limit(4).ordered().collect().await;
    assert_eq!(outcomes.len(), 20);
    for outcome in outcomes {
        assert_eq!(outcome.is_ok(), outcome.index != 2);
    }
}

async fn panic_in_a_destructor_stays_in_its_branch() {
    let armed = || {
        step(|n: usize, _| async move {
            let _bomb = Bomb;
            tokio::time::sleep(ms(20)).await;
            Ok(n)
        })
    };
    assert_eq!(race((armed(), Probe::ok(5))).run(1, &Context::new()).await.unwrap(), 1);
    let error = join((armed(), Probe::ok(5))).run(1, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Panicked, "panicked: bomb"));
}

async fn panic_on_a_thread_is_the_error_of_its_caller() {
    let bomb = step(|n: usize, cx: Context| async move {
        cx.blocking(move |_| {
            assert!(n != 3, "three");
            Ok(n)
        })
        .await
    });
    let outcomes = bomb.stream(0..8, &Context::new()).limit(4).ordered().collect().await;
    let failed: Vec<usize> = outcomes.iter().filter(|outcome| !outcome.is_ok()).map(|outcome| outcome.index).collect();
    assert_eq!((outcomes.len(), failed), (8, vec![3]));
    // A panic in the call that builds a stream is the panic of its caller.
    assert!(catch_unwind(AssertUnwindSafe(|| odd_one(0).stream(0..1, &Context::new()).limit(0))).is_err());
}

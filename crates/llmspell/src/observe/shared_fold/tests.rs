//! The shared fold against the single one, and calls that move between threads.

use std::thread;
use std::time::Duration;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::observe::event::{LimitChange, RejectedBy, WaitKind};
use crate::observe::fold::CallState;
use crate::observe::outcome::Quality;
use crate::observe::usage::Usage;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn event(at: u64, path: &str, call: u64, parent: u64, fact: EventKind) -> Event {
    Event { v: Event::VERSION, at: ms(at), path: Path::from(path), call, parent, item: None, fact }
}

fn overloaded() -> Error {
    Error::new(ErrorKind::Overloaded, "429")
}

/// One call of `outer` that calls `outer.inner` twice; the first call of `inner` is retried and queued.
fn sample_events() -> Vec<Event> {
    let finished = |took| EventKind::Finished { took: ms(took), quality: Quality::Full };
    vec![
        event(0, "outer", 1, 0, EventKind::Started),
        event(0, "outer.inner", 2, 1, EventKind::Started),
        event(0, "outer.inner", 2, 1, EventKind::Queued { step: None, queue: WaitKind::Limit }),
        event(10, "outer.inner", 2, 1, EventKind::Admitted { step: None, queue: WaitKind::Limit, waited: ms(10) }),
        event(20, "outer.inner", 2, 1, EventKind::AttemptFailed { attempt: 1, error: (&overloaded()).into() }),
        event(20, "outer.inner", 2, 1, EventKind::Retrying { attempt: 2, delay: ms(100) }),
        event(130, "outer.inner", 2, 1, EventKind::Used(Usage::new(10, 1))),
        event(140, "outer.inner", 2, 1, EventKind::Failed { took: ms(140), error: (&overloaded()).into() }),
        event(150, "outer.inner", 3, 1, EventKind::Started),
        event(150, "outer.inner", 3, 1, EventKind::LimitChanged { from: 1, to: 4, reason: LimitChange::Growth }),
        event(160, "outer.inner", 3, 1, EventKind::Failed { took: ms(10), error: (&overloaded()).into() }),
        event(
            170,
            "outer",
            1,
            0,
            EventKind::Refused { step: None, by: RejectedBy::Rate, error: (&overloaded()).into() },
        ),
        event(180, "outer", 1, 0, finished(180)),
        event(190, "outer.inner", 3, 1, EventKind::Runaway),
        event(190, "", 0, 0, EventKind::Used(Usage::new(5, 0))),
    ]
}

fn assert_sample(now: &FoldSnapshot) {
    assert_eq!(now.steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>(), ["outer", "outer.inner"]);
    let [outer, inner] = &now.steps[..] else { unreachable!() };
    assert_eq!((outer.calls, outer.ok, outer.refused, outer.overloaded), (1, 1, 1, 0));
    assert_eq!((inner.calls, inner.failed, inner.retries), (2, 2, 1));
    assert_eq!((inner.waited, inner.backed_off), (ms(110), ms(100)));
    assert_eq!((inner.runaways, inner.limit(), inner.usage), (1, Some(4), Usage::new(10, 1)));
    assert_eq!(inner.times.count(), 2);
    // Each failure once: the one that an attempt has reported, and the one of a call without attempts.
    assert_eq!((inner.overloaded, now.totals.overloaded), (2, 2));
    assert_eq!((now.totals.usage, now.totals.refused, now.totals.runaways_alive()), (Usage::new(15, 1), 1, 1));
    assert!(now.calls.is_empty());
}

#[test]
fn events_from_one_thread_are_counted() {
    let fold = SharedFold::default();
    sample_events().iter().for_each(|event| fold.record(event));
    assert_sample(&fold.snapshot());
}

#[test]
fn events_of_a_call_that_moves_between_threads_are_counted() {
    let fold = SharedFold::with_shards(4);
    for event in sample_events() {
        thread::scope(|scope| scope.spawn(|| fold.record(&event)).join().unwrap());
    }
    assert_sample(&fold.snapshot());
}

#[test]
fn a_snapshot_says_what_each_call_does() {
    // The inner call after that many events, at a time.
    let seen = |events: usize, at: u64| {
        let fold = SharedFold::with_shards(2);
        sample_events().iter().take(events).for_each(|event| fold.record(event));
        let now = fold.snapshot();
        let (_, inner) = now.calls.into_iter().find(|(call, _)| *call == 2).unwrap();
        assert_eq!(now.steps[inner.step].path.as_str(), "outer.inner");
        (inner.attempt, inner.state(ms(at)))
    };
    assert_eq!(seen(2, 0), (1, CallState::Running));
    assert_eq!(seen(3, 4), (1, CallState::Queued { queue: WaitKind::Limit, time: ms(4) }));
    assert_eq!(seen(4, 10), (1, CallState::Running));
    assert_eq!(seen(6, 50), (2, CallState::BackingOff { after: ms(70) }));
    assert_eq!(seen(6, 120), (2, CallState::Retrying));
}

#[test]
fn threads_that_fold_at_once_lose_nothing() {
    let fold = SharedFold::with_shards(3);
    thread::scope(|scope| {
        for thread in 0..4 {
            let fold = &fold;
            scope.spawn(move || {
                for n in 0..1000 {
                    let call = thread * 1000 + n + 1;
                    fold.record(&event(n, "step", call, 0, EventKind::Started));
                    fold.record(&event(n, "step", call, 0, EventKind::Used(Usage::new(1, 0))));
                    fold.record(&event(n, "step", call, 0, EventKind::Cancelled { took: ms(1) }));
                }
            });
        }
    });
    let now = fold.snapshot();
    assert_eq!((now.steps[0].calls, now.steps[0].cancelled, now.totals.usage.tokens()), (4000, 4000, 4000));
}

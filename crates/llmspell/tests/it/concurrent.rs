//! Groups: all members, the first failure, or every outcome.

use llmspell::{Context, Error, ErrorKind, Step, all, join, settle, step, try_all, try_join};
use tokio::time::Instant;

use crate::probe::{Probe, Watch, ms, settled_tasks};

#[tokio::test(start_paused = true)]
async fn tuple_takes_as_long_as_its_slowest_member() {
    let started = Instant::now();
    let group = join((Probe::ok(100), Probe::ok(300), Probe::ok(200)));
    assert_eq!(group.run(7, &Context::new()).await.unwrap(), (7, 7, 7));
    assert_eq!(started.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn vector_takes_as_long_as_its_slowest_member_and_keeps_its_order() {
    let started = Instant::now();
    let group = all((0..100).map(|k| Probe::ok(100 - k).map(move |x| x + k as usize)));
    assert_eq!(group.run(0, &Context::new()).await.unwrap(), (0..100).collect::<Vec<_>>());
    assert_eq!(started.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn join_lets_siblings_finish_and_keeps_all_failures() {
    let watch = Watch::default();
    let group =
        join((Probe::fails(10, "first"), Probe::ok(100).watched(&watch), Probe::fails(50, "second").watched(&watch)));
    let error = group.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AllFailed);
    assert_eq!(error.message(), "2 of 3 branches failed");
    assert_eq!(error.causes().iter().map(Error::message).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(watch.completed(), 2);
}

#[tokio::test(start_paused = true)]
async fn single_failure_is_returned_unchanged() {
    let group = join((Probe::ok(10), Probe::fails(20, "alone")));
    let error = group.run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "alone"));
}

#[tokio::test(start_paused = true)]
async fn first_failure_cancels_siblings_of_try_join() {
    let (watch, started) = (Watch::default(), Instant::now());
    let group = try_join((Probe::ok(500).watched(&watch), Probe::fails(10, "early"), Probe::ok(300).watched(&watch)));
    let error = group.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "early");
    assert_eq!(started.elapsed(), ms(10));
    assert_eq!((watch.begun(), watch.alive(), watch.completed()), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn first_failure_cancels_siblings_of_try_all() {
    let (watch, started) = (Watch::default(), Instant::now());
    let members = (0..50).map(|k| match k {
        20 => Probe::fails(10, "early"),
        _ => Probe::ok(500).watched(&watch),
    });
    let error = try_all(members).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "early");
    assert_eq!(started.elapsed(), ms(10));
    assert_eq!((watch.begun(), watch.alive(), watch.completed()), (49, 0, 0));
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn settle_returns_every_outcome() {
    let (a, b) = settle((Probe::ok(20), Probe::fails(10, "no"))).run(5, &Context::new()).await.unwrap();
    assert_eq!((a.index, a.result.unwrap()), (0, 5));
    assert_eq!((b.index, b.result.unwrap_err().message()), (1, "no"));

    let outcomes = settle(vec![Probe::ok(20), Probe::fails(10, "no")]).run(5, &Context::new()).await.unwrap();
    assert_eq!(
        outcomes.iter().map(|outcome| (outcome.index, outcome.is_ok())).collect::<Vec<_>>(),
        [(0, true), (1, false)]
    );
}

#[tokio::test(start_paused = true)]
async fn limit_bounds_concurrent_branches() {
    let watch = Watch::default();
    let started = Instant::now();
    let members = (0..10).map(|_| Probe::ok(100).watched(&watch));
    all(members).limit(3).run(0, &Context::new()).await.unwrap();
    assert_eq!((watch.most_at_once(), watch.begun()), (3, 10));
    assert_eq!(started.elapsed(), ms(400));

    let watch = Watch::default();
    let started = Instant::now();
    let probe = || Probe::ok(100).watched(&watch);
    join((probe(), probe(), probe(), probe())).limit(2).run(0, &Context::new()).await.unwrap();
    assert_eq!((watch.most_at_once(), watch.begun()), (2, 4));
    assert_eq!(started.elapsed(), ms(200));
}

#[test]
#[should_panic(expected = "a limit must be at least 1")]
fn limit_of_zero_panics() {
    let _ = join((Probe::ok(1), Probe::ok(1))).limit(0);
}

#[tokio::test(start_paused = true)]
async fn panic_is_the_error_of_its_branch() {
    let bomb = || {
        step(|_: usize, _| async move {
            tokio::task::yield_now().await;
            if true {
                panic!("boom");
            }
            Ok(0)
        })
    };
    let (good, bad) = settle((Probe::ok(10), bomb())).run(1, &Context::new()).await.unwrap();
    assert_eq!(good.result.unwrap(), 1);
    let error = bad.result.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Panicked, "panicked: boom"));

    let error = all([Probe::ok(10).boxed(), bomb().boxed()]).run(1, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
}

#[tokio::test(start_paused = true)]
async fn empty_vector_completes_at_once() {
    let no_members = Vec::<Probe>::new();
    assert!(join(no_members).run(0, &Context::new()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_group_cancels_its_members() {
    let watch = Watch::default();
    let group = all((0..10).map(|_| Probe::ok(1000).watched(&watch)));
    let run = tokio::time::timeout(ms(100), group.run(0, &Context::new())).await;
    assert!(run.is_err());
    assert_eq!(settled_tasks().await, 0);
    assert_eq!((watch.begun(), watch.alive(), watch.completed()), (10, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn inputs_that_cannot_be_cloned_are_shared() {
    struct Unclonable(usize);
    let double = step(|input: std::sync::Arc<Unclonable>, _| async move { Ok(input.0 * 2) });
    let triple = step(|input: std::sync::Arc<Unclonable>, _| async move { Ok(input.0 * 3) });
    let both = join((double, triple)).shared();
    assert_eq!(both.run(Unclonable(2), &Context::new()).await.unwrap(), (4, 6));
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_closure_is_caught() {
    let bomb = || {
        step(|n: usize, _| {
            assert!(n != 1, "boom");
            async move { Ok(n) }
        })
    };
    let (bad, good) = settle((bomb(), Probe::ok(10))).run(1, &Context::new()).await.unwrap();
    assert_eq!(bad.result.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(good.is_ok());
    assert_eq!(llmspell::race((bomb(), Probe::ok(10))).run(1, &Context::new()).await.unwrap(), 1);
}

//! Second copies of slow calls: when they start, which copy wins, and how many there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::context::ChunkData;
use llmspell::observe::{Event, EventKind, ServedBy};
use llmspell::{Context, Error, ErrorKind, Hedge, Retry, Step, step};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

/// Returns a step that is slow on the first call of each pair, and fast on the second.
fn uneven(watch: &Watch) -> impl Step<In = usize, Out = usize> {
    let (watch, calls) = (watch.clone(), Arc::new(AtomicUsize::new(0)));
    step(move |n: usize, _| {
        let alive = watch.enter();
        let slow = calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move {
            sleep(ms(if slow { 1000 } else { 50 })).await;
            alive.complete();
            Ok(n)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn hedge_wins_if_the_first_copy_is_slow() {
    let (watch, started) = (Watch::default(), Instant::now());
    let hedged = uneven(&watch).idempotent().hedge(Hedge::after(ms(100))).with_outcome();
    let outcome = hedged.run(1, &Context::new()).await.unwrap();
    assert_eq!(started.elapsed(), ms(150));
    assert_eq!(outcome.provenance.choices[0].served_by, ServedBy::Hedge);
    assert_eq!((watch.begun(), watch.completed(), watch.alive()), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn fast_call_is_not_hedged() {
    let probe = Probe::ok(50);
    let watch = probe.watch.clone();
    probe.idempotent().hedge(Hedge::after(ms(100))).run(1, &Context::new()).await.unwrap();
    assert_eq!(watch.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn hedges_keep_their_share_if_every_call_is_slow() {
    for (share, most) in [(0.1, 10), (0.5, 50), (1.0, 100), (0.0, 0)] {
        let probe = Probe::ok(500);
        let watch = probe.watch.clone();
        let hedged = Arc::new(probe.idempotent().hedge(Hedge::after(ms(100)).max_share(share)));
        for n in 0..100 {
            hedged.run(n, &Context::new()).await.unwrap();
        }
        assert_eq!(watch.begun() - 100, most);
    }
}

#[tokio::test(start_paused = true)]
async fn percentile_is_taken_from_recent_calls() {
    let calls = AtomicUsize::new(0);
    let watch = Watch::default();
    let seen = watch.clone();
    let step = step(move |n: usize, _| {
        let alive = seen.enter();
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            // 100 ms each, except for one of a minute.
            sleep(ms(if call == 60 { 60_000 } else { 100 })).await;
            alive.complete();
            Ok(n)
        }
    });
    let hedged = step.idempotent().hedge(Hedge::at_percentile(95.0));
    for n in 0..60 {
        hedged.run(n, &Context::new()).await.unwrap();
    }
    let started = Instant::now();
    hedged.run(60, &Context::new()).await.unwrap();
    assert!(started.elapsed() < ms(210), "hedged at about 100 ms, not after {:?}", started.elapsed());
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn both_errors_are_kept_if_both_copies_fail() {
    let error =
        Probe::fails(200, "no").idempotent().hedge(Hedge::after(ms(100))).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.causes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hedge_past_the_deadline_is_not_started() {
    let probe = Probe::ok(1000);
    let watch = probe.watch.clone();
    let step = probe.idempotent().hedge(Hedge::after(ms(500))).deadline(ms(400));
    assert!(step.run(0, &Context::new()).await.is_err());
    assert_eq!(watch.begun(), 1);
}

/// A quiet time must not accumulate many second copies for the moment when a service becomes slow.
#[tokio::test(start_paused = true)]
async fn hedge_bursts_are_small_after_a_quiet_time() {
    let watch = Watch::default();
    let seen = watch.clone();
    let step = step(move |slow: bool, _| {
        let alive = seen.enter();
        async move {
            sleep(ms(if slow { 500 } else { 1 })).await;
            alive.complete();
            Ok(())
        }
    });
    let hedged = Arc::new(step.idempotent().hedge(Hedge::after(ms(100))));
    for _ in 0..1000 {
        hedged.run(false, &Context::new()).await.unwrap();
    }
    hedged.clone().stream(std::iter::repeat_n(true, 50), &Context::new()).limit(50).collect().await;
    assert!(watch.begun() - 1050 <= 10, "{} concurrent hedges", watch.begun() - 1050);
}

#[test]
#[should_panic(expected = "declare it with `.idempotent()`")]
fn step_that_is_not_idempotent_cannot_be_hedged() {
    let _ = Probe::ok(1).hedge(Hedge::after(ms(1)));
}

/// Returns a step that emits output after the first time of a call and returns after the second. Each call
/// takes the next pair.
fn emitting(calls: &[(u64, u64)], watch: &Watch) -> impl Step<In = (), Out = usize> + use<> {
    let (watch, calls, next) = (watch.clone(), calls.to_vec(), AtomicUsize::new(0));
    let emits = step(move |(), cx: Context| {
        let alive = watch.enter();
        let call = next.fetch_add(1, Ordering::SeqCst);
        let (first, rest) = calls[call.min(calls.len() - 1)];
        async move {
            sleep(ms(first)).await;
            cx.emit(format!("first of {call}")).await?;
            sleep(ms(rest)).await;
            cx.emit(format!("last of {call}")).await?;
            alive.complete();
            Ok(call)
        }
    });
    emits.idempotent()
}

/// Runs the step, and returns its result and all its output.
async fn run_with_output<S: Step<In = ()>>(step: S) -> (llmspell::Result<S::Out>, Vec<String>) {
    let (cx, mut chunks) = Context::new().with_chunks(64);
    let run = async move { step.run((), &cx).await };
    let read = async {
        let mut words = Vec::new();
        while let Some(chunk) = chunks.next().await {
            if let ChunkData::Output(word) = chunk.data {
                words.push(word.as_str().unwrap().to_owned());
            }
        }
        words
    };
    tokio::join!(run, read)
}

#[tokio::test(start_paused = true)]
async fn copy_with_timely_first_output_is_not_hedged() {
    let watch = Watch::default();
    let hedged = emitting(&[(50, 10_000)], &watch).hedge(Hedge::after(ms(100)).first_output());
    let (result, words) = run_with_output(hedged).await;
    assert_eq!((result.unwrap(), watch.begun()), (0, 1));
    assert_eq!(words, ["first of 0", "last of 0"]);
}

#[tokio::test(start_paused = true)]
async fn copy_with_first_output_continues_alone() {
    // The second copy emits at 150 ms and returns at 650 ms; the first would return at 301 ms.
    let (watch, started) = (Watch::default(), Instant::now());
    let hedged = emitting(&[(300, 1), (50, 500)], &watch).hedge(Hedge::after(ms(100)).first_output());
    let (result, words) = run_with_output(hedged).await;
    assert_eq!((result.unwrap(), started.elapsed()), (1, ms(650)));
    assert_eq!((watch.begun(), watch.completed(), watch.alive()), (2, 1, 0));
    assert_eq!(words, ["first of 1", "last of 1"], "no output of the loser is seen");

    // Here the first copy emits at 120 ms, before the second.
    let (watch, started) = (Watch::default(), Instant::now());
    let hedged = emitting(&[(120, 500), (50, 1)], &watch).hedge(Hedge::after(ms(100)).first_output());
    let (result, words) = run_with_output(hedged).await;
    assert_eq!((result.unwrap(), started.elapsed()), (0, ms(620)));
    assert_eq!((watch.begun(), watch.completed(), watch.alive()), (2, 1, 0));
    assert_eq!(words, ["first of 0", "last of 0"]);
}

#[tokio::test(start_paused = true)]
async fn loser_is_dropped_at_the_first_output_of_the_winner() {
    let watch = Watch::default();
    let hedged = emitting(&[(300, 1), (50, 500)], &watch).hedge(Hedge::after(ms(100)).first_output());
    let (cx, check) = (Context::new(), async {
        sleep(ms(200)).await;
        assert_eq!((watch.begun(), watch.alive()), (2, 1));
    });
    let (result, ()) = tokio::join!(hedged.run((), &cx), check);
    assert_eq!(result.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn output_of_a_spawned_copy_counts() {
    let (watch, started) = (Watch::default(), Instant::now());
    let hedged =
        emitting(&[(50, 500), (1, 1)], &watch).spawned().idempotent().hedge(Hedge::after(ms(100)).first_output());
    let (result, words) = run_with_output(hedged).await;
    assert_eq!((result.unwrap(), watch.begun(), started.elapsed()), (0, 1, ms(550)));
    assert_eq!(words.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failure_after_output_fails_the_hedged_call() {
    let broken = step(|(), cx: Context| async move {
        sleep(ms(150)).await;
        cx.emit("a word").await?;
        sleep(ms(100)).await;
        Err::<(), _>(Error::failed("broken").transient())
    });
    let hedged = broken.idempotent().hedge(Hedge::after(ms(100)).first_output()).retry(Retry::immediately());
    let (result, words) = run_with_output(hedged).await;
    let error = result.unwrap_err();
    assert!(error.message().contains("a reader has already seen its output"), "{error}");
    assert_eq!(words, ["a word"]);
}

#[tokio::test(start_paused = true)]
async fn copy_without_output_can_win() {
    let (watch, started) = (Watch::default(), Instant::now());
    let hedged = uneven(&watch).idempotent().hedge(Hedge::after(ms(100)).first_output());
    assert_eq!(hedged.run(3, &Context::new()).await.unwrap(), 3);
    assert_eq!((started.elapsed(), watch.alive()), (ms(150), 0));
}

#[tokio::test(start_paused = true)]
async fn first_output_percentile_ignores_total_time() {
    // Emits after 20 ms, and runs for 5 s; the sixty-first call emits nothing for a minute.
    let mut calls = [(20, 5000); 62];
    calls[60] = (60_000, 0);
    let watch = Watch::default();
    let hedged = emitting(&calls, &watch).hedge(Hedge::at_percentile(95.0).first_output());
    for _ in 0..60 {
        hedged.run((), &Context::new()).await.unwrap();
    }
    assert_eq!(watch.begun(), 60);
    let started = Instant::now();
    assert_eq!(hedged.run((), &Context::new()).await.unwrap(), 61);
    let took = started.elapsed();
    assert!(took < ms(5100), "hedged after about 20 ms, not 5 s: {took:?}");
    assert_eq!((watch.begun(), watch.alive()), (62, 0));
}

#[tokio::test(start_paused = true)]
async fn early_failure_starts_no_second_copy() {
    let probe = Probe::fails(50, "no");
    let watch = probe.watch.clone();
    let error = probe.idempotent().hedge(Hedge::after(ms(100))).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.message(), watch.begun()), ("no", 1));
}

#[tokio::test(start_paused = true)]
async fn panic_in_a_copy_is_the_failure_of_that_copy() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let bomb = step(move |n: usize, _| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(ms(if call == 0 { 300 } else { 50 })).await;
            assert!(call == 0, "boom");
            Ok(n)
        }
    });
    let hedged = bomb.idempotent().hedge(Hedge::after(ms(100)));
    assert_eq!(hedged.run(7, &Context::new()).await.unwrap(), 7);
    let error = hedged.run(7, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), calls.load(Ordering::SeqCst)), (ErrorKind::Panicked, 3));
}

#[tokio::test(start_paused = true)]
async fn second_copy_is_an_event() {
    let cx = Context::recording();
    let hedged = uneven(&Watch::default()).idempotent().hedge(Hedge::after(ms(100))).named("ask");
    hedged.run(1, &cx).await.unwrap();
    let events = cx.events();
    let hedges: Vec<_> = events.iter().filter(|event| matches!(event.fact, EventKind::Hedged { .. })).collect();
    assert!(
        matches!(hedges[..], [Event { fact: EventKind::Hedged { after, .. }, .. }] if *after == ms(100)),
        "{hedges:?}"
    );
    assert_eq!((hedges[0].path.as_str(), hedges[0].at), ("ask", ms(100)));
}

//! Races: who decides, who is cancelled, what is kept.

use llmspell::context::ChunkData;
use llmspell::observe::{Quality, ServedBy};
use llmspell::{Context, Error, ErrorKind, Retry, Step, pipeline, race, step, value};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

#[tokio::test(start_paused = true)]
async fn the_first_to_succeed_wins_and_the_others_are_gone() {
    let (watch, started) = (Watch::default(), Instant::now());
    let probe = |delay, out: usize| Probe::ok(delay).watched(&watch).map(move |_| out);
    let contest = race((probe(300, 1), probe(250, 2), probe(400, 3)));
    assert_eq!(contest.run(0, &Context::new()).await.unwrap(), 2);
    assert_eq!(started.elapsed(), ms(250));
    assert_eq!((watch.begun(), watch.completed(), watch.alive()), (3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_win() {
    let started = Instant::now();
    let contest = race(vec![Probe::fails(100, "fast but broken"), Probe::ok(300), Probe::ok(250)]);
    assert_eq!(contest.run(4, &Context::new()).await.unwrap(), 4);
    assert_eq!(started.elapsed(), ms(250));
}

#[tokio::test(start_paused = true)]
async fn failures_beside_the_winner_are_reported_and_all_attempts_are_counted() {
    let patient = || Retry::immediately().max_attempts(3).when(|_| true);
    let loses = Probe::fails(100, "loses").retry(patient());
    let contest = race((Probe::fails(10, "broken").retry(patient()), loses, Probe::ok(250)));
    let outcome = contest.with_outcome().run(4, &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.quality), (4, Quality::Full));
    let causes: Vec<_> = outcome.causes.iter().map(Error::message).collect();
    assert_eq!(causes, ["gave up after 3 attempts: broken"]);
    assert_eq!(outcome.provenance.retries, 2 + 2, "the loser had begun its third attempt");
}

#[tokio::test(start_paused = true)]
async fn an_error_may_win_if_the_first_to_complete_decides() {
    let contest = race((Probe::fails(100, "first"), Probe::ok(200))).first_complete();
    assert_eq!(contest.run(0, &Context::new()).await.unwrap_err().message(), "first");
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_every_failure_is_kept_in_the_order_in_which_they_came() {
    let contest = race((Probe::fails(30, "c"), Probe::fails(10, "a"), Probe::fails(20, "b")));
    let error = contest.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AllFailed);
    assert_eq!(error.message(), "none of 3 contenders succeeded");
    assert_eq!(error.causes().iter().map(Error::message).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_winner_leaves_a_trace() {
    let degraded_loser = Probe::fails(10, "down").fallback(Probe::ok(500)).named("loser");
    let contest = race((degraded_loser, Probe::ok(100).named("winner"))).named("contest").with_outcome();
    let outcome = contest.run(0, &Context::new()).await.unwrap();
    assert_eq!((outcome.quality, outcome.causes.len()), (Quality::Full, 0));
    let choice = &outcome.provenance.choices[0];
    assert_eq!(choice.path.as_str(), "contest");
    assert_eq!(choice.served_by, ServedBy::Contender { index: 1, name: Some("winner".into()) });

    let degraded_winner = Probe::fails(10, "down").fallback(Probe::ok(10)).named("winner");
    let outcome = race((degraded_winner, Probe::ok(100))).with_outcome().run(0, &Context::new()).await.unwrap();
    assert_eq!((outcome.quality, outcome.causes[0].to_string()), (Quality::Fallback, "winner: down".into()));
}

#[tokio::test(start_paused = true)]
async fn a_race_of_retries_runs_each_with_its_own_attempts() {
    let flaky = || llmspell_test::FakeTool::<usize>::new("flaky").fails_first(1).retry(Retry::immediately());
    assert_eq!(race((flaky(), flaky())).run(1, &Context::new()).await.unwrap(), 1);
}

/// Shows a word after `first`, and the answer after `rest` more.
fn talker(name: &'static str, first: u64, rest: u64, watch: &Watch) -> impl Step<In = (), Out = &'static str> {
    let watch = watch.clone();
    step(move |(), cx: Context| {
        let alive = watch.enter();
        async move {
            sleep(ms(first)).await;
            cx.emit(name).await?;
            sleep(ms(rest)).await;
            alive.complete();
            Ok(name)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_first_output_decides_and_no_output_of_a_loser_is_seen() {
    let (watch, started) = (Watch::default(), Instant::now());
    let (cx, mut chunks) = Context::new().with_chunks(8);
    // The early talker takes longer in the end, and still wins.
    let contest = race((talker("late", 50, 10, &watch), talker("early", 10, 500, &watch))).first_output();
    assert_eq!(contest.run((), &cx).await.unwrap(), "early");
    assert_eq!(started.elapsed(), ms(510));
    assert_eq!((watch.completed(), watch.alive()), (1, 0));
    drop((cx, contest));
    assert_eq!(chunks.next().await.unwrap().data, ChunkData::Output("early".into()));
    assert!(chunks.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_spawned_contender_can_win_by_its_output() {
    let watch = Watch::default();
    let contest = race((talker("late", 50, 10, &watch).boxed(), talker("early", 10, 500, &watch).spawned().boxed()));
    assert_eq!(contest.first_output().run((), &Context::new()).await.unwrap(), "early");
}

#[tokio::test(start_paused = true)]
async fn a_contender_that_fails_after_its_output_takes_the_race_with_it() {
    let broken = step(|(), cx: Context| async move {
        cx.emit("a promise").await?;
        sleep(ms(10)).await;
        Err::<&str, _>(Error::failed("broken"))
    });
    let contest = race((broken, talker("late", 5, 10, &Watch::default()))).first_output();
    assert_eq!(contest.run((), &Context::new()).await.unwrap_err().message(), "broken");
}

#[tokio::test(start_paused = true)]
async fn patterns_nest_in_any_order() {
    let fast = Probe::ok(10).limit(2).timeout(ms(100)).named("fast");
    let slow = llmspell::pipeline("slow").stage("a", Probe::ok(50)).stage("b", Probe::ok(50));
    let step = llmspell::join((race((fast, slow)).retry(Retry::immediately()), Probe::ok(30)))
        .map(|(a, b)| a + b)
        .deadline(ms(200))
        .fallback(value(0usize))
        .named("nest")
        .boxed();
    let outs = step.stream(0..5, &Context::new()).ordered().try_collect().await.unwrap();
    assert_eq!(outs, [0, 2, 4, 6, 8]);
}

/// The first contender shows output and goes on; the second is done in the same turn, without any.
#[tokio::test(start_paused = true)]
async fn a_result_without_output_does_not_beat_output_that_was_seen() {
    let (cx, mut chunks) = Context::new().with_chunks(8);
    let silent = step(|(), _| async move {
        tokio::task::yield_now().await;
        Ok("silent")
    });
    let contest = race((talker("seen", 0, 50, &Watch::default()).boxed(), silent.boxed())).first_output();
    let winner = contest.run((), &cx).await.unwrap();
    drop((cx, contest));
    match chunks.next().await {
        Some(chunk) => assert_eq!((winner, chunk.data), ("seen", ChunkData::Output("seen".into()))),
        None => assert_eq!(winner, "silent"),
    }
}

#[tokio::test]
async fn race_without_contenders_is_an_error() {
    let error = race(Vec::<Probe>::new()).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn arrays_race_too() {
    assert_eq!(race([Probe::ok(20), Probe::ok(10)]).run(3, &Context::new()).await.unwrap(), 3);
}

#[test]
fn steps_of_steps_may_run_twice_if_all_of_them_may() {
    let may = || value::<usize, usize>(1usize);
    let must_not = || Probe::ok(1);
    assert!(may().then(may()).timeout(ms(1)).boxed().info().idempotent);
    assert!(!may().then(must_not()).info().idempotent);
    assert!(may().then(must_not()).idempotent().named("both").info().idempotent);
    assert!(!race((may(), must_not())).info().idempotent);
    assert!(race(vec![may(), may()]).info().idempotent);
    assert!(!may().fallback(must_not()).info().idempotent);
    assert!(!pipeline("p").stage("a", may()).stage("b", must_not()).info().idempotent);
}

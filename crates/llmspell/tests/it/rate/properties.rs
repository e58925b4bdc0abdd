//! What holds for every rate, whatever the traffic.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{Context, Error, ErrorKind, Rate, Step, Usage, step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use crate::probe::ms;

/// One call of the traffic. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Caller {
    comes: u64,
    takes: u64,
    /// When it is dropped, from when it came; wherever it is then.
    leaves: Option<u64>,
    deadline: Option<u64>,
    expected: u64,
    used: u64,
    /// How long the server wants to be left alone, if it has had enough.
    busy: Option<u64>,
}

#[derive(Clone, Debug)]
struct Traffic {
    per_second: u64,
    tokens_per_second: u64,
    burst: u64,
    callers: Vec<Caller>,
}

/// `exact`: whether calls use what they were expected to.
fn traffic(exact: bool) -> impl Strategy<Value = Traffic> {
    let times =
        (0..3000u64, 0..800u64, prop::option::weighted(0.3, 0..2000u64), prop::option::weighted(0.3, 1..2000u64));
    let caller = (times, 0..200u64, 0..200u64, prop::option::weighted(0.05, 1..1500u64)).prop_map(
        move |((comes, takes, leaves, deadline), expected, used, busy)| {
            let used = if exact { expected } else { used };
            Caller { comes, takes, leaves, deadline, expected, used, busy }
        },
    );
    let callers = prop::collection::vec(caller, 1..60);
    (1..60u64, 50..5000u64, 0..1500u64, callers).prop_map(|(per_second, tokens_per_second, burst, mut callers)| {
        // A line is made by those who come, in that order.
        callers.sort_by_key(|caller| caller.comes);
        Traffic { per_second, tokens_per_second, burst, callers }
    })
}

/// A call that began, and when it ended; in nanoseconds from the start of the traffic.
#[derive(Clone, Copy, Debug)]
struct Ran {
    place: usize,
    began: Duration,
    settled: Duration,
    expected: u64,
    used: u64,
}

#[derive(Default)]
struct Log {
    ran: Vec<Ran>,
    /// Who was refused, and how long after having come.
    refused: Vec<(usize, Duration)>,
    /// How long the server wanted to be left alone, and since when.
    pauses: Vec<(Duration, Duration)>,
    all_done: Duration,
}

impl Traffic {
    fn run(self) -> Log {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(3600), self.course()).await.expect("nobody starves") })
    }

    fn rate(&self) -> Rate {
        Rate::builder()
            .per_second(self.per_second)
            .tokens_per(self.tokens_per_second, ms(1000))
            .burst(ms(self.burst))
            .max_pause(Duration::MAX)
            .build()
    }

    async fn course(self) -> Log {
        let (rate, start) = (self.rate(), Instant::now());
        let log = Arc::new(Mutex::new(Log::default()));
        let seen = log.clone();
        let work = step(move |(place, caller): (usize, Caller), cx: Context| {
            let seen = seen.clone();
            async move {
                let began = start.elapsed();
                // What is not said by a call that is dropped stays what it was expected to be.
                let ran = Ran { place, began, settled: began, expected: caller.expected, used: caller.expected };
                seen.lock().unwrap().ran.push(ran);
                sleep(ms(caller.takes)).await;
                cx.record_usage(Usage::new(caller.used / 3, 0));
                cx.record_usage(Usage::new(0, caller.used - caller.used / 3));
                let mut log = seen.lock().unwrap();
                let ran = log.ran.iter_mut().find(|ran| ran.place == place).unwrap();
                (ran.settled, ran.used) = (start.elapsed(), caller.used);
                let Some(busy) = caller.busy else { return Ok(()) };
                log.pauses.push((start.elapsed(), ms(busy)));
                Err(Error::overloaded("busy").with_retry_after(ms(busy)))
            }
        });
        let work = Arc::new(work.rate(rate.clone()).estimate(|(_, caller)| caller.expected));
        let refused = log.clone();
        let one = step(move |(place, caller): (usize, Caller), cx: Context| {
            let (work, refused) = (work.clone(), refused.clone());
            async move {
                sleep(ms(caller.comes)).await;
                let came = Instant::now();
                let cx = caller.deadline.map_or(cx.clone(), |deadline| cx.with_deadline(came + ms(deadline)));
                let run = work.run((place, caller), &cx);
                let result = match caller.leaves {
                    Some(after) => timeout(ms(after), run).await.unwrap_or(Ok(())),
                    None => run.await,
                };
                if let Err(error) = result
                    && error.kind() == ErrorKind::Rejected
                {
                    refused.lock().unwrap().refused.push((place, came.elapsed()));
                }
                Ok(())
            }
        });
        let all = self.callers.len();
        one.stream(self.callers.into_iter().enumerate(), &Context::new()).limit(all).collect().await;
        assert_eq!(rate.waiting(), 0);
        let mut log = Arc::into_inner(log).map(|log| log.into_inner().unwrap()).unwrap_or_default();
        log.all_done = start.elapsed();
        log
    }
}

/// Every stretch of time that begins and ends with a call.
fn stretches(ran: &[Ran]) -> impl Iterator<Item = &[Ran]> {
    (0..ran.len()).flat_map(move |first| (first..ran.len()).map(move |last| &ran[first..=last]))
}

fn seconds(stretch: &[Ran]) -> f64 {
    (stretch[stretch.len() - 1].began - stretch[0].began).as_secs_f64()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stretch_of_time_sees_more_calls_than_the_burst_and_the_rate(traffic in traffic(true)) {
        let (rate, burst) = (traffic.per_second as f64, traffic.burst as f64 / 1000.0);
        let log = traffic.run();
        for stretch in stretches(&log.ran) {
            let most = (rate * burst).max(1.0) + rate * seconds(stretch);
            prop_assert!(stretch.len() as f64 <= most + 1e-6, "{} calls, not {most}: {stretch:?}", stretch.len());
        }
    }

    #[test]
    fn nor_more_tokens_if_calls_use_what_was_expected(traffic in traffic(true)) {
        let (rate, burst) = (traffic.tokens_per_second as f64, traffic.burst as f64 / 1000.0);
        let biggest = traffic.callers.iter().map(|caller| caller.expected).max().unwrap_or_default() as f64;
        let log = traffic.run();
        for stretch in stretches(&log.ran) {
            let used: u64 = stretch.iter().map(|ran| ran.used).sum();
            let most = (rate * burst).max(1.0).max(biggest) + rate * seconds(stretch);
            prop_assert!(used as f64 <= most + 1e-6, "{used} tokens, not {most}: {stretch:?}");
        }
    }

    /// What was reserved for too much goes back and may go again, and what was reserved for too little is found
    /// out only when it is said.
    #[test]
    fn nor_more_than_the_estimates_were_off_if_they_do_not(traffic in traffic(false)) {
        let (rate, burst) = (traffic.tokens_per_second as f64, traffic.burst as f64 / 1000.0);
        let biggest = traffic.callers.iter().map(|caller| caller.expected).max().unwrap_or_default() as f64;
        let log = traffic.run();
        for stretch in stretches(&log.ran) {
            let (from, to) = (stretch[0].began, stretch[stretch.len() - 1].began);
            let used: u64 = stretch.iter().map(|ran| ran.used).sum();
            let beyond: u64 = stretch.iter().map(|ran| ran.used.saturating_sub(ran.expected)).sum();
            let within = |time: Duration| from <= time && time <= to;
            let back: u64 = log.ran.iter().filter(|ran| within(ran.settled))
                .map(|ran| ran.expected.saturating_sub(ran.used)).sum();
            let most = (rate * burst).max(1.0).max(biggest) + rate * seconds(stretch) + (beyond + back) as f64;
            prop_assert!(used as f64 <= most + 1e-6, "{used} tokens, not {most}: {stretch:?}");
        }
    }

    /// A lost wake-up would leave the line standing: then nothing happens for an hour, and the test fails there.
    #[test]
    fn everybody_who_stays_gets_a_turn_in_order_and_no_later_than_the_rate_takes(traffic in traffic(false)) {
        let callers = traffic.callers.clone();
        let (per_second, tokens_per_second) = (traffic.per_second as f64, traffic.tokens_per_second as f64);
        let log = traffic.run();
        let places: Vec<usize> = log.ran.iter().map(|ran| ran.place).collect();
        prop_assert!(places.is_sorted(), "{places:?}");
        for (place, caller) in callers.iter().enumerate() {
            let has_run = places.contains(&place);
            let was_refused = log.refused.iter().any(|(refused, _)| *refused == place);
            prop_assert!(!(has_run && was_refused));
            prop_assert!(has_run || was_refused || caller.leaves.is_some(), "{place} was forgotten");
            prop_assert!(!was_refused || caller.deadline.is_some(), "{place} had all the time in the world");
        }
        // Were everything to come last and wait for everything else, with each turn a millisecond late.
        let tokens: u64 = callers.iter().map(|caller| caller.expected.max(caller.used)).sum();
        let turns = callers.len() as f64 / per_second + tokens as f64 / tokens_per_second;
        let pauses: f64 = log.pauses.iter().map(|(_, pause)| pause.as_secs_f64()).sum();
        let most = 3.0 + 0.8 + turns + pauses + 0.002 * callers.len() as f64;
        prop_assert!(log.all_done.as_secs_f64() <= most, "{:?}, not {most}", log.all_done);
    }

    #[test]
    fn nobody_begins_in_a_pause_or_is_refused_after_the_deadline(traffic in traffic(false)) {
        let callers = traffic.callers.clone();
        let log = traffic.run();
        for (since, pause) in &log.pauses {
            let early = log.ran.iter().find(|ran| ran.began > *since && ran.began < *since + *pause);
            prop_assert!(early.is_none(), "{early:?} in the pause of {pause:?} from {since:?}");
        }
        for (place, after) in &log.refused {
            let deadline = callers[*place].deadline.map(ms);
            prop_assert!(deadline.is_some_and(|deadline| *after <= deadline + ms(1)));
        }
    }
}

/// The same on threads and a real clock: half of the callers leave at any moment, wherever they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_comes_and_goes_on_two_threads_loses_no_turn() {
    let rate = Rate::builder().per_second(20_000).tokens_per(20_000, ms(1000)).burst(ms(2)).build();
    let work = Arc::new(
        step(|n: u64, cx: Context| async move {
            cx.record_usage(Usage::new(n % 2, 0));
            Ok(n)
        })
        .rate(rate.clone().estimate(1)),
    );
    let one = step(move |n: u64, cx: Context| {
        let work = work.clone();
        async move {
            let run = work.run(n, &cx);
            if n.is_multiple_of(2) { run.await.map(|_| true) } else { Ok(timeout(ms(n % 7), run).await.is_ok()) }
        }
    });
    let all = one.stream(0..4000, &Context::new()).limit(300).try_collect();
    let served = timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever").unwrap();
    assert!(served.iter().filter(|served| **served).count() >= 2000, "all who stayed");
    assert_eq!(rate.waiting(), 0);
}

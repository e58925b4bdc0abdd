//! Properties of every rate, under random traffic.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::observe::Usage;
use llmspell::{Context, Error, ErrorKind, Rate, Step, step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use crate::probe::ms;

/// One call of the traffic. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Caller {
    arrives: u64,
    takes: u64,
    /// The time from its arrival until it is dropped, whether it waits or runs.
    dropped_after: Option<u64>,
    deadline: Option<u64>,
    expected: u64,
    used: u64,
    /// The pause that the server asks for, if it is overloaded.
    busy: Option<u64>,
}

#[derive(Clone, Debug)]
struct Traffic {
    per_second: u64,
    tokens_per_second: u64,
    burst: u64,
    callers: Vec<Caller>,
}

/// `exact`: whether calls use exactly their estimate.
fn traffic(exact: bool) -> impl Strategy<Value = Traffic> {
    let times =
        (0..3000u64, 0..800u64, prop::option::weighted(0.3, 0..2000u64), prop::option::weighted(0.3, 1..2000u64));
    let caller = (times, 0..200u64, 0..200u64, prop::option::weighted(0.05, 1..1500u64)).prop_map(
        move |((arrives, takes, dropped_after, deadline), expected, used, busy)| {
            let used = if exact { expected } else { used };
            Caller { arrives, takes, dropped_after, deadline, expected, used, busy }
        },
    );
    let callers = prop::collection::vec(caller, 1..60);
    (1..60u64, 50..5000u64, 0..1500u64, callers).prop_map(|(per_second, tokens_per_second, burst, mut callers)| {
        // Calls join the queue in the order of their arrival.
        callers.sort_by_key(|caller| caller.arrives);
        Traffic { per_second, tokens_per_second, burst, callers }
    })
}

/// A call that started, and when it ended, from the start of the traffic.
#[derive(Clone, Copy, Debug)]
struct StartedCall {
    index: usize,
    began: Duration,
    settled: Duration,
    expected: u64,
    used: u64,
}

#[derive(Default)]
struct Record {
    started: Vec<StartedCall>,
    /// The rejected calls, and how long after their arrival.
    rejected: Vec<(usize, Duration)>,
    /// The start and the length of each pause that the server asked for.
    pauses: Vec<(Duration, Duration)>,
    all_done: Duration,
}

impl Traffic {
    fn run(self) -> Record {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(3600), self.simulate()).await.expect("no call starves") })
    }

    fn rate(&self) -> Rate {
        Rate::builder()
            .per_second(self.per_second)
            .tokens_per(self.tokens_per_second, ms(1000))
            .burst(ms(self.burst))
            .max_pause(Duration::MAX)
            .build()
    }

    async fn simulate(self) -> Record {
        let (rate, start) = (self.rate(), Instant::now());
        let record = Arc::new(Mutex::new(Record::default()));
        let seen = record.clone();
        let work = step(move |(index, caller): (usize, Caller), cx: Context| {
            let seen = seen.clone();
            async move {
                let began = start.elapsed();
                // A dropped call that reports nothing keeps its estimate.
                let started =
                    StartedCall { index, began, settled: began, expected: caller.expected, used: caller.expected };
                seen.lock().unwrap().started.push(started);
                sleep(ms(caller.takes)).await;
                cx.record_usage(Usage::new(caller.used / 3, 0));
                cx.record_usage(Usage::new(0, caller.used - caller.used / 3));
                let mut record = seen.lock().unwrap();
                let started = record.started.iter_mut().find(|started| started.index == index).unwrap();
                (started.settled, started.used) = (start.elapsed(), caller.used);
                let Some(busy) = caller.busy else { return Ok(()) };
                record.pauses.push((start.elapsed(), ms(busy)));
                Err(Error::overloaded("busy").with_retry_after(ms(busy)))
            }
        });
        let work = Arc::new(work.rate(rate.clone()).estimate(|(_, caller)| caller.expected));
        let rejected = record.clone();
        let one = step(move |(index, caller): (usize, Caller), cx: Context| {
            let (work, rejected) = (work.clone(), rejected.clone());
            async move {
                sleep(ms(caller.arrives)).await;
                let arrived = Instant::now();
                let cx = caller.deadline.map_or(cx.clone(), |deadline| cx.with_deadline(arrived + ms(deadline)));
                let run = work.run((index, caller), &cx);
                let result = match caller.dropped_after {
                    Some(after) => timeout(ms(after), run).await.unwrap_or(Ok(())),
                    None => run.await,
                };
                if let Err(error) = result
                    && error.kind() == ErrorKind::Rejected
                {
                    rejected.lock().unwrap().rejected.push((index, arrived.elapsed()));
                }
                Ok(())
            }
        });
        let all = self.callers.len();
        one.stream(self.callers.into_iter().enumerate(), &Context::new()).limit(all).collect().await;
        assert_eq!(rate.waiting(), 0);
        let mut record = Arc::into_inner(record).map(|record| record.into_inner().unwrap()).unwrap_or_default();
        record.all_done = start.elapsed();
        record
    }
}

/// Returns every interval that begins and ends with a call.
fn intervals(started: &[StartedCall]) -> impl Iterator<Item = &[StartedCall]> {
    (0..started.len()).flat_map(move |first| (first..started.len()).map(move |last| &started[first..=last]))
}

fn seconds(interval: &[StartedCall]) -> f64 {
    (interval[interval.len() - 1].began - interval[0].began).as_secs_f64()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interval_has_more_calls_than_the_burst_and_the_rate(traffic in traffic(true)) {
        let (rate, burst) = (traffic.per_second as f64, traffic.burst as f64 / 1000.0);
        let record = traffic.run();
        for interval in intervals(&record.started) {
            let most = (rate * burst).max(1.0) + rate * seconds(interval);
            prop_assert!(interval.len() as f64 <= most + 1e-6, "{} calls, not {most}: {interval:?}", interval.len());
        }
    }

    #[test]
    fn no_interval_has_more_tokens_if_estimates_are_exact(traffic in traffic(true)) {
        let (rate, burst) = (traffic.tokens_per_second as f64, traffic.burst as f64 / 1000.0);
        let biggest = traffic.callers.iter().map(|caller| caller.expected).max().unwrap_or_default() as f64;
        let record = traffic.run();
        for interval in intervals(&record.started) {
            let used: u64 = interval.iter().map(|started| started.used).sum();
            let most = (rate * burst).max(1.0).max(biggest) + rate * seconds(interval);
            prop_assert!(used as f64 <= most + 1e-6, "{used} tokens, not {most}: {interval:?}");
        }
    }

    /// Excess reservations are refunded and can be used again. Reservations that were too small are known only when the
    /// usage is reported.
    #[test]
    fn no_interval_has_more_tokens_than_the_estimates_were_off(traffic in traffic(false)) {
        let (rate, burst) = (traffic.tokens_per_second as f64, traffic.burst as f64 / 1000.0);
        let biggest = traffic.callers.iter().map(|caller| caller.expected).max().unwrap_or_default() as f64;
        let record = traffic.run();
        for interval in intervals(&record.started) {
            let (from, to) = (interval[0].began, interval[interval.len() - 1].began);
            let used: u64 = interval.iter().map(|started| started.used).sum();
            let beyond: u64 = interval.iter().map(|started| started.used.saturating_sub(started.expected)).sum();
            let within = |time: Duration| from <= time && time <= to;
            let back: u64 = record.started.iter().filter(|started| within(started.settled))
                .map(|started| started.expected.saturating_sub(started.used)).sum();
            let most = (rate * burst).max(1.0).max(biggest) + rate * seconds(interval) + (beyond + back) as f64;
            prop_assert!(used as f64 <= most + 1e-6, "{used} tokens, not {most}: {interval:?}");
        }
    }

    /// A lost wake-up would block the queue: then nothing happens for an hour, and the test fails.
    #[test]
    fn every_waiting_call_is_admitted_in_order_and_in_time(traffic in traffic(false)) {
        let callers = traffic.callers.clone();
        let (per_second, tokens_per_second) = (traffic.per_second as f64, traffic.tokens_per_second as f64);
        let record = traffic.run();
        let places: Vec<usize> = record.started.iter().map(|started| started.index).collect();
        prop_assert!(places.is_sorted(), "{places:?}");
        for (index, caller) in callers.iter().enumerate() {
            let has_run = places.contains(&index);
            let was_refused = record.rejected.iter().any(|(rejected, _)| *rejected == index);
            prop_assert!(!(has_run && was_refused));
            prop_assert!(has_run || was_refused || caller.dropped_after.is_some(), "{index} was lost");
            prop_assert!(!was_refused || caller.deadline.is_some(), "{index} had no deadline");
        }
        // The time if the last call had to wait for all others, each a millisecond late.
        let tokens: u64 = callers.iter().map(|caller| caller.expected.max(caller.used)).sum();
        let turns = callers.len() as f64 / per_second + tokens as f64 / tokens_per_second;
        let pauses: f64 = record.pauses.iter().map(|(_, pause)| pause.as_secs_f64()).sum();
        let most = 3.0 + 0.8 + turns + pauses + 0.002 * callers.len() as f64;
        prop_assert!(record.all_done.as_secs_f64() <= most, "{:?}, not {most}", record.all_done);
    }

    #[test]
    fn no_call_starts_in_a_pause_or_is_rejected_after_its_deadline(traffic in traffic(false)) {
        let callers = traffic.callers.clone();
        let record = traffic.run();
        for (since, pause) in &record.pauses {
            let early = record.started.iter().find(|started| started.began > *since && started.began < *since + *pause);
            prop_assert!(early.is_none(), "{early:?} in the pause of {pause:?} from {since:?}");
        }
        for (index, after) in &record.rejected {
            let deadline = callers[*index].deadline.map(ms);
            prop_assert!(deadline.is_some_and(|deadline| *after <= deadline + ms(1)));
        }
    }
}

/// On threads and a real clock: half of the callers are dropped at any moment, whether they wait or run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_calls_on_two_threads_lose_no_admission() {
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
    let served = timeout(Duration::from_secs(60), all).await.expect("no call waits for ever").unwrap();
    assert!(served.iter().filter(|served| **served).count() >= 2000, "every call that was not dropped");
    assert_eq!(rate.waiting(), 0);
}

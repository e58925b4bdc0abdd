//! The effect of second copies on the tail of long-tailed calls, and their cost.
//!
//! `cargo bench -p llmspell --bench hedge` prints the tables of `benches/README.md`, and fails if an
//! expectation does not hold. Clock and randomness are simulated, so the figures are always the same.

use std::f64::consts::TAU;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use llmspell::pattern::stream::Stragglers;
use llmspell::{Context, Hedge, Limit, Step, step};
use tokio::time::{Instant, sleep};

/// The number of calls of each row. Each of the callers makes one call after another.
const CALLS: usize = 40_000;
const CALLERS: usize = 16;

/// One copy of a call: the time to its output, and the time after it, in milliseconds.
#[derive(Clone, Copy)]
struct Copy {
    first: f64,
    rest: f64,
}

fn whole(first: f64) -> Copy {
    Copy { first, rest: 0.0 }
}

/// A service, as its callers see it.
struct Service {
    name: &'static str,
    /// Returns a copy of the call at this position in the run, from 0 to 1.
    copy: fn(&mut Rng, f64) -> Copy,
    /// The calls that the service can handle concurrently.
    capacity: Limit,
    hedge: Hedge,
    hedge_name: &'static str,
    /// The first position that is measured.
    from: f64,
    expected: Expectation,
}

enum Expectation {
    /// The p99 is at most this fraction of the p99 without a hedge.
    Tail(f64),
    /// No percentile is more than this many times the one without a hedge.
    Harmless(f64),
    /// The p50 is not more than this many times the one without a hedge.
    Median(f64),
}

/// The defaults of `Hedge`: the largest share of hedged calls, and the unused copies carried over from quiet
/// times.
const SHARE: f64 = 0.1;
const CARRIED_OVER: f64 = 10.0;

fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.f64()
}

/// Log-normal, after Box and Muller (1958).
fn log_normal(rng: &mut Rng, median: f64, sigma: f64) -> f64 {
    let (radius, angle) = ((-2.0 * (1.0 - rng.f64()).ln()).sqrt(), TAU * rng.f64());
    median * (sigma * radius * angle.cos()).exp()
}

fn services() -> Vec<Service> {
    let service = |name, copy, expected| Service {
        name,
        copy,
        capacity: Limit::unlimited(),
        hedge: Hedge::at_percentile(95.0),
        hedge_name: "p95",
        from: 0.0,
        expected,
    };
    let replica = |rng: &mut Rng, _| {
        let slow = rng.u32(0..20) == 0;
        whole(if slow { between(rng, 900.0, 1100.0) } else { between(rng, 40.0, 60.0) })
    };
    let slower = |rng: &mut Rng, place: f64| {
        let time = between(rng, 40.0, 60.0);
        whole(if place < 0.5 { time } else { 10.0 * time })
    };
    let hangs = |rng: &mut Rng, _| {
        let hangs = rng.u32(0..50) == 0;
        whole(if hangs { 10_000.0 } else { log_normal(rng, 300.0, 0.3) })
    };
    let talks = |rng: &mut Rng, _| {
        let stalls = rng.u32(0..30) == 0;
        let first = if stalls { 8000.0 } else { log_normal(rng, 400.0, 0.3) };
        Copy { first, rest: between(rng, 1000.0, 15_000.0) }
    };
    vec![
        service("one slow replica in 20", replica, Expectation::Tail(0.4)),
        Service {
            hedge: Hedge::after(Duration::from_millis(120)),
            hedge_name: "120 ms",
            ..service("one slow replica in 20", replica, Expectation::Tail(0.4))
        },
        service("one call in 50 hangs for 10 s", hangs, Expectation::Tail(0.4)),
        service("log-normal, σ = 1.0", |rng, _| whole(log_normal(rng, 50.0, 1.0)), Expectation::Harmless(1.0)),
        service("log-normal, σ = 1.5", |rng, _| whole(log_normal(rng, 50.0, 1.5)), Expectation::Tail(0.5)),
        Service {
            hedge: Hedge::at_percentile(92.0),
            hedge_name: "p92",
            ..service("log-normal, σ = 1.5", |rng, _| whole(log_normal(rng, 50.0, 1.5)), Expectation::Tail(0.4))
        },
        Service {
            hedge: Hedge::at_percentile(95.0).first_output(),
            hedge_name: "p95 of first output",
            ..service(
                "a model: 1 in 30 stalls, answers take 1 to 15 s; time to first output",
                talks,
                Expectation::Tail(0.4),
            )
        },
        Service { from: 0.5, ..service("everything turns slow", slower, Expectation::Harmless(1.0)) },
        Service {
            hedge: Hedge::after(Duration::from_millis(120)),
            hedge_name: "120 ms",
            from: 0.5,
            ..service("everything turns slow", slower, Expectation::Harmless(1.0))
        },
        Service {
            from: 0.5,
            capacity: Limit::new(CALLERS),
            ..service(
                "everything turns slow, and there is no room for more",
                slower,
                Expectation::Harmless(1.0 + SHARE),
            )
        },
        Service {
            hedge: Hedge::after(Duration::from_millis(120)),
            hedge_name: "120 ms",
            from: 0.5,
            capacity: Limit::new(CALLERS),
            ..service("everything turns slow, and there is no room for more", slower, Expectation::Median(1.0 + SHARE))
        },
    ]
}

/// Returns the sorted times of the measured calls, and the number of second copies.
async fn measure(service: &Service, hedge: Hedge) -> (Vec<Duration>, u32) {
    let mut rng = Rng::with_seed(1);
    let place = |call: usize| call as f64 / CALLS as f64;
    // The first copies are the same with and without a hedge.
    let copies: Vec<[Copy; 2]> =
        (0..CALLS).map(|call| std::array::from_fn(|_| (service.copy)(&mut rng, place(call)))).collect();
    let started_copies: Arc<Vec<AtomicU32>> = Arc::new((0..CALLS).map(|_| AtomicU32::new(0)).collect());
    let counts = started_copies.clone();
    let work = step(move |call: usize, cx: Context| {
        let copy = counts[call].fetch_add(1, Ordering::Relaxed);
        let Copy { first, rest } = copies[call][copy as usize];
        async move {
            sleep(Duration::from_secs_f64(first / 1e3)).await;
            cx.emit("output").await?;
            let shown = Instant::now();
            sleep(Duration::from_secs_f64(rest / 1e3)).await;
            Ok(shown)
        }
    });
    let hedged = Arc::new(work.limit(service.capacity.clone()).idempotent().hedge(hedge));
    let timed = step(move |call: usize, cx: Context| {
        let (hedged, started) = (hedged.clone(), Instant::now());
        async move { Ok((call, hedged.run(call, &cx).await? - started)) }
    });
    let times = timed.stream(0..CALLS, &Context::new()).limit(CALLERS).try_collect().await.expect("nothing fails");
    let mut times: Vec<Duration> =
        times.into_iter().filter(|(call, _)| place(*call) >= service.from).map(|(_, time)| time).collect();
    times.sort_unstable();
    let measured = started_copies.iter().enumerate().filter(|(call, _)| place(*call) >= service.from);
    let twice = measured.map(|(_, copies)| copies.load(Ordering::Relaxed) - 1).sum();
    (times, twice)
}

fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    sorted[((sorted.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1]
}

/// Prints a row for each service. Returns whether all expectations hold.
async fn hedges() -> bool {
    println!("\n### hedge\n\nMilliseconds without → with a hedge, over {CALLS} calls from {CALLERS} callers.\n");
    println!("| service | hedge | p50 | p99 | p99.9 | p99 cut by | calls made twice |");
    println!("|---|---|---|---|---|---|---|");
    let mut holds = true;
    for service in services() {
        let (plain, _) = measure(&service, Hedge::never()).await;
        let (hedged, twice) = measure(&service, service.hedge.clone()).await;
        let extra = f64::from(twice) / hedged.len() as f64;
        let ratio = |percent| percentile(&hedged, percent).as_secs_f64() / percentile(&plain, percent).as_secs_f64();
        let cell = |percent| {
            format!("{} → {}", percentile(&plain, percent).as_millis(), percentile(&hedged, percent).as_millis())
        };
        let as_expected = f64::from(twice) <= SHARE * hedged.len() as f64 + CARRIED_OVER
            && match service.expected {
                Expectation::Tail(part) => ratio(99.0) <= part,
                Expectation::Median(times) => ratio(50.0) <= times,
                Expectation::Harmless(times) => [50.0, 99.0, 99.9].into_iter().all(|percent| ratio(percent) <= times),
            };
        println!(
            "| {} | {} | {} | {} | {} | {:.0} % | {:.1} %{} |",
            service.name,
            service.hedge_name,
            cell(50.0),
            cell(99.0),
            cell(99.9),
            // Adding zero turns a negative zero into zero.
            ((1.0 - ratio(99.0)) * 100.0).round() + 0.0,
            extra * 100.0,
            if as_expected { "" } else { " **does not hold**" }
        );
        holds &= as_expected;
    }
    holds
}

/// Returns the sorted times of the batches, and the number of copies of all of them.
async fn batches(stragglers: Option<Stragglers>) -> (Vec<Duration>, u32) {
    let (mut times, mut started_copies) = (Vec::new(), 0);
    for batch in 0..BATCHES {
        let mut rng = Rng::with_seed(batch);
        let copies: Vec<[f64; 2]> = (0..ITEMS)
            .map(|_| {
                std::array::from_fn(|_| if rng.u32(0..200) == 0 { 5000.0 } else { between(&mut rng, 80.0, 120.0) })
            })
            .collect();
        let counts: Arc<Vec<AtomicU32>> = Arc::new((0..ITEMS).map(|_| AtomicU32::new(0)).collect());
        let seen = counts.clone();
        let work = step(move |item: usize, _| {
            let copy = seen[item].fetch_add(1, Ordering::Relaxed);
            let time = copies[item][copy as usize];
            async move {
                sleep(Duration::from_secs_f64(time / 1e3)).await;
                Ok(())
            }
        });
        let started = Instant::now();
        let stream = work.idempotent().stream(0..ITEMS, &Context::new()).limit(32);
        match stragglers {
            Some(policy) => stream.stragglers(policy).try_collect().await.expect("nothing fails"),
            None => stream.try_collect().await.expect("nothing fails"),
        };
        times.push(started.elapsed());
        started_copies += counts.iter().map(|copies| copies.load(Ordering::Relaxed)).sum::<u32>();
    }
    times.sort_unstable();
    (times, started_copies)
}

const BATCHES: u64 = 100;
const ITEMS: usize = 1000;

async fn stragglers() -> bool {
    println!(
        "\n### stragglers\n\nSeconds of {BATCHES} batches of {ITEMS} items, 32 at once, each 80 to 120 ms but one in 200 takes 5 s.\n"
    );
    println!("| second copies | p50 | p95 | items run twice |");
    println!("|---|---|---|---|");
    let (plain, _) = batches(None).await;
    let mut holds = true;
    for (name, policy) in
        [("none", None), ("of the last 4", Some(Stragglers::last(4))), ("of the last 16", Some(Stragglers::last(16)))]
    {
        let (times, copies) = batches(policy).await;
        let extra = f64::from(copies) / (BATCHES as f64 * ITEMS as f64) - 1.0;
        let median = |times: &[Duration]| percentile(times, 50.0).as_secs_f64();
        let as_expected = policy.is_none() || (median(&times) <= 0.6 * median(&plain) && extra <= 0.02);
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} %{} |",
            median(&times),
            percentile(&times, 95.0).as_secs_f64(),
            extra * 100.0,
            if as_expected { "" } else { " **does not hold**" }
        );
        holds &= as_expected;
    }
    holds
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if words.peek().is_some() && !words.any(|word| word == "hedge") {
        // `cargo bench -- stream` selects other benches.
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let holds = runtime.expect("a runtime").block_on(async { hedges().await & stragglers().await });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

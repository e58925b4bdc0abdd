//! A half-open breaker under many interleavings of threads.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use tokio::time::Instant;

use super::SharedCircuit;
use crate::control::breaker::circuit::{Phase, Rules, Verdict};
use crate::error::Error;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A switch whose open time is over as soon as it begins, and how many probes are on their way.
#[derive(Clone)]
struct Watched {
    switch: Arc<SharedCircuit>,
    now: Instant,
    inside: Arc<AtomicUsize>,
}

const PROBES: u32 = 2;

impl Watched {
    fn new() -> Self {
        let rules = Rules {
            open_at: 1.0,
            window: Duration::from_secs(1),
            min_calls: 1,
            in_a_row: Some(1),
            open_for: Some(Duration::ZERO),
            max_open: Duration::ZERO,
            probes: PROBES,
            jitter: false,
        };
        let it = Watched { switch: Arc::new(SharedCircuit::new(rules)), now: Instant::now(), inside: Arc::default() };
        it.trip();
        it
    }

    fn trip(&self) {
        self.switch.hear(Verdict::Failure(&Error::failed("x")), || self.now);
        assert_eq!(self.switch.phase(), Phase::Open);
    }

    /// Makes a call, if it is let in, that ends as it is told to.
    fn call(&self, verdict: Verdict<'_>) {
        let ticket = match self.switch.pass() {
            Some(ticket) => ticket,
            None => match self.switch.admit(|| self.now) {
                Ok((ticket, _)) => ticket,
                Err(_) => return,
            },
        };
        if ticket.is_probe() {
            assert!(self.inside.fetch_add(1, Ordering::SeqCst) < PROBES as usize, "too many probes");
            thread::yield_now();
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
        self.switch.settle(ticket, verdict, || self.now);
    }

    /// As many places as ever are free.
    fn check(&self) {
        if self.switch.phase() == Phase::Closed {
            self.trip();
        }
        let tickets: Vec<_> = (0..PROBES).map(|_| self.switch.admit(|| self.now).expect("a free place").0).collect();
        assert!(self.switch.admit(|| self.now).is_err());
        for ticket in tickets {
            self.switch.settle(ticket, Verdict::Success, || self.now);
        }
        assert_eq!(self.switch.phase(), Phase::Closed);
    }
}

/// Each on a thread of its own; then everything must be as it was.
fn together<const N: usize>(work: [fn(Watched); N]) {
    let it = Watched::new();
    let threads = work.map(|work| {
        let it = it.clone();
        thread::spawn(move || work(it))
    });
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    it.check();
}

fn fails(it: Watched) {
    let error = Error::failed("x");
    it.call(Verdict::Failure(&error));
    it.call(Verdict::Failure(&error));
}

fn succeeds(it: Watched) {
    it.call(Verdict::Success);
    it.call(Verdict::Success);
}

fn is_dropped(it: Watched) {
    it.call(Verdict::Neither);
    it.call(Verdict::Neither);
}

fn resets(it: Watched) {
    it.switch.reset();
}

#[test]
fn never_more_probes_than_allowed_and_no_place_is_lost() {
    explore(|| together([fails, fails, is_dropped, is_dropped]));
}

#[test]
fn closing_and_opening_again_lets_nobody_slip_through() {
    explore(|| together([fails, succeeds, succeeds, is_dropped]));
}

#[test]
fn a_reset_in_the_middle_loses_no_place() {
    explore(|| together([resets, fails, succeeds, is_dropped]));
}

//! A half-open breaker under many interleavings of threads.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use tokio::time::Instant;

use super::SharedCircuit;
use crate::control::breaker::circuit::{CallVerdict, Phase};
use crate::control::breaker::settings::BreakerSettings;
use crate::error::Error;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A circuit whose open time is zero, and the number of running probes.
#[derive(Clone)]
struct TestCircuit {
    circuit: Arc<SharedCircuit>,
    now: Instant,
    probing: Arc<AtomicUsize>,
}

const PROBES: u32 = 2;

impl TestCircuit {
    fn new() -> Self {
        let settings = BreakerSettings {
            failure_rate: 1.0,
            window: Duration::from_secs(1),
            min_calls: 1,
            consecutive_failures: Some(1),
            open_for: Some(Duration::ZERO),
            max_open: Duration::ZERO,
            probes: PROBES,
            jitter: false,
        };
        let breaker = TestCircuit {
            circuit: Arc::new(SharedCircuit::new(settings)),
            now: Instant::now(),
            probing: Arc::default(),
        };
        breaker.trip();
        breaker
    }

    fn trip(&self) {
        self.circuit.record_outcome(CallVerdict::Failure(&Error::failed("x")), || self.now);
        assert_eq!(self.circuit.phase(), Phase::Open);
    }

    /// Makes a call with this outcome, if it is admitted.
    fn call(&self, verdict: CallVerdict<'_>) {
        let permit = match self.circuit.admit_if_closed() {
            Some(permit) => permit,
            None => match self.circuit.admit(|| self.now) {
                Ok((permit, _)) => permit,
                Err(_) => return,
            },
        };
        if permit.is_probe() {
            assert!(self.probing.fetch_add(1, Ordering::SeqCst) < PROBES as usize, "too many probes");
            thread::yield_now();
            self.probing.fetch_sub(1, Ordering::SeqCst);
        }
        self.circuit.settle(permit, verdict, || self.now);
    }

    /// Checks that as many probes as ever are admitted.
    fn check(&self) {
        if self.circuit.phase() == Phase::Closed {
            self.trip();
        }
        let tickets: Vec<_> =
            (0..PROBES).map(|_| self.circuit.admit(|| self.now).expect("a probe is admitted").0).collect();
        assert!(self.circuit.admit(|| self.now).is_err());
        for permit in tickets {
            self.circuit.settle(permit, CallVerdict::Success, || self.now);
        }
        assert_eq!(self.circuit.phase(), Phase::Closed);
    }
}

/// Runs each function on its own thread, and then checks the circuit.
fn run_threads<const N: usize>(work: [fn(TestCircuit); N]) {
    let breaker = TestCircuit::new();
    let threads = work.map(|work| {
        let breaker = breaker.clone();
        thread::spawn(move || work(breaker))
    });
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    breaker.check();
}

fn fail_twice(breaker: TestCircuit) {
    let error = Error::failed("x");
    breaker.call(CallVerdict::Failure(&error));
    breaker.call(CallVerdict::Failure(&error));
}

fn succeed_twice(breaker: TestCircuit) {
    breaker.call(CallVerdict::Success);
    breaker.call(CallVerdict::Success);
}

fn drop_twice(breaker: TestCircuit) {
    breaker.call(CallVerdict::Neither);
    breaker.call(CallVerdict::Neither);
}

fn reset(breaker: TestCircuit) {
    breaker.circuit.reset();
}

#[test]
fn probes_never_exceed_their_number_and_none_is_lost() {
    explore(|| run_threads([fail_twice, fail_twice, drop_twice, drop_twice]));
}

#[test]
fn closing_and_opening_again_admits_no_extra_probe() {
    explore(|| run_threads([fail_twice, succeed_twice, succeed_twice, drop_twice]));
}

#[test]
fn a_reset_between_probes_loses_none() {
    explore(|| run_threads([reset, fail_twice, succeed_twice, drop_twice]));
}

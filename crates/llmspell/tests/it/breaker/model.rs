//! A breaker against the simplest model of it, which keeps every call and counts anew each time.

use std::pin::Pin;
use std::task::{Context as Task, Poll, Waker};

use llmspell::{Breaker, Context, Error, ErrorKind, Result, Step, step};
use proptest::prelude::*;
use tokio::sync::oneshot;

use crate::probe::ms;

#[derive(Clone, Debug)]
enum Op {
    /// A call begins.
    Begin,
    /// One of the running calls ends; the index is taken modulo their number.
    End(usize, End),
    /// Time passes, in milliseconds.
    Pass(u64),
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Succeed,
    Fail,
    Ignore,
    Drop,
}

#[derive(Clone, Debug)]
struct Case {
    share: f64,
    min_calls: u64,
    consecutive_failures: Option<u64>,
    probes: u32,
    counting_dropped: bool,
    ops: Vec<Op>,
}

const WINDOW: u64 = 100;
const BUCKET: u64 = 10;
const OPEN: u64 = 50;
const MAX_OPEN: u64 = 180;

fn cases() -> impl Strategy<Value = Case> {
    let end = prop_oneof![3 => Just(End::Succeed), 5 => Just(End::Fail), 1 => Just(End::Ignore), 2 => Just(End::Drop)];
    let op = prop_oneof![
        12 => Just(Op::Begin),
        10 => (any::<usize>(), end).prop_map(|(index, end)| Op::End(index, end)),
        5 => (0..15u64).prop_map(Op::Pass),
        2 => (0..250u64).prop_map(Op::Pass),
        1 => prop::bool::weighted(0.1).prop_map(|reset| if reset { Op::Reset } else { Op::Begin }),
    ];
    let shares = prop_oneof![Just(0.1), Just(0.5), Just(0.55), Just(1.0)];
    let settings = (shares, 1..6u64, prop::option::of(1..4u64), 1..4u32, any::<bool>());
    (settings, prop::collection::vec(op, 0..200)).prop_map(|(settings, ops)| {
        let (share, min_calls, consecutive_failures, probes, counting_dropped) = settings;
        Case { share, min_calls, consecutive_failures, probes, counting_dropped, ops }
    })
}

/// The expected state of the breaker.
struct Model {
    case: Case,
    now: u64,
    state: State,
    /// Changes of state so far.
    era: u64,
    /// The ends of calls that count, and whether they failed.
    log: Vec<(u64, bool)>,
    failed_probes: u32,
    /// Running calls: the era in which they were admitted, and whether as probes.
    calls: Vec<(u64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open { until: u64 },
    HalfOpen { successes: u32 },
}

impl Model {
    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    /// Starts a call, or returns how long a rejected caller must wait.
    fn begin(&mut self) -> Result<(), u64> {
        if let State::Open { until } = self.state {
            if self.now < until {
                return Err(until - self.now);
            }
            self.enter(State::HalfOpen { successes: 0 });
        }
        let probe = self.state != State::Closed;
        let probing = self.calls.iter().filter(|(_, probe)| *probe).count();
        if probe && probing >= self.case.probes as usize {
            return Err((OPEN << self.failed_probes).min(MAX_OPEN));
        }
        self.calls.push((self.era, probe));
        Ok(())
    }

    fn end(&mut self, index: usize, end: End) {
        let (era, _) = self.calls.remove(index);
        let failed = match end {
            End::Succeed => false,
            End::Fail => true,
            End::Drop if self.case.counting_dropped => true,
            End::Ignore | End::Drop => return,
        };
        if era != self.era {
            return;
        }
        match self.state {
            State::Closed => {
                self.log.push((self.now, failed));
                if failed && self.is_too_much() {
                    self.open();
                }
            }
            State::HalfOpen { .. } if failed => {
                self.failed_probes += 1;
                self.open();
            }
            State::HalfOpen { successes } if successes + 1 == self.case.probes => self.close(),
            State::HalfOpen { successes } => self.state = State::HalfOpen { successes: successes + 1 },
            State::Open { .. } => unreachable!("no call is admitted"),
        }
    }

    fn is_too_much(&self) -> bool {
        let origin = self.log[0].0;
        let bucket = |at: u64| (at - origin) / BUCKET;
        let recent = || self.log.iter().filter(|(at, _)| bucket(*at) + WINDOW / BUCKET > bucket(self.now));
        let (calls, failures) = (recent().count(), recent().filter(|(_, failed)| *failed).count());
        let consecutive = self.log.iter().rev().take_while(|(_, failed)| *failed).count() as u64;
        let share =
            calls as u64 >= self.case.min_calls && 100 * failures >= (100.0 * self.case.share).round() as usize * calls;
        share || self.case.consecutive_failures.is_some_and(|most| consecutive >= most)
    }

    fn open(&mut self) {
        let open = (OPEN << self.failed_probes.min(10)).min(MAX_OPEN);
        self.enter(State::Open { until: self.now + open });
    }

    fn close(&mut self) {
        self.log.clear();
        self.failed_probes = 0;
        self.enter(State::Closed);
    }
}

type CallResult = Result<(), Error>;
type RunningCall<'a> = (Pin<Box<dyn Future<Output = CallResult> + Send + 'a>>, oneshot::Sender<CallResult>);

fn poll<F: Future + ?Sized>(work: &mut Pin<Box<F>>) -> Poll<F::Output> {
    work.as_mut().poll(&mut Task::from_waker(Waker::noop()))
}

async fn compare(case: Case) {
    let settings = Breaker::builder()
        .failure_rate(case.share)
        .min_calls(case.min_calls)
        .window(ms(WINDOW))
        .open_for(ms(OPEN))
        .max_open(ms(MAX_OPEN))
        .probes(case.probes)
        .without_jitter();
    let settings = match case.consecutive_failures {
        Some(failures) => settings.consecutive_failures(failures),
        None => settings,
    };
    let settings = if case.counting_dropped { settings.counting_dropped() } else { settings };
    let breaker = settings.build();
    let waits = step(|result: oneshot::Receiver<CallResult>, _| async move { result.await? });
    let (guarded, cx) = (waits.breaker(breaker.clone()), Context::new());
    let mut calls: Vec<RunningCall<'_>> = Vec::new();
    let ops = case.ops.clone();
    let mut model =
        Model { case, now: 0, state: State::Closed, era: 0, log: Vec::new(), failed_probes: 0, calls: Vec::new() };

    for (number, op) in ops.into_iter().enumerate() {
        match &op {
            Op::Begin => {
                let (sender, receiver) = oneshot::channel();
                let mut call: Pin<Box<dyn Future<Output = CallResult> + Send>> = Box::pin(guarded.run(receiver, &cx));
                match (poll(&mut call), model.begin()) {
                    (Poll::Pending, Ok(())) => calls.push((call, sender)),
                    (Poll::Ready(Err(error)), Err(wait)) => {
                        assert_eq!(
                            (error.kind(), error.retry_after()),
                            (ErrorKind::Rejected, Some(ms(wait))),
                            "{number}"
                        );
                    }
                    (is, should) => panic!("{number}: {is:?}, but {should:?}"),
                }
            }
            Op::End(index, end) if !calls.is_empty() => {
                let index = index % calls.len();
                model.end(index, *end);
                let (mut call, sender) = calls.remove(index);
                let result = match end {
                    End::Succeed => Ok(()),
                    End::Fail => Err(Error::overloaded("503")),
                    End::Ignore => Err(Error::invalid("400")),
                    End::Drop => continue,
                };
                sender.send(result).unwrap();
                assert!(poll(&mut call).is_ready());
            }
            Op::End(..) => {}
            Op::Pass(time) => {
                tokio::time::advance(ms(*time)).await;
                model.now += time;
            }
            Op::Reset => {
                breaker.reset(&Context::new());
                model.close();
            }
        }
        assert_eq!(breaker.is_closed(), model.state == State::Closed, "{number}: {op:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_the_model(case in cases()) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap().block_on(compare(case));
    }
}

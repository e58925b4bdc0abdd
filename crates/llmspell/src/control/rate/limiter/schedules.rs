//! The line before a rate under many interleavings of threads, while time stands still: all there is, is what others
//! give back. A wake-up that is lost shows as a deadlock, which the scheduler reports with the schedule that leads to it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use super::super::config::{Config, Quota};
use super::{Admission, Admit, PollResult, RateLimiter, Waker};
use crate::error::Result;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 2000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A rate with one turn in a century, and how many have one.
#[derive(Clone)]
struct Watched {
    door: Arc<RateLimiter>,
    inside: Arc<AtomicUsize>,
}

const CENTURY: Duration = Duration::from_secs(3_000_000_000);

impl Watched {
    fn new(longest_pause: Duration) -> Self {
        let requests = Some(Quota::new(1, CENTURY));
        let config = Config { requests, tokens: None, burst: Some(Duration::ZERO), longest_pause };
        Watched { door: Arc::new(RateLimiter::new(&config)), inside: Arc::default() }
    }

    fn turn(&self) -> Result<Admission> {
        let mut place = match self.door.try_enter(0, None)? {
            Admit::Admitted(admission) => return Ok(admission),
            Admit::InLine(place) => place,
        };
        block_on(poll_fn(|task| match place.poll_look(task.waker()) {
            PollResult::Answer(answer) => Poll::Ready(answer),
            PollResult::Called | PollResult::Again(_) => Poll::Pending,
        }))
    }

    /// Waits, and gives its turn back.
    fn work(&self) {
        let Ok(admission) = self.turn() else { return };
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "there is one turn");
        self.inside.fetch_sub(1, Ordering::SeqCst);
        self.door.give_turn(0, admission.pauses);
    }

    /// Asks, looks once, and goes away with whatever it has.
    fn give_up(&self) {
        match self.door.try_enter(0, None) {
            Ok(Admit::Admitted(admission)) => self.door.give_turn(0, admission.pauses),
            Ok(Admit::InLine(mut place)) => {
                if let PollResult::Answer(Ok(admission)) = place.poll_look(Waker::noop()) {
                    self.door.give_turn(0, admission.pauses);
                }
                thread::yield_now();
            }
            Err(_) => {}
        }
    }
}

type Thread = Box<dyn FnOnce() + Send>;

fn together(threads: impl IntoIterator<Item = Thread>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

fn threads(it: &Watched, count: usize, run: fn(&Watched)) -> impl Iterator<Item = Thread> {
    (0..count).map(move |_| it.clone()).map(move |it| Box::new(move || run(&it)) as Thread)
}

#[test]
fn everybody_gets_a_turn_and_whoever_goes_away_holds_up_nobody() {
    explore(|| {
        let it = Watched::new(CENTURY * 10);
        together(threads(&it, 3, Watched::work).chain(threads(&it, 2, Watched::give_up)));
        assert_eq!(it.door.waiting(), 0);
        assert!(matches!(it.door.try_enter(0, None), Ok(Admit::Admitted(_))), "the turn is there again");
    });
}

#[test]
fn a_pause_that_nobody_sits_out_leaves_nobody_behind() {
    explore(|| {
        let it = Watched::new(Duration::ZERO);
        let pause: Thread = {
            let it = it.clone();
            Box::new(move || assert!(it.door.pause(CENTURY, 0)))
        };
        together(threads(&it, 3, Watched::work).chain(threads(&it, 1, Watched::give_up)).chain([pause]));
        assert_eq!(it.door.waiting(), 0);
        assert!(it.door.try_enter(0, None).is_err());
    });
}

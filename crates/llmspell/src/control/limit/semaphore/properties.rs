//! Whatever is done to a semaphore, in whatever order, it does what a model of it does that a glance can check.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::{Acquire, Load, Permit, Semaphore};

#[derive(Clone, Debug)]
enum Act {
    TryAcquire,
    /// Somebody new asks, and waits if there is no room.
    Ask,
    /// One who waits or was called looks again, from another task or the same.
    Look(usize, bool),
    /// One who waits or was called goes away.
    GoAway(usize),
    Release(usize),
    /// As a call that leaves something for the next one.
    GiveBack(usize),
    Stray(usize),
    EndStray,
    Resize(usize),
    Overdraft(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::TryAcquire),
        6 => Just(Act::Ask),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(who, moved)| Act::Look(who, moved)),
        3 => any::<usize>().prop_map(Act::GoAway),
        3 => any::<usize>().prop_map(Act::Release),
        3 => any::<usize>().prop_map(Act::GiveBack),
        2 => any::<usize>().prop_map(Act::Stray),
        2 => Just(Act::EndStray),
        2 => (0..6usize).prop_map(Act::Resize),
        1 => (0..4usize).prop_map(Act::Overdraft),
    ]
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What ought to be: who waits, who was called and has not looked, and three counters.
#[derive(Default)]
struct Model {
    capacity: usize,
    overdraft: usize,
    held: usize,
    strays: usize,
    waiting: VecDeque<u32>,
    called: Vec<u32>,
}

impl Model {
    fn in_use(&self) -> usize {
        self.held + self.strays + self.called.len()
    }

    fn room(&self) -> usize {
        (self.capacity + self.strays.min(self.overdraft)).saturating_sub(self.in_use())
    }

    fn call(&mut self) {
        while self.room() > 0
            && let Some(next) = self.waiting.pop_front()
        {
            self.called.push(next);
        }
    }

    fn load(&self) -> Load {
        Load {
            capacity: self.capacity,
            available: self.room(),
            in_use: self.in_use(),
            waiting: self.waiting.len(),
            strays: self.strays,
        }
    }
}

/// One who has asked and has no permit in hand.
struct Asking<'a> {
    who: u32,
    acquire: Acquire<'a, u32>,
    bell: Arc<Bell>,
}

struct World<'a> {
    semaphore: &'a Semaphore<u32>,
    model: Model,
    asking: Vec<Asking<'a>>,
    held: Vec<Permit<'a, u32>>,
    /// How many have asked so far; spares are numbered alike.
    asked: u32,
    /// The spares that the semaphore ought to have.
    spares: Vec<u32>,
}

impl<'a> World<'a> {
    fn took(&mut self, (permit, spare): (Permit<'a, u32>, Option<u32>)) {
        assert_eq!(spare, self.spares.pop());
        self.held.push(permit);
        self.model.held += 1;
    }

    /// Lets one who asks look; whether there is a permit must be known beforehand.
    fn look(&mut self, place: usize) {
        let Asking { who, mut acquire, bell } = self.asking.swap_remove(place);
        let waker = Waker::from(bell.clone());
        match pin!(&mut acquire).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                assert!(self.model.waiting.contains(&who), "{who} was called and finds nothing");
                self.asking.push(Asking { who, acquire, bell });
            }
            Poll::Ready(taken) => {
                self.model.called.retain(|called| *called != who);
                self.took(taken);
            }
        }
    }

    fn act(&mut self, act: Act) {
        let some = |number: usize, of: usize| (of > 0).then(|| number % of);
        match act {
            Act::TryAcquire => match self.semaphore.try_acquire() {
                Some(taken) => {
                    assert!(self.model.room() > 0);
                    self.took(taken);
                }
                None => assert_eq!(self.model.room(), 0),
            },
            Act::Ask => {
                let (who, room) = (self.asked, self.model.room());
                self.asked += 1;
                let asking = Asking { who, acquire: self.semaphore.acquire(), bell: Arc::default() };
                self.asking.push(asking);
                if room == 0 {
                    self.model.waiting.push_back(who);
                }
                self.look(self.asking.len() - 1);
                assert_eq!(self.asking.iter().any(|asking| asking.who == who), room == 0);
            }
            Act::Look(number, moved) => {
                if let Some(place) = some(number, self.asking.len()) {
                    if moved && self.model.waiting.contains(&self.asking[place].who) {
                        self.asking[place].bell = Arc::default();
                    }
                    self.look(place);
                }
            }
            Act::GoAway(number) => {
                if let Some(place) = some(number, self.asking.len()) {
                    let Asking { who, acquire, .. } = self.asking.swap_remove(place);
                    self.model.waiting.retain(|waiting| *waiting != who);
                    self.model.called.retain(|called| *called != who);
                    drop(acquire);
                }
            }
            Act::Release(number) | Act::GiveBack(number) | Act::Stray(number) => {
                if let Some(place) = some(number, self.held.len()) {
                    let permit = self.held.swap_remove(place);
                    self.model.held -= 1;
                    match act {
                        Act::Release(_) => drop(permit),
                        Act::GiveBack(_) => {
                            self.asked += 1;
                            self.spares.push(self.asked);
                            permit.give_back(self.asked);
                        }
                        _ => {
                            self.model.strays += 1;
                            permit.stray();
                        }
                    }
                }
            }
            Act::EndStray => {
                if self.model.strays > 0 {
                    self.model.strays -= 1;
                    self.semaphore.end_stray();
                }
            }
            Act::Resize(capacity) => {
                self.model.capacity = capacity;
                self.semaphore.resize(capacity).wake();
            }
            Act::Overdraft(overdraft) => {
                self.model.overdraft = overdraft;
                self.semaphore.set_overdraft(overdraft);
            }
        }
        self.model.call();
    }

    fn check(&self) {
        assert_eq!(self.semaphore.load(), self.model.load());
        for Asking { who, bell, .. } in &self.asking {
            let rung = bell.0.load(Ordering::SeqCst);
            assert_eq!(rung, usize::from(self.model.called.contains(who)), "{who} was woken {rung} times");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_its_model_does(
        capacity in 0..5usize,
        acts in prop::collection::vec(acts(), 0..120),
    ) {
        let semaphore = Semaphore::new(capacity);
        let model = Model { capacity, ..Model::default() };
        let mut world =
            World { semaphore: &semaphore, model, asking: vec![], held: vec![], asked: 0, spares: vec![] };
        for act in acts {
            world.act(act);
            world.check();
        }
        // In the end everything comes back.
        let strays = world.model.strays;
        drop(world);
        (0..strays).for_each(|_| semaphore.end_stray());
        semaphore.resize(3).wake();
        prop_assert_eq!(semaphore.load(), Load { capacity: 3, available: 3, in_use: 0, waiting: 0, strays: 0 });
    }

    /// Without changes of the capacity, no more are in use than the capacity and the overdraft together.
    #[test]
    fn there_are_never_more_than_the_limit_and_the_overdraft(
        capacity in 1..5usize,
        overdraft in 0..4usize,
        acts in prop::collection::vec(acts(), 0..200),
    ) {
        let semaphore = Semaphore::new(capacity);
        semaphore.set_overdraft(overdraft);
        let model = Model { capacity, overdraft, ..Model::default() };
        let mut world =
            World { semaphore: &semaphore, model, asking: vec![], held: vec![], asked: 0, spares: vec![] };
        for act in acts {
            if !matches!(act, Act::Resize(_) | Act::Overdraft(_)) {
                world.act(act);
                prop_assert!(semaphore.load().in_use <= capacity + overdraft);
            }
        }
    }
}

/// A line that people leave in its middle, while its first stays, does not grow for ever.
#[test]
fn places_of_those_who_have_left_are_given_up() {
    let semaphore = Semaphore::<()>::new(0);
    let mut task = Context::from_waker(Waker::noop());
    let mut first = pin!(semaphore.acquire());
    assert!(first.as_mut().poll(&mut task).is_pending());
    let mut last: Option<Acquire<'_, ()>> = None;
    for _ in 0..10_000 {
        let mut next = semaphore.acquire();
        assert!(pin!(&mut next).poll(&mut task).is_pending());
        // The former last one leaves once another stands behind it.
        last = Some(next);
    }
    drop(last);
    assert!(semaphore.lock().line.places() < 8);
    semaphore.resize(1).wake();
    assert!(first.as_mut().poll(&mut task).is_ready());
}

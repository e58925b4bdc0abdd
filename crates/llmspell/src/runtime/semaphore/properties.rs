//! The semaphore against a simple model, under random sequences of actions.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::{Acquire, Load, Permit, Semaphore};

#[derive(Clone, Debug)]
enum Action {
    TryAcquire,
    /// A new task acquires, and waits if there is no room.
    Acquire,
    /// A task that waits or was served polls again, with another waker or the same.
    Poll(usize, bool),
    /// A task that waits or was served drops its future.
    Abandon(usize),
    Release(usize),
    /// Releases a permit with a spare for the next call.
    ReleaseWith(usize),
    Orphan(usize),
    EndOrphaned,
    Resize(usize),
    Overdraft(usize),
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => Just(Action::TryAcquire),
        6 => Just(Action::Acquire),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(id, new_waker)| Action::Poll(id, new_waker)),
        3 => any::<usize>().prop_map(Action::Abandon),
        3 => any::<usize>().prop_map(Action::Release),
        3 => any::<usize>().prop_map(Action::ReleaseWith),
        2 => any::<usize>().prop_map(Action::Orphan),
        2 => Just(Action::EndOrphaned),
        2 => (0..6usize).prop_map(Action::Resize),
        1 => (0..4usize).prop_map(Action::Overdraft),
    ]
}

#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The expected state: the waiters, the tasks that were served and have not polled, and the counters.
#[derive(Default)]
struct Model {
    capacity: usize,
    overdraft: usize,
    held: usize,
    orphaned: usize,
    waiting: VecDeque<u32>,
    served: Vec<u32>,
}

impl Model {
    fn in_use(&self) -> usize {
        self.held + self.orphaned + self.served.len()
    }

    fn room(&self) -> usize {
        (self.capacity + self.orphaned.min(self.overdraft)).saturating_sub(self.in_use())
    }

    fn serve(&mut self) {
        while self.room() > 0
            && let Some(next) = self.waiting.pop_front()
        {
            self.served.push(next);
        }
    }

    fn load(&self) -> Load {
        Load {
            capacity: self.capacity,
            available: self.room(),
            in_use: self.in_use(),
            waiting: self.waiting.len(),
            orphaned: self.orphaned,
        }
    }
}

/// A task that has asked for a permit and does not hold it yet.
struct Acquiring<'a> {
    id: u32,
    acquire: Acquire<'a, u32>,
    wakes: Arc<WakeCounter>,
}

struct Harness<'a> {
    semaphore: &'a Semaphore<u32>,
    model: Model,
    acquiring: Vec<Acquiring<'a>>,
    held: Vec<Permit<'a, u32>>,
    /// The identifier of the next task, or of the next spare.
    next_id: u32,
    /// The spares that the semaphore should have.
    spares: Vec<u32>,
}

impl<'a> Harness<'a> {
    fn acquired(&mut self, (permit, spare): (Permit<'a, u32>, Option<u32>)) {
        assert_eq!(spare, self.spares.pop());
        self.held.push(permit);
        self.model.held += 1;
    }

    /// Polls a task; the model must know whether it gets a permit.
    fn poll(&mut self, index: usize) {
        let Acquiring { id, mut acquire, wakes } = self.acquiring.swap_remove(index);
        let waker = Waker::from(wakes.clone());
        match pin!(&mut acquire).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                assert!(self.model.waiting.contains(&id), "{id} was served and finds no permit");
                self.acquiring.push(Acquiring { id, acquire, wakes });
            }
            Poll::Ready(taken) => {
                self.model.served.retain(|served| *served != id);
                self.acquired(taken);
            }
        }
    }

    fn apply(&mut self, action: Action) {
        let pick = |number: usize, of: usize| (of > 0).then(|| number % of);
        match action {
            Action::TryAcquire => match self.semaphore.try_acquire() {
                Some(taken) => {
                    assert!(self.model.room() > 0);
                    self.acquired(taken);
                }
                None => assert_eq!(self.model.room(), 0),
            },
            Action::Acquire => {
                let (id, room) = (self.next_id, self.model.room());
                self.next_id += 1;
                let acquiring = Acquiring { id, acquire: self.semaphore.acquire(), wakes: Arc::default() };
                self.acquiring.push(acquiring);
                if room == 0 {
                    self.model.waiting.push_back(id);
                }
                self.poll(self.acquiring.len() - 1);
                assert_eq!(self.acquiring.iter().any(|acquiring| acquiring.id == id), room == 0);
            }
            Action::Poll(number, new_waker) => {
                if let Some(index) = pick(number, self.acquiring.len()) {
                    if new_waker && self.model.waiting.contains(&self.acquiring[index].id) {
                        self.acquiring[index].wakes = Arc::default();
                    }
                    self.poll(index);
                }
            }
            Action::Abandon(number) => {
                if let Some(index) = pick(number, self.acquiring.len()) {
                    let Acquiring { id, acquire, .. } = self.acquiring.swap_remove(index);
                    self.model.waiting.retain(|waiting| *waiting != id);
                    self.model.served.retain(|served| *served != id);
                    drop(acquire);
                }
            }
            Action::Release(number) | Action::ReleaseWith(number) | Action::Orphan(number) => {
                if let Some(index) = pick(number, self.held.len()) {
                    let permit = self.held.swap_remove(index);
                    self.model.held -= 1;
                    match action {
                        Action::Release(_) => drop(permit),
                        Action::ReleaseWith(_) => {
                            self.next_id += 1;
                            self.spares.push(self.next_id);
                            permit.release_with(self.next_id);
                        }
                        _ => {
                            self.model.orphaned += 1;
                            permit.orphan();
                        }
                    }
                }
            }
            Action::EndOrphaned => {
                if self.model.orphaned > 0 {
                    self.model.orphaned -= 1;
                    self.semaphore.end_orphaned();
                }
            }
            Action::Resize(capacity) => {
                self.model.capacity = capacity;
                self.semaphore.resize(capacity).wake();
            }
            Action::Overdraft(overdraft) => {
                self.model.overdraft = overdraft;
                self.semaphore.set_overdraft(overdraft);
            }
        }
        self.model.serve();
    }

    fn check(&self) {
        assert_eq!(self.semaphore.load(), self.model.load());
        for Acquiring { id, wakes, .. } in &self.acquiring {
            let woken = wakes.0.load(Ordering::SeqCst);
            assert_eq!(woken, usize::from(self.model.served.contains(id)), "{id} was woken {woken} times");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_its_model(
        capacity in 0..5usize,
        actions in prop::collection::vec(actions(), 0..120),
    ) {
        let semaphore = Semaphore::new(capacity);
        let model = Model { capacity, ..Model::default() };
        let mut harness =
            Harness { semaphore: &semaphore, model, acquiring: vec![], held: vec![], next_id: 0, spares: vec![] };
        for action in actions {
            harness.apply(action);
            harness.check();
        }
        // In the end every permit comes back.
        let orphaned = harness.model.orphaned;
        drop(harness);
        (0..orphaned).for_each(|_| semaphore.end_orphaned());
        semaphore.resize(3).wake();
        prop_assert_eq!(semaphore.load(), Load { capacity: 3, available: 3, in_use: 0, waiting: 0, orphaned: 0 });
    }

    /// Without changes of the capacity, at most the capacity plus the overdraft is in use.
    #[test]
    fn permits_in_use_never_exceed_the_limit_and_the_overdraft(
        capacity in 1..5usize,
        overdraft in 0..4usize,
        actions in prop::collection::vec(actions(), 0..200),
    ) {
        let semaphore = Semaphore::new(capacity);
        semaphore.set_overdraft(overdraft);
        let model = Model { capacity, overdraft, ..Model::default() };
        let mut harness =
            Harness { semaphore: &semaphore, model, acquiring: vec![], held: vec![], next_id: 0, spares: vec![] };
        for action in actions {
            if !matches!(action, Action::Resize(_) | Action::Overdraft(_)) {
                harness.apply(action);
                prop_assert!(semaphore.load().in_use <= capacity + overdraft);
            }
        }
    }
}

/// A queue that waiters leave in its middle, while its first stays, does not grow without bound.
#[test]
fn gaps_of_abandoned_waiters_are_closed() {
    let semaphore = Semaphore::<()>::new(0);
    let mut task = Context::from_waker(Waker::noop());
    let mut first = pin!(semaphore.acquire());
    assert!(first.as_mut().poll(&mut task).is_pending());
    let mut last: Option<Acquire<'_, ()>> = None;
    for _ in 0..10_000 {
        let mut next = semaphore.acquire();
        assert!(pin!(&mut next).poll(&mut task).is_pending());
        // The former last waiter leaves once another is behind it.
        last = Some(next);
    }
    drop(last);
    assert!(semaphore.lock().queue.entries() < 8);
    semaphore.resize(1).wake();
    assert!(first.as_mut().poll(&mut task).is_ready());
}

//! Callers and holds that end at the same time, under many interleavings of threads.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::Context;
use crate::control::limit::Limit;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// A call whose work is held by another thread, and may outlive its caller.
fn call(limit: &Limit, running: &Arc<AtomicUsize>, most: usize, item: usize) {
    let cx = Context::new().scope(Some(item));
    let leased = block_on(limit.admit(&cx)).expect("no permit above").expect("there is a limit");
    assert!(running.fetch_add(1, Ordering::SeqCst) < most, "more than {most} are running");
    let (below, counted) = (Context::clone(&leased), running.clone());
    let hold = leased.hold();
    let work = thread::spawn(move || {
        assert_eq!(below.item(), Some(item));
        // A hold taken from held work, as by a thread that starts another one.
        let further = below.hold();
        drop(hold);
        counted.fetch_sub(1, Ordering::SeqCst);
        drop(further);
        // The permit may belong to another call by now, but not with this node.
        assert_eq!(below.item(), Some(item));
        drop(below.hold());
    });
    drop(leased);
    work.join().expect("it does not panic");
}

fn calls(most: usize, overdraft: usize) {
    let limit = Limit::new(1).overdraft(overdraft);
    let running = Arc::new(AtomicUsize::new(0));
    let callers = [0, 1, 2].map(|item| {
        let (limit, running) = (limit.clone(), running.clone());
        thread::spawn(move || call(&limit, &running, most, item))
    });
    callers.into_iter().for_each(|caller| caller.join().expect("it does not panic"));
    let load = limit.load().expect("there is a limit");
    assert_eq!((load.in_use, load.orphaned, load.available, load.waiting), (0, 0, 1, 0));
}

#[test]
fn last_holder_returns_the_permit() {
    explore(|| calls(1, 0));
}

#[test]
fn overdraft_replaces_permits_of_runaways() {
    explore(|| calls(2, 1));
}

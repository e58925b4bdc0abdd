//! A closed breaker, compared with one written by hand.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{Breaker, Error, Step, step};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::measure::{Flavour, Row, head};
use crate::work::{each, ready};

/// The minimum of a breaker written by hand: a check whether it is open, and a count of results.
#[derive(Default)]
struct ByHand(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    open_until: Option<Instant>,
    since: Option<Instant>,
    calls: u64,
    failures: u64,
}

impl ByHand {
    async fn run(&self, input: u64) -> llmspell::Result<u64> {
        if self.0.lock().expect("not poisoned").open_until.is_some_and(|until| Instant::now() < until) {
            return Err(Error::failed("open"));
        }
        let result = ready(input).await;
        let now = Instant::now();
        let mut counts = self.0.lock().expect("not poisoned");
        if counts.since.is_none_or(|since| now - since > Duration::from_secs(30)) {
            *counts = Counts { since: Some(now), ..Counts::default() };
        }
        counts.calls += 1;
        counts.failures += u64::from(result.is_err());
        if counts.calls >= 20 && 2 * counts.failures >= counts.calls {
            counts.open_until = Some(now + Duration::from_secs(5));
        }
        drop(counts);
        result
    }
}

pub fn run() {
    head("breaker", "a count of calls and failures behind a lock");
    for (what, flavour, tasks) in [
        ("a closed breaker, ready at once", Flavour::CurrentThread, 1),
        ("a closed breaker, two tasks at it", Flavour::MultiThread, 2),
    ] {
        let guarded = Arc::new(step(|x, _| ready(x)).breaker(Breaker::new()));
        let by_hand = Arc::new(ByHand::default());
        Row { what, flavour, operations: 200_000, target: None }.compare(
            async |operations| {
                let mut set = JoinSet::new();
                for _ in 0..tasks {
                    let guarded = guarded.clone();
                    set.spawn(async move { each(&guarded, operations / tasks).await });
                }
                set.join_all().await;
            },
            async |operations| {
                let mut set = JoinSet::new();
                for _ in 0..tasks {
                    let by_hand = by_hand.clone();
                    set.spawn(async move {
                        for n in 0..operations / tasks {
                            black_box(by_hand.run(n.into()).await.expect("nothing fails"));
                        }
                    });
                }
                set.join_all().await;
            },
        );
    }
}

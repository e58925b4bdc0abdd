//! Two clients that know nothing of each other share a server.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::capacity::Capacity;
use crate::client::{self, Score};
use crate::scenario::AIMD;
use crate::server::{Overload, Server};
use crate::{SEEDS, simulate};

/// The share of the work that the later client must get.
const SHARE: f64 = 0.2;

/// When the second client starts, and from when its work counts.
const LATER: Duration = Duration::from_secs(60);
const TIME: Duration = Duration::from_secs(1800);

/// Returns the table, and the number of claims that do not hold.
pub fn compare() -> (String, usize) {
    let mut table = "\n### share\n\nA server that refuses at once, with a capacity of 48, and two clients with `aimd` for \
                     half an hour; the second comes a minute later.\n\n\
                     | run | first, items/s | second, items/s | share of the second | refused |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut failed_claims = 0;
    for seed in SEEDS {
        let (mut first, mut second) = (Score::default(), Score::default());
        simulate(seed, async {
            let server = Arc::new(Server::new(Overload::Refuses, Capacity::Constant(48), seed));
            let early = client::run(server.clone(), AIMD(), 2 * LATER, TIME, &mut first);
            let late = async {
                sleep(LATER).await;
                client::run(server.clone(), AIMD(), LATER, TIME, &mut second).await;
            };
            tokio::join!(early, late);
        });
        let share = second.done as f64 / (first.done + second.done) as f64;
        let mark = if share >= SHARE { "✓" } else { "✗" };
        failed_claims += usize::from(share < SHARE);
        let of = |score: &Score| score.done as f64 / TIME.as_secs_f64();
        let rejected = (first.rejected + second.rejected) as f64 / (first.calls + second.calls) as f64;
        let (first, second, share, rejected) = (of(&first), of(&second), 100.0 * share, 100.0 * rejected);
        writeln!(table, "| {seed} {mark} | {first:.1} | {second:.1} | {share:.0} % | {rejected:.1} % |")
            .expect("a string takes everything");
    }
    (table, failed_claims)
}

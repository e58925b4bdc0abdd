//! The simulated servers on which limits are compared, and the claims about them.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use llmspell::Limit;
use llmspell::control::Adaptive;

use crate::capacity::Capacity;
use crate::client::{self, Score};
use crate::server::{Overload, Server, mean_time};
use crate::{SEEDS, simulate};

/// The bounds that an adaptive limit must keep.
const MIN_SHARE_OF_BEST: f64 = 0.9;
const MAX_REJECTED: f64 = 0.02;

const WARM_UP: Duration = Duration::from_secs(30);
/// All capacity steps once, or twice.
const TIME: Duration = Duration::from_secs(420);

pub struct Scenario {
    pub name: &'static str,
    title: &'static str,
    overload: Overload,
    capacity: Capacity,
    /// The limits that must keep the claims.
    claims: &'static [&'static str],
}

const fn steps(secs: u64) -> Capacity {
    Capacity::Steps { numbers: &[8, 32, 12, 96, 20, 48, 10], secs }
}

pub const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "refuses",
        title: "refuses at once; its capacity is 8, 32, 12, 96, 20, 48, 10, each for a minute",
        overload: Overload::Refuses,
        capacity: steps(60),
        claims: &["aimd"],
    },
    Scenario {
        name: "constant",
        title: "refuses at once; its capacity is always 24",
        overload: Overload::Refuses,
        capacity: Capacity::Constant(24),
        claims: &["aimd", "gradient"],
    },
    Scenario {
        name: "jitters",
        title: "refuses at once; its capacity jumps about between 22 and 26, every five seconds",
        overload: Overload::Refuses,
        capacity: Capacity::Jitters { middle: 24, spread: 2, secs: 5 },
        claims: &["aimd", "gradient"],
    },
    Scenario {
        name: "queues",
        title: "queues, and refuses after five seconds in line; the same steps",
        overload: Overload::Queues,
        capacity: steps(60),
        claims: &["gradient"],
    },
    Scenario {
        name: "slows",
        title: "slows down, and works on for clients that gave up after ten seconds; the same steps",
        overload: Overload::Slows,
        capacity: steps(60),
        claims: &["gradient"],
    },
    Scenario {
        name: "fast",
        title: "refuses at once; the same steps, each for half a minute",
        overload: Overload::Refuses,
        capacity: steps(30),
        claims: &[],
    },
    Scenario {
        name: "wild",
        title: "refuses at once; its capacity jumps about between 18 and 30, every two seconds",
        overload: Overload::Refuses,
        capacity: Capacity::Jitters { middle: 24, spread: 6, secs: 2 },
        claims: &[],
    },
];

type MakeLimit = fn() -> Limit;

pub const AIMD: MakeLimit = || Limit::adaptive(Adaptive::aimd());

/// The limits, and whether they are fixed.
const LIMITS: [(&str, bool, MakeLimit); 7] = [
    ("1", true, || Limit::new(1)),
    ("4", true, || Limit::new(4)),
    ("16", true, || Limit::new(16)),
    ("64", true, || Limit::new(64)),
    ("256", true, || Limit::new(256)),
    ("aimd", false, AIMD),
    ("gradient", false, || Limit::adaptive(Adaptive::gradient())),
];

impl Scenario {
    /// Returns the table, and the number of claims that do not hold.
    pub fn compare(&self) -> (String, usize) {
        let mut table = format!("\n### {}\n\nA server that {}.\n\n", self.name, self.title);
        table += "| limit | items/s | of the best fixed | of what is possible | refused | median call |\n";
        table += "|---|---|---|---|---|---|\n";
        let seconds = TIME.as_secs_f64() * SEEDS.count() as f64;
        let possible = self.capacity.mean(WARM_UP, TIME) / mean_time();
        let scores = LIMITS.map(|(name, is_fixed, limit)| (name, is_fixed, self.measure(limit)));
        let fixed = scores.iter().filter(|(_, is_fixed, _)| *is_fixed);
        let best = fixed.map(|(_, _, score)| score.done as f64 / seconds).fold(0.0, f64::max);
        let mut failed_claims = 0;
        for (name, _, score) in scores {
            let (goodput, rejected) = (score.done as f64 / seconds, score.rejected_share());
            let mark = match self.claims.contains(&name) {
                true if goodput >= MIN_SHARE_OF_BEST * best && rejected < MAX_REJECTED => " ✓",
                true => " ✗",
                false => "",
            };
            failed_claims += usize::from(mark == " ✗");
            let (share_of_best, share_of_possible) = (100.0 * goodput / best, 100.0 * goodput / possible);
            let (rejected, time) = (100.0 * rejected, score.median_time());
            let row = format!(
                "{name}{mark} | {goodput:.1} | {share_of_best:.0} % | {share_of_possible:.0} % | {rejected:.1} % | {time:.2} s"
            );
            writeln!(table, "| {row} |").expect("a string takes everything");
        }
        (table, failed_claims)
    }

    fn measure(&self, limit: MakeLimit) -> Score {
        let mut score = Score::default();
        for seed in SEEDS {
            simulate(seed, async {
                let server = Arc::new(Server::new(self.overload, self.capacity, seed));
                client::run(server, limit(), WARM_UP, TIME, &mut score).await;
            });
        }
        score
    }
}

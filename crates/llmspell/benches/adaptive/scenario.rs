//! The servers that limits are compared on, and what is claimed there.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Adaptive, Limit};

use crate::capacity::Capacity;
use crate::client::{self, Score};
use crate::server::{Manner, Server, mean_time};
use crate::{SEEDS, simulate};

/// What a limit that adapts must reach.
const SHARE_OF_BEST: f64 = 0.9;
const REFUSED: f64 = 0.02;

const WARM_UP: Duration = Duration::from_secs(30);
/// Once through all the steps, or twice.
const TIME: Duration = Duration::from_secs(420);

pub struct Scenario {
    pub name: &'static str,
    title: &'static str,
    manner: Manner,
    capacity: Capacity,
    /// The limits that must keep what is claimed.
    claims: &'static [&'static str],
}

const fn steps(secs: u64) -> Capacity {
    Capacity::Steps { numbers: &[8, 32, 12, 96, 20, 48, 10], secs }
}

pub const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "refuses",
        title: "refuses at once; its capacity is 8, 32, 12, 96, 20, 48, 10, each for a minute",
        manner: Manner::Refuses,
        capacity: steps(60),
        claims: &["aimd"],
    },
    Scenario {
        name: "constant",
        title: "refuses at once; its capacity is always 24",
        manner: Manner::Refuses,
        capacity: Capacity::Constant(24),
        claims: &["aimd", "gradient"],
    },
    Scenario {
        name: "jitters",
        title: "refuses at once; its capacity jumps about between 22 and 26, every five seconds",
        manner: Manner::Refuses,
        capacity: Capacity::Jitters { middle: 24, spread: 2, secs: 5 },
        claims: &["aimd", "gradient"],
    },
    Scenario {
        name: "queues",
        title: "queues, and refuses after five seconds in line; the same steps",
        manner: Manner::Queues,
        capacity: steps(60),
        claims: &["gradient"],
    },
    Scenario {
        name: "slows",
        title: "slows down, and works on for clients that gave up after ten seconds; the same steps",
        manner: Manner::Slows,
        capacity: steps(60),
        claims: &["gradient"],
    },
    Scenario {
        name: "fast",
        title: "refuses at once; the same steps, each for half a minute",
        manner: Manner::Refuses,
        capacity: steps(30),
        claims: &[],
    },
    Scenario {
        name: "wild",
        title: "refuses at once; its capacity jumps about between 18 and 30, every two seconds",
        manner: Manner::Refuses,
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
    /// The table, and how many claims do not hold.
    pub fn compare(&self) -> (String, usize) {
        let mut table = format!("\n### {}\n\nA server that {}.\n\n", self.name, self.title);
        table += "| limit | items/s | of the best fixed | of what is possible | refused | median call |\n";
        table += "|---|---|---|---|---|---|\n";
        let seconds = TIME.as_secs_f64() * SEEDS.count() as f64;
        let possible = self.capacity.mean(WARM_UP, TIME) / mean_time();
        let scores = LIMITS.map(|(name, is_fixed, limit)| (name, is_fixed, self.measure(limit)));
        let fixed = scores.iter().filter(|(_, is_fixed, _)| *is_fixed);
        let best = fixed.map(|(_, _, score)| score.done as f64 / seconds).fold(0.0, f64::max);
        let mut broken = 0;
        for (name, _, score) in scores {
            let (goodput, refused) = (score.done as f64 / seconds, score.refused_share());
            let mark = match self.claims.contains(&name) {
                true if goodput >= SHARE_OF_BEST * best && refused < REFUSED => " ✓",
                true => " ✗",
                false => "",
            };
            broken += usize::from(mark == " ✗");
            let (of_best, of_possible) = (100.0 * goodput / best, 100.0 * goodput / possible);
            let (refused, time) = (100.0 * refused, score.median_time());
            let row = format!(
                "{name}{mark} | {goodput:.1} | {of_best:.0} % | {of_possible:.0} % | {refused:.1} % | {time:.2} s"
            );
            writeln!(table, "| {row} |").expect("a string takes everything");
        }
        (table, broken)
    }

    fn measure(&self, limit: MakeLimit) -> Score {
        let mut score = Score::default();
        for seed in SEEDS {
            simulate(seed, async {
                let server = Arc::new(Server::new(self.manner, self.capacity, seed));
                client::run(server, limit(), WARM_UP, TIME, &mut score).await;
            });
        }
        score
    }
}

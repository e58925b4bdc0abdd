//! A call under a rate and a budget with free capacity.

use std::hint::black_box;
use std::time::Duration;

use llmspell::observe::Usage;
use llmspell::{Budget, Context, Rate, Step, step};

use crate::measure::{Flavour, Row, head};
use crate::work::each;

async fn records_usage(input: u64, cx: Context) -> llmspell::Result<u64> {
    cx.record_usage(Usage::new(black_box(input) % 100, 1));
    Ok(input + 1)
}

pub fn run() {
    head("rate", "the same step, whose usage has no meter");
    // More than any machine can start in a day.
    let (many, second) = (u64::from(u32::MAX), Duration::from_secs(1));
    let requests = || Rate::builder().per(many, second).burst(Duration::from_secs(86_400));
    let both = requests().tokens_per(many, second).build();
    let budget = Budget::builder().tokens(u64::MAX).cost(1e9).build().estimate(Usage::new(100, 1));
    compare("rate of requests", &step(records_usage).rate(requests().build()));
    compare("rate of requests and tokens, settled", &step(records_usage).rate(both));
    compare("budget, settled", &step(records_usage).budget(budget));
}

fn compare(what: &'static str, admitted: &impl Step<In = u64>) {
    let bare = step(records_usage);
    Row { what, flavour: Flavour::CurrentThread, operations: 200_000, target: None }
        .compare(async |operations| each(admitted, operations).await, async |operations| each(&bare, operations).await);
}

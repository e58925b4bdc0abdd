//! Allocations of an erased step, and the memory of a million items in flight.

use std::time::Duration;

use llmspell::{Breaker, Context, Step, step};

use crate::measure::Flavour;
use crate::work::ready;

const IN_FLIGHT: usize = 1_000_000;

pub fn run() {
    println!("\n### memory\n");
    let runtime = Flavour::CurrentThread.runtime();
    let add = || step(|x, _| ready(x));
    let (plain, erased, guarded) = (add(), add().boxed(), add().breaker(Breaker::new()));
    let cx = Context::new();
    let allocations = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    let of_plain = allocations(&|| assert!(runtime.block_on(plain.run(1, &cx)).is_ok()));
    let of_erased = allocations(&|| assert!(runtime.block_on(erased.run(1, &cx)).is_ok()));
    let of_guarded = allocations(&|| assert!(runtime.block_on(guarded.run(1, &cx)).is_ok()));
    println!(
        "- allocations of a call: {of_plain}, erased {of_erased} (target: one more), behind a breaker {of_guarded}"
    );

    let before = resident();
    let peak = runtime.block_on(async {
        let sleeps = step(|_: usize, _| async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        });
        let mut outcomes = sleeps.stream(0..IN_FLIGHT, &cx).limit(IN_FLIGHT);
        while outcomes.pulled() < IN_FLIGHT {
            let _ = tokio::time::timeout(Duration::from_millis(1), outcomes.next()).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        resident()
    });
    println!(
        "- memory of an item in flight (asleep, one of {IN_FLIGHT}): {} B (target ≤ 800 B)",
        (peak - before) / IN_FLIGHT
    );
}

/// Returns the resident memory of the process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0) * 1024
}

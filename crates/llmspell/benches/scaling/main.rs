//! Whether items cost the same among a million as among a thousand, and what they weigh.
//!
//! `cargo bench -p llmspell --bench scaling` prints tables of `benches/README.md`. It stands apart from `patterns`
//! because it counts allocations, which slows down every one of them.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

mod items;
#[path = "../patterns/measure.rs"]
#[allow(dead_code, reason = "`patterns` uses all of it")]
mod measure;
mod memory;
#[path = "../patterns/work.rs"]
#[allow(dead_code, reason = "`patterns` uses all of it")]
mod work;

fn main() {
    // Memory first: what the process has got from the system it keeps.
    memory::run();
    items::run();
}

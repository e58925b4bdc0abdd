//! The cost of an item among a thousand and among a million, and its memory.
//!
//! `cargo bench -p llmspell --bench scaling` prints tables of `benches/README.md`. It is separate from
//! `patterns` because it counts allocations, which slows down each of them.

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
    // Memory first, because the process keeps memory that it has obtained from the system.
    memory::run();
    items::run();
}

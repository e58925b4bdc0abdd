//! The cost of the patterns, compared with hand-written tokio code that gives the same guarantee.
//!
//! `cargo bench -p llmspell --bench patterns` prints the tables of `benches/README.md`; `-- stream race` only some of them.
//! The figures are CPU time, medians of 15 samples taken in turns.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

mod breaker;
mod concurrent;
mod floors;
mod measure;
mod pipeline;
mod race;
mod rate;
mod report;
mod stream;
mod timeout;
mod work;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let groups: [(&str, fn()); 9] = [
        ("floors", floors::run),
        ("concurrent", concurrent::run),
        ("stream", stream::run),
        ("timeout", timeout::run),
        ("race", race::run),
        ("pipeline", pipeline::run),
        ("breaker", breaker::run),
        ("rate", rate::run),
        ("report", report::run),
    ];
    for (name, run) in groups {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run();
        }
    }
}

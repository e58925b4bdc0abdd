//! A retry needs copies of its input.

use llmspell::{Context, Retry, Step, step};

struct Unclonable;

fn main() {
    let once = step(|_: Unclonable, _: Context| async move { Ok(()) });
    let _ = once.retry(Retry::exponential());
}

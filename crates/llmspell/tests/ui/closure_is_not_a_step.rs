//! A closure where a step is expected.

use llmspell::{Context, Step, step};

fn main() {
    let first = step(|x: u32, _: Context| async move { Ok(x) });
    let _ = first.then(|x: u32, _: Context| async move { Ok(x + 1) });
}

//! All contenders of a race have one output type.

use llmspell::{Context, race, step};

fn main() {
    let number = step(|x: u32, _: Context| async move { Ok(x) });
    let text = step(|x: u32, _: Context| async move { Ok(x.to_string()) });
    let _ = race((number, text));
}

//! A step where a model is expected.

use llmspell_test::ScriptedModel;
use llmspell::{Agent, Model, Retry, Step};

fn main() {
    let model = ScriptedModel::new("demo").step().retry(Retry::exponential());
    let _ = Agent::builder(model);
}

//! The extension: one place where everything that it brings is added to a registry. What a program does with it (agents,
//! flow files, the command line) is not its business.

use llmspell::{Extension, Registry, Result, step};
use serde_json::{Value, json};

use crate::model::Cook;
use crate::tally::Tally;
use crate::tools::{Pantry, convert, take};

/// What a kitchen needs.
#[derive(Clone)]
pub struct Kitchen {
    pub pantry: Pantry,
    pub tally: Tally,
}

impl Kitchen {
    pub fn new() -> Self {
        Kitchen { pantry: Pantry::new(), tally: Tally::default() }
    }
}

impl Extension for Kitchen {
    fn name(&self) -> &str {
        "kitchen"
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        registry.tool(convert())?;
        registry.tool(take(&self.pantry))?;
        registry.model(Cook)?;
        registry.sink(self.tally.clone());
        // For flow files, and not for models: from JSON to JSON, and without a schema.
        let rescale = step(|recipe: Value, _| async move {
            let number = |name: &str| recipe[name].as_f64().unwrap_or_default();
            Ok(json!((number("grams") * number("to") / number("from").max(1.0)).round()))
        });
        registry.step("rescale", "From a recipe for so many people to one for others.", rescale)
    }
}

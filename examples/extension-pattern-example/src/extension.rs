//! The extension: it adds all its parts to a registry. It must not know their use (agents,
//! flow files, the command line).

use llmspell::registry::{Extension, Registry};
use llmspell::{Result, step};
use serde_json::{Value, json};

use crate::call_counter::CallCounter;
use crate::model::Cook;
use crate::tools::{Pantry, convert, take};

/// The state that the tools of the kitchen share.
#[derive(Clone)]
pub struct Kitchen {
    pub pantry: Pantry,
    pub call_counter: CallCounter,
}

impl Kitchen {
    pub fn new() -> Self {
        Kitchen { pantry: Pantry::new(), call_counter: CallCounter::default() }
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
        registry.sink(self.call_counter.clone());
        // For flow files, and not for models: from JSON to JSON, and without a schema.
        let rescale = step(|recipe: Value, _| async move {
            let number = |name: &str| recipe[name].as_f64().unwrap_or_default();
            Ok(json!((number("grams") * number("to") / number("from").max(1.0)).round()))
        });
        registry.step("rescale", "Scales a recipe to another number of people.", rescale)
    }
}

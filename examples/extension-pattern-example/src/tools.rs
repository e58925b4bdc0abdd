//! Tools of our own: typed arguments, from which the schema comes, and a security level, which says who may let them run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use llmspell::internal::suggest;
use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Error, Result, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

/// The weight of a cup, in grams.
const CUPS: [(&str, f64); 4] = [("butter", 226.0), ("flour", 120.0), ("sugar", 198.0), ("water", 237.0)];

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Measure {
    /// How many.
    amount: f64,
    unit: Unit,
    /// Of what, such as `flour`.
    of: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Unit {
    Cup,
    Tablespoon,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Take {
    what: String,
    grams: f64,
}

/// Computes and touches nothing: safe, which is what a tool is unless it says otherwise.
pub fn convert() -> DynTool {
    Tool::new("convert", "Says what a measure of an ingredient weighs.", |measure: Measure, _| async move {
        let known = CUPS.map(|(name, _)| name);
        let cup = CUPS.iter().find(|(name, _)| *name == measure.of).map(|(_, grams)| *grams);
        let cup = cup.ok_or_else(|| {
            let hint = suggest::hint(&measure.of, known, "known are");
            Error::invalid(format!("unknown weight of `{}`", measure.of)).with_hint(hint)
        })?;
        let one = match measure.unit {
            Unit::Cup => cup,
            Unit::Tablespoon => cup / 16.0,
        };
        Ok(json!({ "grams": (measure.amount * one).round() }))
    })
    .erase()
}

/// Changes things: privileged, so that no flow runs it unless its user allows it; and two calls for the same ingredient
/// run one after another.
pub fn take(pantry: &Pantry) -> DynTool {
    let pantry = pantry.clone();
    Tool::new("take", "Takes something out of the pantry.", move |take: Take, _| {
        let taken = pantry.take(&take);
        async move { taken }
    })
    .security(Privilege::Privileged)
    .keyed("what")
    .erase()
}

/// The stock in grams. Clones share it.
#[derive(Clone)]
pub struct Pantry(Arc<Mutex<BTreeMap<String, f64>>>);

impl Pantry {
    pub fn new() -> Self {
        Pantry(Arc::new(Mutex::new(BTreeMap::from([("flour".into(), 1_000.0), ("sugar".into(), 500.0)]))))
    }

    fn take(&self, take: &Take) -> Result<Value> {
        let mut pantry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = pantry.entry(take.what.clone()).or_default();
        if *there < take.grams {
            return Err(Error::failed(format!("there are only {there} g of {}", take.what)));
        }
        *there -= take.grams;
        Ok(json!({ "left": *there }))
    }
}

//! What a flow would do with the records of an input.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmspell::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::known::Known;
use super::walk::Walk;
use super::{AgentCalls, Count, Estimate, TimeBound, time};
use crate::flow::Flow;
use crate::plan::{Planned, StepKind};
use crate::run::{Input, read_all};
use crate::scope::Scope;

/// The records of an input, counted.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// How many there are.
    pub records: u64,
    /// Those of them that the flow would not take: no JSON, or without a field that it asks for.
    pub wrong: u64,
    /// Why, for the first of them.
    pub first_wrong: Option<String>,
    /// The most calls of each tool and each model for all of them, but for those that models make. A step whose `when`
    /// is known not to hold is left out.
    pub calls: BTreeMap<String, Count>,
    /// The calls that models may make, which nobody can count.
    pub calls_by_agents: Vec<AgentCalls>,
    /// What all of them would use of each model.
    pub estimates: Vec<Estimate>,
    /// How long the slowest record can take, without the time in line for limits and rates.
    pub slowest: TimeBound,
    /// How long all of them can take, one after another.
    pub all: TimeBound,
}

impl Flow {
    /// Reads an input, record by record, and tells what the flow would do with it. No tool and no model is
    /// called, and memory does not grow with the records.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    pub async fn survey(&self, input: Input) -> Result<Survey> {
        let lists = self.planned().iter().flat_map(Planned::all);
        let lists: Vec<&Planned> =
            lists.filter(|step| matches!(&step.kind, StepKind::Items { list, .. } if list.is_of_record())).collect();
        let mut walk = Walk::new(self.planned());
        let mut survey = Survey {
            records: 0,
            wrong: 0,
            first_wrong: None,
            calls: BTreeMap::new(),
            calls_by_agents: Vec::new(),
            estimates: Vec::new(),
            slowest: TimeBound::NONE,
            all: TimeBound::NONE,
        };
        read_all(input, self, &Context::new(), |index, record| {
            survey.records += 1;
            match record.and_then(|record| self.accepted(record)) {
                Err(error) => {
                    survey.wrong += 1;
                    survey.first_wrong.get_or_insert_with(|| error.to_string());
                }
                Ok(record) => {
                    let items = items(&lists, &record, index);
                    let time = time::of_list(self.planned(), &items);
                    survey.slowest = survey.slowest.clone().beside(time.clone());
                    survey.all = survey.all.clone().then(time);
                    walk.record(Known::record(&record, index));
                }
            }
        })
        .await?;
        survey.calls_by_agents = walk.tally.calls_by_agents();
        survey.calls = walk.tally.calls;
        survey.estimates = walk.tally.estimates.into_list();
        Ok(survey)
    }

    fn accepted(&self, record: Value) -> Result<serde_json::Map<String, Value>> {
        match record {
            Value::Object(fields) => self.inputs().accept(fields),
            _ => Err(llmspell::Error::invalid("the record is not a JSON object")),
        }
    }
}

/// How many items those lists have that follow from the record alone.
fn items(steps: &[&Planned], record: &serde_json::Map<String, Value>, index: usize) -> BTreeMap<Arc<str>, u64> {
    if steps.is_empty() {
        return BTreeMap::new();
    }
    let seen = Scope::new(record, index, minijinja::Value::UNDEFINED).value();
    let of_list = |step: &&Planned| match &step.kind {
        StepKind::Items { list, .. } => match list.json(&seen).ok()? {
            Value::Array(items) => Some((step.path.clone(), items.len() as u64)),
            _ => None,
        },
        _ => None,
    };
    steps.iter().filter_map(of_list).collect()
}

//! What a flow would do with the records of an input.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use llmspell::Result;
use serde::Serialize;
use serde_json::Value;

use super::partial::Known;
use super::walk::Walk;
use super::{AgentCalls, Count, Estimate, TimeBound, time};
use crate::exec::scope::Scope;
use crate::flow::Flow;
use crate::ir::step::{Planned, StepKind};

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
    /// Tells what the flow would do with these records. No tool and no model is called.
    pub fn survey(&self, records: impl IntoIterator<Item = Result<Value>>) -> Survey {
        let mut surveyor = self.surveyor();
        records.into_iter().for_each(|record| surveyor.record(record));
        surveyor.finish()
    }

    /// Begins a [survey](Flow::survey) whose records come one by one.
    pub fn surveyor(&self) -> Surveyor<'_> {
        let lists = self.planned().iter().flat_map(Planned::all);
        let lists = lists.filter(|step| matches!(&step.kind, StepKind::Items { list, .. } if list.is_of_record()));
        let survey = Survey {
            records: 0,
            wrong: 0,
            first_wrong: None,
            calls: BTreeMap::new(),
            calls_by_agents: Vec::new(),
            estimates: Vec::new(),
            slowest: TimeBound::NONE,
            all: TimeBound::NONE,
        };
        Surveyor { flow: self, lists: lists.collect(), walk: Walk::new(self.planned()), survey }
    }
}

/// Counts what a flow would do, record by record; made by [`Flow::surveyor`]. Its memory does not grow with the records.
pub struct Surveyor<'a> {
    flow: &'a Flow,
    /// The steps that go through a list which follows from the record alone.
    lists: Vec<&'a Planned>,
    walk: Walk<'a>,
    survey: Survey,
}

impl Surveyor<'_> {
    /// Counts one record, or why it could not be read.
    pub fn record(&mut self, record: Result<Value>) {
        let index = self.survey.records as usize;
        self.survey.records += 1;
        match record.and_then(|record| self.accepted(record)) {
            Err(error) => {
                self.survey.wrong += 1;
                self.survey.first_wrong.get_or_insert_with(|| error.to_string());
            }
            Ok(record) => {
                let items = items(&self.lists, &record, index);
                let time = time::of_list(self.flow.planned(), &items);
                self.survey.slowest = self.survey.slowest.clone().beside(time.clone());
                self.survey.all = self.survey.all.clone().then(time);
                self.walk.record(Known::record(&record, index));
            }
        }
    }

    /// Returns what was counted.
    pub fn finish(self) -> Survey {
        let Surveyor { walk, mut survey, .. } = self;
        survey.calls_by_agents = walk.tally.calls_by_agents();
        survey.calls = walk.tally.calls;
        survey.estimates = walk.tally.estimates.into_list();
        survey
    }

    fn accepted(&self, record: Value) -> Result<serde_json::Map<String, Value>> {
        match record {
            Value::Object(fields) => self.flow.inputs().accept(fields),
            _ => Err(llmspell::Error::invalid("the record is not a JSON object")),
        }
    }
}

impl fmt::Debug for Surveyor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surveyor")
            .field("flow", &self.flow.name())
            .field("survey", &self.survey)
            .finish_non_exhaustive()
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

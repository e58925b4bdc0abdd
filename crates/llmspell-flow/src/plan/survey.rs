//! The plan for an input: bounds and estimates over all its records.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use llmspell::Result;
use serde::Serialize;
use serde_json::Value;

use super::partial::PartialRecord;
use super::walk::Walk;
use super::{AgentCalls, Count, Estimate, TimeBound, time};
use crate::exec::scope::Scope;
use crate::flow::Flow;
use crate::ir::step::{Step, StepKind};

/// The bounds and estimates of a flow for the records of an input.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InputSurvey {
    /// The number of records.
    pub records: u64,
    /// The number of invalid records: not JSON, or without a required field.
    pub wrong: u64,
    /// The problem with the first of them.
    pub first_wrong: Option<String>,
    /// The maximum number of calls of each tool and each model for all records, without the calls that models make. A
    /// step whose `when` is known not to hold is left out.
    pub calls: BTreeMap<String, Count>,
    /// The calls that models may make. Their number has no bound.
    pub calls_by_agents: Vec<AgentCalls>,
    /// The estimated use of each model by all records.
    pub estimates: Vec<Estimate>,
    /// The bound on the time of the slowest record, without waits for limits and rates.
    pub slowest: TimeBound,
    /// The bound on the time of all records, one after another.
    pub all: TimeBound,
}

impl Flow {
    /// Surveys these records. No tool and no model is called.
    pub fn survey(&self, records: impl IntoIterator<Item = Result<Value>>) -> InputSurvey {
        let mut surveyor = self.surveyor();
        records.into_iter().for_each(|record| surveyor.record(record));
        surveyor.finish()
    }

    /// Starts a [survey](Flow::survey) that takes its records one by one.
    pub fn surveyor(&self) -> Surveyor<'_> {
        let lists = self.checked_steps().iter().flat_map(Step::all);
        let lists = lists.filter(|step| matches!(&step.kind, StepKind::Items { list, .. } if list.is_of_record()));
        let survey = InputSurvey {
            records: 0,
            wrong: 0,
            first_wrong: None,
            calls: BTreeMap::new(),
            calls_by_agents: Vec::new(),
            estimates: Vec::new(),
            slowest: TimeBound::NONE,
            all: TimeBound::NONE,
        };
        Surveyor { flow: self, lists: lists.collect(), walk: Walk::new(self.checked_steps()), survey }
    }
}

/// A survey in progress, created by [`Flow::surveyor`]. Its memory does not grow with the number of records.
pub struct Surveyor<'a> {
    flow: &'a Flow,
    /// The steps whose list follows from the record alone.
    lists: Vec<&'a Step>,
    walk: Walk<'a>,
    survey: InputSurvey,
}

impl Surveyor<'_> {
    /// Adds one record, or the error of reading it.
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
                let time = time::of_list(self.flow.checked_steps(), &items);
                self.survey.slowest = self.survey.slowest.clone().parallel(time.clone());
                self.survey.all = self.survey.all.clone().then(time);
                self.walk.record(PartialRecord::record(&record, index));
            }
        }
    }

    /// Returns the survey.
    pub fn finish(self) -> InputSurvey {
        let Surveyor { walk, mut survey, .. } = self;
        survey.calls_by_agents = walk.totals.calls_by_agents();
        survey.calls = walk.totals.calls;
        survey.estimates = walk.totals.estimates.into_list();
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

/// Returns the lengths of the lists that follow from the record alone.
fn items(steps: &[&Step], record: &serde_json::Map<String, Value>, index: usize) -> BTreeMap<Arc<str>, u64> {
    if steps.is_empty() {
        return BTreeMap::new();
    }
    let seen = Scope::new(record, index, minijinja::Value::UNDEFINED).value();
    let of_list = |step: &&Step| match &step.kind {
        StepKind::Items { list, .. } => match list.json(&seen).ok()? {
            Value::Array(items) => Some((step.path.clone(), items.len() as u64)),
            _ => None,
        },
        _ => None,
    };
    steps.iter().filter_map(of_list).collect()
}

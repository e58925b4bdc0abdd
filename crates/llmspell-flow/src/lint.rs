//! Lint rules: warnings about flows that can run, but probably contain a mistake. One rule per file.
//!
//! [`RULES`] lists the id and the explanation of each rule. Rules read the file and its checked steps. They must not
//! change either, and must not import `check`.

mod attempts_past_deadline;
mod changed_number;
mod constant_until;
mod constant_when;
mod decreasing_timeouts;
mod duplicate_contender;
mod duplicate_fallback;
mod many_items;
pub(crate) mod missing_field;
mod misspelled_key;
mod oversized_limit;
mod simulated_model;
mod unpriced_bound;
mod unreachable_fallback;
mod unsafe_retry;
mod unused_input;
mod unused_model;
mod unused_secret;
mod unused_step;
mod unused_tool;

use std::ops::Range;
use std::time::Duration;

use crate::ir::names::UsedNames;
use crate::ir::step::Step;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::{AgentDef, FlowFile, ModelDef, StepDef, every_step};
use crate::syntax::source::Source;

/// A lint rule. Its findings are warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The id of the rule, such as `unused-step`.
    pub id: &'static str,
    /// The problem that the rule finds, in one sentence.
    pub explanation: &'static str,
}

/// All rules, by id.
pub const RULES: [Rule; 20] = [
    attempts_past_deadline::RULE,
    changed_number::RULE,
    constant_until::RULE,
    constant_when::RULE,
    decreasing_timeouts::RULE,
    duplicate_contender::RULE,
    duplicate_fallback::RULE,
    many_items::RULE,
    missing_field::RULE,
    misspelled_key::RULE,
    oversized_limit::RULE,
    simulated_model::RULE,
    unpriced_bound::RULE,
    unreachable_fallback::RULE,
    unsafe_retry::RULE,
    unused_input::RULE,
    unused_model::RULE,
    unused_secret::RULE,
    unused_step::RULE,
    unused_tool::RULE,
];

/// Looks at a whole flow, and adds the warnings of one rule.
type Check = fn(&Subject<'_>, &mut Warnings<'_>);

/// Runs the rules that look at a whole flow, and adds their warnings to `found`.
pub(crate) fn check(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    // In this order: warnings at one position in the file keep it.
    let rules: [(Rule, Check); 17] = [
        (unreachable_fallback::RULE, unreachable_fallback::check),
        (duplicate_fallback::RULE, duplicate_fallback::check),
        (constant_when::RULE, constant_when::check),
        (constant_until::RULE, constant_until::check),
        (duplicate_contender::RULE, duplicate_contender::check),
        (oversized_limit::RULE, oversized_limit::check),
        (many_items::RULE, many_items::check),
        (decreasing_timeouts::RULE, decreasing_timeouts::check),
        (attempts_past_deadline::RULE, attempts_past_deadline::check),
        (unsafe_retry::RULE, unsafe_retry::check),
        (unused_step::RULE, unused_step::check),
        (misspelled_key::RULE, misspelled_key::check),
        (unused_input::RULE, unused_input::check),
        (unused_secret::RULE, unused_secret::check),
        (unused_model::RULE, unused_model::check),
        (unused_tool::RULE, unused_tool::check),
        (changed_number::RULE, changed_number::check),
    ];
    for (rule, check) in rules {
        check(subject, &mut Warnings { source: subject.source, rule, found });
    }
}

/// Runs the rules that look at one agent and its model, and adds their warnings to `found`.
pub(crate) fn check_agent(agent: &AgentSubject<'_>, found: &mut Vec<Diagnostic>) {
    unpriced_bound::check(agent, &mut Warnings { source: agent.source, rule: unpriced_bound::RULE, found });
    simulated_model::check(agent, &mut Warnings { source: agent.source, rule: simulated_model::RULE, found });
}

/// A flow as the rules see it.
pub(crate) struct Subject<'a> {
    pub(crate) file: &'a FlowFile,
    pub(crate) steps: &'a [Step],
    /// The names that templates use.
    pub(crate) used: &'a UsedNames,
    pub(crate) source: &'a Source,
}

impl<'a> Subject<'a> {
    /// Returns every step, including inner steps and fallbacks.
    fn steps(&self) -> impl Iterator<Item = &'a Step> + use<'a> {
        self.steps.iter().flat_map(Step::all)
    }

    /// Returns the definition of every step in the file.
    fn definitions(&self) -> Vec<&'a StepDef> {
        every_step(&self.file.steps.value)
    }

    /// Returns the timeouts of a step's attempts and their position. Returns `None` if they come from `defaults`, which
    /// are meant for most steps, not for each.
    fn own_timeouts(&self, step: &'a Step) -> Option<(&'a Range<usize>, Vec<Duration>)> {
        let timeout = step.modifiers.timeout.as_ref()?;
        let is_default = self.file.defaults.timeout.as_ref().is_some_and(|default| default.at == timeout.at);
        (!is_default).then(|| (&timeout.at, timeout.value.0.attempt.iter().map(|time| time.0).collect()))
    }
}

/// An agent and its model, as the rules see them while the agent is checked.
pub(crate) struct AgentSubject<'a> {
    pub(crate) agent: &'a AgentDef,
    /// The entry under `models`, if the model has one.
    pub(crate) settings: Option<&'a ModelDef>,
    /// The name of the opened model.
    pub(crate) model: &'a str,
    /// The position of the model's name, if the file names it.
    pub(crate) at: Option<&'a Range<usize>>,
    pub(crate) has_fallback: bool,
    pub(crate) source: &'a Source,
}

/// The warnings of one rule about one file.
struct Warnings<'a> {
    source: &'a Source,
    rule: Rule,
    found: &'a mut Vec<Diagnostic>,
}

impl Warnings<'_> {
    /// Adds a warning at a position in the file, with one action that resolves it.
    fn push<'b>(&mut self, at: impl Into<Option<&'b Range<usize>>>, message: String, hint: impl Into<String>) {
        let problem = self.source.diagnose(at.into().cloned(), message);
        self.found.push(problem.warning().with_rule(self.rule.id).with_hint(hint));
    }
}

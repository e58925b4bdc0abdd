//! Lints: flows that can run, but make no sense. One rule a file.
//!
//! Each rule has an id and an explanation, listed in [`RULES`]. Rules read the file and the steps made of it; they
//! change neither, and import nothing of `check`.

mod attempts_past_deadline;
mod changed_number;
mod constant_until;
mod constant_when;
mod decreasing_timeouts;
mod duplicate_contender;
mod duplicate_fallback;
mod many_items;
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
use crate::ir::step::Planned;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::{FlowFile, StepDef, every_step};
use crate::syntax::source::Source;

pub(crate) use simulated_model::simulated;
pub(crate) use unpriced_bound::unpriced;

/// A rule that flows are checked with: what it finds is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The name of the rule, such as `unused-step`.
    pub id: &'static str,
    /// What the rule finds, in one sentence.
    pub explanation: &'static str,
}

/// All rules, by id.
pub const RULES: [Rule; 19] = [
    attempts_past_deadline::RULE,
    changed_number::RULE,
    constant_until::RULE,
    constant_when::RULE,
    decreasing_timeouts::RULE,
    duplicate_contender::RULE,
    duplicate_fallback::RULE,
    many_items::RULE,
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

/// Runs the rules that look at a whole flow, and adds what they find to `found`.
pub(crate) fn check(subject: &Subject<'_>, found: &mut Vec<Diagnostic>) {
    let mut warnings = Warnings::new(subject.source, found);
    // In this order: warnings at one place in the file keep it.
    for rule in [
        unreachable_fallback::check,
        duplicate_fallback::check,
        constant_when::check,
        constant_until::check,
        duplicate_contender::check,
        oversized_limit::check,
        many_items::check,
        decreasing_timeouts::check,
        attempts_past_deadline::check,
        unsafe_retry::check,
        unused_step::check,
        misspelled_key::check,
        unused_input::check,
        unused_secret::check,
        unused_model::check,
        unused_tool::check,
        changed_number::check,
    ] {
        rule(subject, &mut warnings);
    }
}

/// A flow as the rules see it.
pub(crate) struct Subject<'a> {
    pub(crate) file: &'a FlowFile,
    pub(crate) steps: &'a [Planned],
    /// The names that templates use.
    pub(crate) used: &'a UsedNames,
    pub(crate) source: &'a Source,
}

impl<'a> Subject<'a> {
    /// Every step, fallbacks and those inside of others included.
    fn steps(&self) -> impl Iterator<Item = &'a Planned> + use<'a> {
        self.steps.iter().flat_map(Planned::all)
    }

    /// Every step as the file has it.
    fn definitions(&self) -> Vec<&'a StepDef> {
        every_step(&self.file.steps.value)
    }

    /// The timeouts of the attempts of a step, and where they stand, unless they come from `defaults`: those are meant
    /// for most steps, not for each.
    fn own_timeouts(&self, step: &'a Planned) -> Option<(&'a Range<usize>, Vec<Duration>)> {
        let timeout = step.modifiers.timeout.as_ref()?;
        let is_default = self.file.defaults.timeout.as_ref().is_some_and(|default| default.at == timeout.at);
        (!is_default).then(|| (&timeout.at, timeout.value.0.attempt.iter().map(|time| time.0).collect()))
    }
}

/// Warnings about one file.
pub(crate) struct Warnings<'a> {
    source: &'a Source,
    found: &'a mut Vec<Diagnostic>,
}

impl<'a> Warnings<'a> {
    pub(crate) fn new(source: &'a Source, found: &'a mut Vec<Diagnostic>) -> Self {
        Warnings { source, found }
    }

    /// Adds a warning at a place in the file, with one action that would end it.
    fn push<'b>(&mut self, at: impl Into<Option<&'b Range<usize>>>, message: String, hint: impl Into<String>) {
        let problem = self.source.diagnose(at.into().cloned(), message);
        self.found.push(problem.warning().with_hint(hint));
    }
}

//! Static properties of a step, known before it runs.

/// The static properties of a step, which the combinators around it use before it runs.
///
/// A combinator with one inner step returns the properties of that step. [`StepInfo::and`] combines those of
/// several steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo<'a> {
    /// The name of the step in races and events, if it has one.
    pub name: Option<&'a str>,
    /// The number of inputs that [`Step::stream`](crate::Step::stream) keeps in flight by default: 16.
    ///
    /// A pipeline asks for as many as keep its stages busy. An adaptive limit asks for one more than its
    /// maximum, up to 1025.
    pub default_in_flight: usize,
    /// The maximum number of concurrent calls, if the step is under a limit.
    pub limit: Option<usize>,
    /// Whether running it twice on one input does no harm; see [`Step::idempotent`](crate::Step::idempotent).
    pub idempotent: bool,
    /// Whether an inner adapter reports the start of a call to the meters: one that can delay or reject a call.
    pub(crate) reports_start: bool,
}

impl Default for StepInfo<'_> {
    /// Returns the properties of an unnamed step with 16 inputs in flight that is not idempotent.
    fn default() -> Self {
        StepInfo { name: None, default_in_flight: 16, limit: None, idempotent: false, reports_start: false }
    }
}

impl<'a> StepInfo<'a> {
    /// Returns a copy with a name.
    pub fn named(self, name: &'a str) -> Self {
        StepInfo { name: Some(name), ..self }
    }

    /// Returns a copy with another number of inputs in flight.
    pub fn in_flight(self, default_in_flight: usize) -> Self {
        StepInfo { default_in_flight, ..self }
    }

    /// Returns a copy under a limit of at most `calls` concurrent calls. The smallest of several limits counts.
    pub fn limited(self, calls: usize) -> Self {
        StepInfo { limit: Some(self.limit.map_or(calls, |inner| inner.min(calls))), ..self }
    }

    /// Returns a copy under a limit, if there is one.
    pub(crate) fn limited_if(self, calls: Option<usize>) -> Self {
        calls.map_or(self, |calls| self.limited(calls))
    }

    /// Returns a copy that is declared idempotent.
    pub fn idempotent(self) -> Self {
        StepInfo { idempotent: true, ..self }
    }

    /// Returns a copy that reports the start of a call.
    pub(crate) fn reporting_start(self) -> Self {
        StepInfo { reports_start: true, ..self }
    }

    /// Returns the properties of a step that runs both this step and `other`.
    ///
    /// Together they have no name and no limit, and the larger number of inputs in flight. They are idempotent
    /// if both are.
    pub fn and(self, other: StepInfo<'_>) -> Self {
        StepInfo {
            name: None,
            default_in_flight: self.default_in_flight.max(other.default_in_flight),
            limit: None,
            idempotent: self.idempotent && other.idempotent,
            reports_start: self.reports_start && other.reports_start,
        }
    }

    /// Returns the properties of a step that runs all of `steps`.
    pub(crate) fn all<'s>(steps: impl IntoIterator<Item = StepInfo<'s>>) -> Self {
        let together = steps.into_iter().reduce(|all, one| all.and(one)).unwrap_or_default();
        StepInfo { name: None, limit: None, ..together }
    }
}

//! What is known of a step before it runs.

/// What is known of a step before it runs: what the combinators around it go by.
///
/// A combinator with one step inside hands on what it says; several steps together are described by
/// [`StepInfo::and`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo<'a> {
    /// The name it goes by in races and events, if it has one.
    pub name: Option<&'a str>,
    /// How many inputs [`Step::stream`](crate::Step::stream) keeps in flight unless told otherwise: 16. A
    /// pipeline asks for as many as it takes to keep its stages busy, a limit that adapts for one more than it may
    /// ever let run, but for no more than 1025.
    pub default_in_flight: usize,
    /// How many calls of it run at once at the most, if it is under a limit.
    pub limit: Option<usize>,
    /// Whether running it twice on one input does no harm; see [`Step::idempotent`](crate::Step::idempotent).
    pub idempotent: bool,
    /// Whether something in it says when a call has begun: a modifier that may hold a call
    /// up or refuse it.
    pub(crate) reports_start: bool,
}

impl Default for StepInfo<'_> {
    /// A step without a name, 16 of which are kept in flight, and of which nothing is known that would allow
    /// running it twice.
    fn default() -> Self {
        StepInfo { name: None, default_in_flight: 16, limit: None, idempotent: false, reports_start: false }
    }
}

impl<'a> StepInfo<'a> {
    /// The same with a name.
    pub fn named(self, name: &'a str) -> Self {
        StepInfo { name: Some(name), ..self }
    }

    /// The same with another number of inputs in flight.
    pub fn in_flight(self, default_in_flight: usize) -> Self {
        StepInfo { default_in_flight, ..self }
    }

    /// The same under a limit of so many calls at once; the smaller one counts if there are several.
    pub fn limited(self, calls: usize) -> Self {
        StepInfo { limit: Some(self.limit.map_or(calls, |inner| inner.min(calls))), ..self }
    }

    /// The same under a limit, if there is one.
    pub(crate) fn limited_if(self, calls: Option<usize>) -> Self {
        calls.map_or(self, |calls| self.limited(calls))
    }

    /// The same, and running it twice does no harm.
    pub fn idempotent(self) -> Self {
        StepInfo { idempotent: true, ..self }
    }

    /// The same, and it says when a call has begun.
    pub(crate) fn begins(self) -> Self {
        StepInfo { reports_start: true, ..self }
    }

    /// A step that runs this one and the other: it has no name and no limit as a whole, keeps the larger
    /// number of inputs in flight, and may be run twice if both may.
    pub fn and(self, other: StepInfo<'_>) -> Self {
        StepInfo {
            name: None,
            default_in_flight: self.default_in_flight.max(other.default_in_flight),
            limit: None,
            idempotent: self.idempotent && other.idempotent,
            reports_start: self.reports_start && other.reports_start,
        }
    }

    /// A step that runs all of `steps`.
    pub(crate) fn all<'s>(steps: impl IntoIterator<Item = StepInfo<'s>>) -> Self {
        let together = steps.into_iter().reduce(|all, one| all.and(one)).unwrap_or_default();
        StepInfo { name: None, limit: None, ..together }
    }
}

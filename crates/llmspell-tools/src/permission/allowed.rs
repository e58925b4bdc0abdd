//! Any value, or some.

use std::fmt::Display;
use std::sync::Arc;

/// What is allowed of one kind.
#[derive(Clone, Debug)]
pub(super) struct Allowed<T> {
    any: bool,
    some: Arc<[T]>,
}

/// A value that can be allowed.
pub(super) trait Rule: Clone + Display {
    /// What this grant allows of what is asked for.
    fn narrowed(&self, asked: &Self) -> Option<Self>;

    /// What a grant of any value allows of this.
    fn of_any(&self) -> Self {
        self.clone()
    }
}

impl<T> Default for Allowed<T> {
    fn default() -> Self {
        Allowed { any: false, some: Arc::from([]) }
    }
}

impl<T: Rule> Allowed<T> {
    pub(super) fn any() -> Self {
        Allowed { any: true, ..Allowed::default() }
    }

    pub(super) fn with_any(self) -> Self {
        Allowed { any: true, ..self }
    }

    pub(super) fn with(self, value: T) -> Self {
        Allowed { some: self.some.iter().cloned().chain([value]).collect(), ..self }
    }

    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any && self.some.is_empty()
    }

    pub(super) fn allows(&self, is: impl Fn(&T) -> bool) -> bool {
        self.any || self.names(is)
    }

    /// Whether one of the values that are named is it.
    pub(super) fn names(&self, is: impl Fn(&T) -> bool) -> bool {
        self.some.iter().any(is)
    }

    pub(super) fn within(&self, asked: &Self) -> Self {
        if asked.any {
            return self.clone();
        }
        let of_any = asked.some.iter().filter(|_| self.any).map(T::of_any);
        let pairs = self.some.iter().flat_map(|own| asked.some.iter().filter_map(|asked| own.narrowed(asked)));
        Allowed { any: false, some: of_any.chain(pairs).collect() }
    }

    /// The values; `None` is any.
    pub(super) fn listed(&self) -> Vec<Option<String>> {
        let some = self.some.iter().map(|value| Some(value.to_string()));
        self.any.then_some(None).into_iter().chain(some).collect()
    }

    /// What is asked for and not granted, not even in part. Whoever asks for any value does with what there is.
    pub(super) fn ungranted(&self, asked: &Self) -> Vec<Option<String>> {
        let any = (asked.any && self.is_empty()).then_some(None);
        let granted = |value: &T| self.any || self.some.iter().any(|own| own.narrowed(value).is_some());
        let some = asked.some.iter().filter(|value| !granted(value)).map(|value| Some(value.to_string()));
        any.into_iter().chain(some.filter(|_| !asked.any)).collect()
    }
}

/// The name of a tool.
impl Rule for String {
    fn narrowed(&self, asked: &Self) -> Option<Self> {
        (self == asked).then(|| self.clone())
    }
}

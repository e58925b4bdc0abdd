//! The allowed values of one kind: any value, or a list.

use std::fmt::Display;
use std::sync::Arc;

/// The allowed values of one kind of permission.
#[derive(Clone, Debug)]
pub(super) struct AllowList<T> {
    any: bool,
    some: Arc<[T]>,
}

/// A value that can be allowed.
pub(super) trait Rule: Clone + Display {
    /// Returns the part of a request that this grant allows.
    fn narrowed(&self, asked: &Self) -> Option<Self>;

    /// Returns the part of this request that a grant of any value allows.
    fn of_any(&self) -> Self {
        self.clone()
    }
}

impl<T> Default for AllowList<T> {
    fn default() -> Self {
        AllowList { any: false, some: Arc::from([]) }
    }
}

impl<T: Rule> AllowList<T> {
    pub(super) fn any() -> Self {
        AllowList { any: true, ..AllowList::default() }
    }

    pub(super) fn with_any(self) -> Self {
        AllowList { any: true, ..self }
    }

    pub(super) fn with(self, value: T) -> Self {
        AllowList { some: self.some.iter().cloned().chain([value]).collect(), ..self }
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

    /// Returns whether a listed value matches.
    pub(super) fn names(&self, is: impl Fn(&T) -> bool) -> bool {
        self.some.iter().any(is)
    }

    pub(super) fn within(&self, asked: &Self) -> Self {
        if asked.any {
            return self.clone();
        }
        let of_any = asked.some.iter().filter(|_| self.any).map(T::of_any);
        let pairs = self.some.iter().flat_map(|own| asked.some.iter().filter_map(|asked| own.narrowed(asked)));
        AllowList { any: false, some: of_any.chain(pairs).collect() }
    }

    /// Returns the values; `None` stands for any.
    pub(super) fn listed(&self) -> Vec<Option<String>> {
        let some = self.some.iter().map(|value| Some(value.to_string()));
        self.any.then_some(None).into_iter().chain(some).collect()
    }

    /// Returns the requests that are not granted even in part. A request for any value is content with whatever is
    /// granted.
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

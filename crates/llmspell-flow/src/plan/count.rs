//! Upper bounds on calls, symbolic in the lengths of unknown lists: `3 + 2 × items of inputs.urls`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// An upper bound on a number of calls: a number, plus a number for each item of each list of unknown length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count(BTreeMap<Vec<List>, u64>);

/// A list of unknown length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct List {
    /// The path of the step that processes it.
    pub(super) path: Arc<str>,
    /// The expression of the list.
    pub(super) text: Arc<str>,
}

impl Count {
    /// Adds a number for each item of these nested lists.
    pub(super) fn add(&mut self, lists: &[List], number: u64) {
        match self.0.get_mut(lists) {
            Some(sum) => *sum = sum.saturating_add(number),
            None if number > 0 => drop(self.0.insert(lists.to_vec(), number)),
            None => {}
        }
    }

    /// Returns the number if it does not depend on a list of unknown length.
    pub fn fixed(&self) -> Option<u64> {
        self.0.keys().all(Vec::is_empty).then(|| self.0.values().sum())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        for (index, (lists, number)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" + ")?;
            }
            number.fmt(f)?;
            lists.iter().try_for_each(|list| write!(f, " × items of `{}`", list.text))?;
        }
        Ok(())
    }
}

/// Serializes a known number as a number, and any other as text.
impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.fixed() {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_without_lists_are_numbers() {
        let list = [List { path: Arc::from("pages"), text: Arc::from("inputs.urls") }];
        let mut count = Count::default();
        assert_eq!((count.to_string().as_str(), count.fixed()), ("0", Some(0)));
        count.add(&[], 4);
        assert_eq!((count.to_string().as_str(), count.fixed()), ("4", Some(4)));
        count.add(&list, 0);
        assert_eq!(count.fixed(), Some(4));
        count.add(&list, 6);
        assert_eq!((count.to_string().as_str(), count.fixed()), ("4 + 6 × items of `inputs.urls`", None));
        count.add(&[], u64::MAX);
        count.add(&list, 1);
        assert_eq!(count.to_string(), format!("{} + 7 × items of `inputs.urls`", u64::MAX));
    }
}

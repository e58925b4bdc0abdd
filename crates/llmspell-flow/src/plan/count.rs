//! Numbers of calls, as far as they can be known: `3 + 2 × items of inputs.urls`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// How often something happens at most: a number, and for each list whose length is not known a number for each of its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count(BTreeMap<Vec<List>, u64>);

/// A list of which nobody knows how long it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct List {
    /// The step that goes through it.
    pub(super) path: Arc<str>,
    /// The expression that gives it.
    pub(super) text: Arc<str>,
}

impl Count {
    /// Adds a number, for each item of these lists.
    pub(super) fn add(&mut self, lists: &[List], number: u64) {
        match self.0.get_mut(lists) {
            Some(sum) => *sum = sum.saturating_add(number),
            None if number > 0 => drop(self.0.insert(lists.to_vec(), number)),
            None => {}
        }
    }

    /// The number, if no list has to be known for it.
    pub fn fixed(&self) -> Option<u64> {
        self.0.keys().all(Vec::is_empty).then(|| self.0.values().sum())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        for (place, (lists, number)) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" + ")?;
            }
            number.fmt(f)?;
            lists.iter().try_for_each(|list| write!(f, " × items of `{}`", list.text))?;
        }
        Ok(())
    }
}

/// A number if it is known, and otherwise a text.
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
    fn counts_are_numbers_where_no_list_has_to_be_known() {
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

//! Numbers of calls, as far as they can be known: `3 + 2 × items of inputs.urls`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// How often something happens at most: a number, and for each list that it goes through a number of times its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count(BTreeMap<Vec<List>, u64>);

/// A list whose length is known when the record is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct List {
    /// The step that goes through it.
    path: Arc<str>,
    /// The expression that gives it.
    text: Arc<str>,
}

impl Count {
    pub(super) fn of(number: u64) -> Self {
        Count([(Vec::new(), number)].into())
    }

    pub(super) fn times(&self, factor: u64) -> Self {
        Count(self.0.iter().map(|(lists, number)| (lists.clone(), number.saturating_mul(factor))).collect())
    }

    pub(super) fn for_items(&self, path: &Arc<str>, text: &str) -> Self {
        let list = List { path: path.clone(), text: Arc::from(text) };
        let of_items = |(lists, number): (&Vec<List>, &u64)| {
            let mut lists = lists.clone();
            lists.push(list.clone());
            (lists, *number)
        };
        Count(self.0.iter().map(of_items).collect())
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Count) {
        for (lists, number) in &other.0 {
            let sum = self.0.entry(lists.clone()).or_default();
            *sum = sum.saturating_add(*number);
        }
    }

    /// The number, if no list has to be known for it.
    pub fn fixed(&self) -> Option<u64> {
        self.0.keys().all(Vec::is_empty).then(|| self.0.values().sum())
    }

    /// The same, knowing how many items some lists have, by the paths of the steps that go through them.
    pub fn knowing(&self, items: &BTreeMap<Arc<str>, u64>) -> Self {
        let mut known = Count::default();
        for (lists, number) in &self.0 {
            let factor = lists.iter().filter_map(|list| items.get(&list.path));
            let number = factor.fold(*number, |all, items| all.saturating_mul(*items));
            let lists: Vec<List> = lists.iter().filter(|list| !items.contains_key(&list.path)).cloned().collect();
            if number > 0 {
                let sum = known.0.entry(lists).or_default();
                *sum = sum.saturating_add(number);
            }
        }
        known
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
    fn counts_become_numbers_once_the_lists_are_known() {
        let path: Arc<str> = Arc::from("pages");
        let mut count = Count::of(2).for_items(&path, "inputs.urls").times(3);
        count.add(&Count::of(4));
        assert_eq!((count.to_string().as_str(), count.fixed()), ("4 + 6 × items of `inputs.urls`", None));
        let known = count.knowing(&[(path, 10)].into());
        assert_eq!((known.to_string().as_str(), known.fixed()), ("64", Some(64)));
        assert_eq!(Count::of(u64::MAX).times(3).fixed(), Some(u64::MAX));
        assert_eq!(Count::default().to_string(), "0");
    }
}

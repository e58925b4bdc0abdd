//! Numbers for the paths of steps.

use std::collections::HashMap;

use crate::path::Path;

/// Addresses beyond this many are not remembered: paths that are allocated anew for each call must not fill the memory.
const MAX_ADDRESSES: usize = 64;

/// Assigns each path a number, from 0, in the order in which the paths are first seen.
#[derive(Debug, Default)]
pub(super) struct StepNumbers {
    numbers: HashMap<Path, usize>,
    /// The paths seen lately, found by address: equal paths nearly always share one allocation, and comparing addresses
    /// costs less than hashing text. Each path is kept, so no other path can be allocated at its address.
    addresses: Vec<(Path, usize)>,
}

impl StepNumbers {
    pub(super) fn find(&mut self, path: &Path) -> Option<usize> {
        if let Some((_, number)) = self.addresses.iter().find(|(known, _)| known.is_same(path)) {
            return Some(*number);
        }
        let number = *self.numbers.get(path)?;
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push((path.clone(), number));
        }
        Some(number)
    }

    pub(super) fn find_or_add(&mut self, path: &Path) -> usize {
        self.find(path).unwrap_or_else(|| {
            let number = self.numbers.len();
            self.numbers.insert(path.clone(), number);
            number
        })
    }
}

//! The set of journal rows that have been matched with a record: one bit each.

/// Grows on demand; a million rows take 125 KB.
#[derive(Debug, Default)]
pub(super) struct ClaimedRows {
    bits: Vec<u64>,
}

impl ClaimedRows {
    pub(super) fn has(&self, id: u64) -> bool {
        self.bits.get((id / 64) as usize).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// Marks a row as matched; a row serves only one record.
    pub(super) fn claim(&mut self, id: u64) {
        let word = (id / 64) as usize;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (id % 64);
    }
}

//! A writer with a bound on its bytes.

use std::io;

pub(super) struct BoundedWriter {
    pub(super) bytes: Vec<u8>,
    limit: usize,
    /// Whether a write failed because of the limit.
    pub(super) is_full: bool,
}

impl BoundedWriter {
    pub(super) fn new(limit: usize) -> Self {
        BoundedWriter { bytes: Vec::new(), limit, is_full: false }
    }
}

impl io::Write for &mut BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_full = true;
            return Err(io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! How the numbers of calls are spread over a map.

use std::hash::Hasher;

/// A hash of the numbers of calls, which come one after another and from nobody who means harm: a product
/// spreads them well enough (Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio; high bits tell as much as low ones.
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product.rotate_left(32);
    }
}

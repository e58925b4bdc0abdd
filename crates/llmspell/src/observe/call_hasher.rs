//! A hasher for call numbers.

use std::hash::Hasher;

/// Hashes call numbers with one multiplication (Knuth, The Art of Computer Programming 3, 6.4).
///
/// The recorder assigns the numbers one after another, so no input can make them collide, and a keyed hash would only
/// cost time.
#[derive(Default)]
pub(crate) struct CallHasher(u64);

impl Hasher for CallHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio. The rotation lets the low bits depend on the number as much as the high ones.
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product.rotate_left(32);
    }
}

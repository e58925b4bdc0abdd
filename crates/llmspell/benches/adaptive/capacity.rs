//! The capacity of a server over time.

use std::time::Duration;

use fastrand::Rng;

#[derive(Clone, Copy)]
pub enum Capacity {
    /// Always this many calls.
    Constant(usize),
    /// One number after another, each for `secs` seconds, and again from the first.
    Steps { numbers: &'static [usize], secs: u64 },
    /// Every `secs` seconds another number, `middle` plus or minus `spread`.
    Jitters { middle: usize, spread: usize, secs: u64 },
}

impl Capacity {
    pub fn at(&self, time: Duration) -> usize {
        match *self {
            Capacity::Constant(number) => number,
            Capacity::Steps { numbers, secs } => numbers[(time.as_secs() / secs) as usize % numbers.len()],
            Capacity::Jitters { middle, spread, secs } => {
                Rng::with_seed(time.as_secs() / secs).usize(middle - spread..=middle + spread)
            }
        }
    }

    /// Returns the mean over `time`.
    pub fn mean(&self, from: Duration, time: Duration) -> f64 {
        let seconds = from.as_secs()..(from + time).as_secs();
        seconds.map(|second| self.at(Duration::from_secs(second)) as f64).sum::<f64>() / time.as_secs_f64()
    }
}

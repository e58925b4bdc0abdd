//! What is usual, learned from what was.

/// A moving average that gives each sample an eighth of the weight, as TCP does to learn round-trip times
/// (Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Average(Option<f64>);

const WEIGHT: f64 = 0.125;

impl Average {
    pub(crate) fn learn(&mut self, sample: f64) {
        self.0 = Some(self.0.map_or(sample, |average| average + WEIGHT * (sample - average)));
    }

    /// `None` before the first sample.
    pub(crate) fn value(self) -> Option<f64> {
        self.0
    }

    /// The average as a whole number, rounded up.
    pub(crate) fn whole(self) -> Option<u64> {
        self.0.map(|average| average.ceil() as u64)
    }
}

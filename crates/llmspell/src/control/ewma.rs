//! The usual value of something, learned from samples.

/// An exponentially weighted moving average. Each sample has a weight of an eighth, as in TCP's estimate of round-trip
/// times (Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ewma(Option<f64>);

const WEIGHT: f64 = 0.125;

impl Ewma {
    pub(crate) fn add(&mut self, sample: f64) {
        self.0 = Some(self.0.map_or(sample, |average| average + WEIGHT * (sample - average)));
    }

    /// Returns the average; `None` before the first sample.
    pub(crate) fn value(self) -> Option<f64> {
        self.0
    }

    /// Returns the average as a whole number, rounded up.
    pub(crate) fn rounded_up(self) -> Option<u64> {
        self.0.map(|average| average.ceil() as u64)
    }
}

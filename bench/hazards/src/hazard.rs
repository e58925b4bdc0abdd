//! A hazard: two ways to do the same thing, and one figure that tells them apart.

use std::pin::Pin;

/// One way to do the work, and the figure that came of it.
pub type Measure = fn() -> Pin<Box<dyn Future<Output = f64>>>;

pub struct Hazard {
    /// The name of its file.
    pub name: &'static str,
    /// A description of the figure.
    pub measured: &'static str,
    pub unit: &'static str,
    /// The bound that LLMSpell keeps.
    pub guarantee: Guarantee,
    pub clock: Clock,
    /// As it is commonly written.
    pub by_hand: Measure,
    pub llmspell: Measure,
}

#[derive(Clone, Copy)]
pub enum Guarantee {
    AtMost(f64),
    AtLeast(f64),
}

impl Guarantee {
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Guarantee::AtMost(bound) => figure <= bound,
            Guarantee::AtLeast(bound) => figure >= bound,
        }
    }

    /// The better one of two figures.
    pub fn better(self, one: f64, other: f64) -> f64 {
        match self {
            Guarantee::AtMost(_) => one.min(other),
            Guarantee::AtLeast(_) => one.max(other),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Clock {
    Real,
    /// One that leaps from timer to timer, where only times are compared; on one thread.
    Paused,
}

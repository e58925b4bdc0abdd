//! The section of one pattern: its text and its checked claims.

use std::time::Duration;

use llmspell::Context;
use serde::Serialize;

use crate::lag;
use crate::timeline::Timeline;

/// One pattern: what was run, how it went, and whether what it promises was kept.
#[derive(Serialize)]
pub struct Section {
    pub pattern: &'static str,
    pub title: &'static str,
    pub runs: Vec<Run>,
    pub claims: Vec<CheckedClaim>,
}

/// One run of tools: its time, its timeline, and a remark.
#[derive(Serialize)]
pub struct Run {
    pub what: String,
    pub took_ms: f64,
    pub remark: String,
    pub timeline: Timeline,
}

/// A promise and whether it was kept.
#[derive(Serialize)]
pub struct CheckedClaim {
    pub text: String,
    pub holds: bool,
}

impl Section {
    pub fn new(pattern: &'static str, title: &'static str) -> Self {
        Section { pattern, title, runs: Vec::new(), claims: Vec::new() }
    }

    /// Adds a run whose calls were recorded in `cx`; gives its time.
    pub fn add(&mut self, what: impl Into<String>, cx: &Context, remark: impl Into<String>) -> Duration {
        let took = cx.report().wall;
        let timeline = Timeline::of(&cx.events());
        self.runs.push(Run { what: what.into(), took_ms: ms(took), remark: remark.into(), timeline });
        took
    }

    pub fn claim(&mut self, holds: bool, text: impl Into<String>) {
        self.claims.push(CheckedClaim { text: text.into(), holds });
    }

    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }
}

/// Milliseconds, to a tenth.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// Returns whether `measured` is `expected`, or at most 15 % more. The longest delay of the machine is not counted: timers
/// never fire early, but they may be late.
pub fn close_to(measured: Duration, expected: Duration) -> bool {
    measured >= expected && measured.saturating_sub(lag::longest()) <= expected.mul_f64(1.15)
}

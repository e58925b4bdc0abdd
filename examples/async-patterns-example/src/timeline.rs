//! Calls as bars on one clock, from the events of a recording.

use std::time::Duration;

use llmspell::observe::{Event, EventKind};
use serde::Serialize;

use crate::section::ms;

/// The calls of a run in the order in which they began.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Timeline {
    pub bars: Vec<Bar>,
}

/// One call of a tool.
#[derive(Serialize)]
pub struct Bar {
    pub label: String,
    pub start_ms: f64,
    /// When it had its permit; the time before it was spent in line.
    pub work_ms: f64,
    pub end_ms: f64,
    pub end: End,
    #[serde(skip)]
    call: u64,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Finished,
    Failed,
    Cancelled,
}

impl Timeline {
    pub fn of(events: &[Event]) -> Self {
        let origin = events.first().map_or(Duration::ZERO, |event| event.at);
        // The stages of a pipeline are drawn as such; elsewhere, the calls inside of which there are no others.
        let is_stage = |event: &Event| matches!(event.fact, EventKind::PipelineStage { .. });
        let staged = events.iter().any(is_stage);
        let is_drawn = |call| match staged {
            true => events.iter().any(|event| event.call == call && is_stage(event)),
            false => !events.iter().any(|event| event.parent == call && event.call != call),
        };
        let mut bars: Vec<Bar> = Vec::new();
        for event in events {
            let at = ms(event.at - origin);
            if event.fact == EventKind::Started && is_drawn(event.call) {
                let path = event.path.to_string();
                let name = path.rsplit('.').next().unwrap_or_default();
                let label = event.item.map_or(name.to_owned(), |item| format!("{name} {}", item + 1));
                let bar = Bar { label, start_ms: at, work_ms: at, end_ms: at, end: End::Cancelled, call: event.call };
                bars.push(bar);
            }
            let Some(bar) = bars.iter_mut().find(|bar| bar.call == event.call) else { continue };
            match event.fact {
                EventKind::Admitted { .. } => bar.work_ms = at,
                EventKind::Finished { .. } => (bar.end_ms, bar.end) = (at, End::Finished),
                EventKind::Failed { .. } => (bar.end_ms, bar.end) = (at, End::Failed),
                EventKind::Cancelled { .. } => (bar.end_ms, bar.end) = (at, End::Cancelled),
                _ => {}
            }
        }
        Timeline { bars }
    }

    pub fn end_ms(&self) -> f64 {
        self.bars.iter().map(|bar| bar.end_ms).fold(0.0, f64::max)
    }
}

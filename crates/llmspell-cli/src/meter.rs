//! How far a run is, on standard error.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmspell_flow::Snapshot;
use tokio::time::Instant;

use crate::args::Progress;
use crate::show;

/// Draws snapshots: a bar on a terminal, a line every few seconds elsewhere.
pub(crate) struct Meter {
    face: Face,
    name: String,
    size: Option<u64>,
    rate: Rate,
}

enum Face {
    Bar(ProgressBar),
    Plain { last: Instant },
    None,
}

/// How often a bar is drawn, and how often a line is written.
pub(crate) const TICK: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(3);

impl Meter {
    pub(crate) fn new(how: Progress, name: &str, size: Option<u64>) -> Self {
        let face = match how {
            Progress::None => Face::None,
            Progress::Auto if std::io::stderr().is_terminal() => Face::Bar(draw(size)),
            Progress::Auto | Progress::Plain => Face::Plain { last: Instant::now() },
        };
        Meter { face, name: name.to_owned(), size, rate: Rate::default() }
    }

    pub(crate) fn draw(&mut self, now: Snapshot) {
        let rate = self.rate.of(now.done());
        match &mut self.face {
            Face::None => {}
            Face::Bar(bar) => {
                bar.set_message(words(&now, rate));
                match self.size {
                    Some(_) => bar.set_position(now.bytes_done),
                    None => bar.tick(),
                }
            }
            Face::Plain { last } => {
                if last.elapsed() >= LINE {
                    *last = Instant::now();
                    let share = self.size.filter(|size| *size > 0).map(|size| 100 * now.bytes_done / size);
                    let share = share.map_or(String::new(), |share| format!(", {share} %"));
                    show::note(&format!("{}: {}{share}", self.name, words(&now, rate)));
                }
            }
        }
    }

    /// Says something without disturbing the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.face {
            Face::Bar(bar) => bar.suspend(|| show::note(text)),
            _ => show::note(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Face::Bar(bar) = &self.face {
            bar.finish_and_clear();
        }
    }
}

/// The bar shows how much of the input is done; without a size it only shows that there is life.
fn draw(size: Option<u64>) -> ProgressBar {
    let template = match size {
        Some(_) => "{bar:16} {percent:>3} %  {wide_msg}",
        None => "{spinner} {wide_msg}",
    };
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("━╸─")),
        Err(_) => bar,
    }
}

/// `1,204 done, 3 failed, 48 in flight (2 retrying), 612/s`.
fn words(now: &Snapshot, rate: f64) -> String {
    let mut words = format!("{} done", show::count(now.done()));
    if now.failed > 0 {
        words = format!("{words}, {} failed", show::count(now.failed));
    }
    words = format!("{words}, {} in flight", show::count(now.in_flight as u64));
    if now.retrying > 0 {
        words = format!("{words} ({} retrying)", show::count(now.retrying as u64));
    }
    format!("{words}, {}", per_second(rate))
}

/// `612/s`, `2.5/s`.
pub(crate) fn per_second(rate: f64) -> String {
    if rate >= 9.95 { format!("{}/s", show::count(rate.round() as u64)) } else { format!("{rate:.1}/s") }
}

/// Records a second over the last few seconds.
#[derive(Default)]
struct Rate(VecDeque<(Instant, u64)>);

const WINDOW: Duration = Duration::from_secs(5);

impl Rate {
    fn of(&mut self, done: u64) -> f64 {
        let now = Instant::now();
        self.0.push_back((now, done));
        while self.0.len() > 2 && self.0.front().is_some_and(|(then, _)| now - *then > WINDOW) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some((then, before)) if now > *then => (done - before) as f64 / (now - *then).as_secs_f64(),
            _ => 0.0,
        }
    }
}

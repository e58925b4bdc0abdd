//! The figures, for people and for machines.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::hazard::{Guarantee, Hazard};

/// Both figures of one hazard.
#[derive(Serialize)]
pub struct Row {
    hazard: &'static str,
    measured: &'static str,
    unit: &'static str,
    by_hand: f64,
    llmspell: f64,
    #[serde(flatten)]
    guarantee: Bound,
    /// Whether the figure of LLMSpell is within its guarantee.
    pub holds: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub fn new(hazard: &Hazard, by_hand: f64, llmspell: f64) -> Self {
        let guarantee = match hazard.guarantee {
            Guarantee::AtMost(bound) => Bound::AtMost(bound),
            Guarantee::AtLeast(bound) => Bound::AtLeast(bound),
        };
        let holds = hazard.guarantee.holds(llmspell);
        Row { hazard: hazard.name, measured: hazard.measured, unit: hazard.unit, by_hand, llmspell, guarantee, holds }
    }
}

/// Widths that are known before the first figure is, so that rows can be shown as they come.
pub struct Table {
    name: usize,
    measured: usize,
}

const FIGURE: usize = 12;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

impl Table {
    pub fn new<'a>(hazards: impl Iterator<Item = &'a Hazard> + Clone) -> Self {
        let width = |text: fn(&Hazard) -> &str| hazards.clone().map(|hazard| text(hazard).len()).max().unwrap_or(0);
        Table { name: width(|hazard| hazard.name), measured: width(|hazard| hazard.measured) }
    }

    pub fn head(&self) -> io::Result<()> {
        let (name, measured) = (self.name, self.measured);
        let head = ["hand-written", "LLMSpell", "guarantee"].map(|title| format!("{title:>FIGURE$}")).join("  ");
        writeln!(anstream::stdout(), "{:<name$}  {:<measured$}  {head}", "hazard", "what is measured")
    }

    pub fn row(&self, hazard: &Hazard, row: &Row) -> io::Result<()> {
        let (name, measured) = (self.name, self.measured);
        let figure = |value: f64| format!("{:>FIGURE$}", format!("{} {}", short(value), hazard.unit));
        let judged = |value: f64| if hazard.guarantee.holds(value) { GOOD } else { BAD };
        let (by_hand, llmspell) = (judged(row.by_hand), judged(row.llmspell));
        let guarantee = match hazard.guarantee {
            Guarantee::AtMost(bound) => format!("≤ {} {}", short(bound), hazard.unit),
            Guarantee::AtLeast(bound) => format!("≥ {} {}", short(bound), hazard.unit),
        };
        writeln!(
            anstream::stdout(),
            "{:<name$}  {:<measured$}  {by_hand}{}{by_hand:#}  {llmspell}{}{llmspell:#}  {guarantee:>FIGURE$}",
            hazard.name,
            hazard.measured,
            figure(row.by_hand),
            figure(row.llmspell),
        )
    }
}

/// Whole numbers as such, small ones with one more digit.
fn short(value: f64) -> String {
    let digits = usize::from(value < 9.95 && (value - value.round()).abs() >= 0.05);
    format!("{value:.digits$}")
}

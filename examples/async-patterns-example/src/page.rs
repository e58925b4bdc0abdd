//! The page on the terminal: sections with bars, or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::section::{Run, Section};
use crate::timeline::{Bar, End};

/// How wide the bars may be.
const WIDTH: f64 = 44.0;

pub struct Page {
    json: bool,
    colour: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    ok: bool,
    sections: &'a [Section],
}

#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Amber,
}

impl Page {
    pub fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Page { json, colour: io::stdout().is_terminal() && !no_colour }
    }

    pub fn open(&self) {
        if !self.json {
            let legend = "█ at work  ░ waiting  ✕ cancelled  ! failed";
            self.print(&format!("\n{}   {}\n", self.ink(Ink::Bold, "Five async patterns"), self.ink(Ink::Dim, legend)));
        }
    }

    /// Shows a section as soon as it is there, and hands it on.
    pub fn show(&self, section: Section) -> Section {
        if !self.json {
            let title = format!("{:<10}  {}", section.pattern, section.title);
            self.print(&format!("\n{}\n", self.ink(Ink::Bold, &title)));
            for run in &section.runs {
                self.show_run(run);
            }
            for claim in &section.claims {
                let mark = if claim.holds { self.ink(Ink::Green, "✓") } else { self.ink(Ink::Red, "✗") };
                self.print(&format!("  {mark} {}\n", claim.text));
            }
        }
        section
    }

    /// Ends the page; says whether every claim holds.
    pub fn close(&self, sections: &[Section]) -> llmspell::Result<bool> {
        let (mut kept, mut broken) = (0, 0);
        for claim in sections.iter().flat_map(|section| &section.claims) {
            if claim.holds { kept += 1 } else { broken += 1 }
        }
        if self.json {
            let page = serde_json::to_string_pretty(&Json { ok: broken == 0, sections })?;
            self.print(&format!("{page}\n"));
        } else if broken == 0 {
            self.print(&format!("\n{}\n", self.ink(Ink::Green, &format!("All {kept} claims hold."))));
        } else {
            for section in sections.iter().filter(|section| !section.holds()) {
                self.print(&format!("\n{}", self.ink(Ink::Red, &format!("{} does not hold.", section.pattern))));
            }
            self.print(&format!(
                "\n{}\n",
                self.ink(Ink::Red, &format!("{broken} of {} claims do not hold.", kept + broken))
            ));
        }
        Ok(broken == 0)
    }

    fn show_run(&self, run: &Run) {
        let time = format!("{:>7.0} ms", run.took_ms);
        self.print(&format!("  {:<34}{}  {}\n", run.what, self.ink(Ink::Bold, &time), self.ink(Ink::Dim, &run.remark)));
        let bars = &run.timeline.bars;
        let label_width = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let scale = WIDTH / run.timeline.end_ms().max(1.0);
        for bar in bars {
            let label = format!("{:<label_width$}", bar.label);
            self.print(&format!("    {} {}\n", self.ink(Ink::Dim, &label), self.bar(bar, scale)));
        }
    }

    fn bar(&self, bar: &Bar, scale: f64) -> String {
        let column = |ms: f64| (ms * scale).round() as usize;
        let (start, work, end) = (column(bar.start_ms), column(bar.work_ms), column(bar.end_ms));
        let indent = " ".repeat(start);
        let waiting = self.ink(Ink::Dim, &"░".repeat(work - start));
        let length = end.saturating_sub(work).max(1);
        let body = match bar.end {
            End::Finished => self.ink(Ink::Green, &"█".repeat(length)),
            End::Failed => self.ink(Ink::Red, &format!("{}!", "█".repeat(length))),
            End::Cancelled => self.ink(Ink::Amber, &format!("{}✕", "█".repeat(length))),
        };
        let time = self.ink(Ink::Dim, &format!("{:.0} ms", bar.end_ms - bar.work_ms));
        format!("{indent}{waiting}{body} {time}")
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Red => 31,
            Ink::Green => 32,
            Ink::Amber => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Prints unless the consumer is gone: a page cut short by `head` is not an error.
    fn print(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

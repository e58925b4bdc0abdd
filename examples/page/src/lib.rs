//! How the examples show themselves: sections of text, quotes of what the library printed, and claims that were
//! checked. `--json` prints the same for machines; `NO_COLOR` and pipes turn colours off.

mod section;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

pub use section::{Item, Section};
use serde::Serialize;

/// A page that is being shown.
pub struct Page {
    json: bool,
    colour: bool,
    sections: Vec<Section>,
}

#[derive(Serialize)]
struct Json<'a> {
    ok: bool,
    sections: &'a [Section],
}

#[derive(Clone, Copy)]
enum Ink {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
}

impl Page {
    /// Begins a page as the command line wants it; `Err` if it wants something else, which has been said.
    pub fn open(title: &str, arguments: &[String]) -> Result<Self, ExitCode> {
        let json = match arguments {
            [] => false,
            [only] if only == "--json" => true,
            [first, ..] if first == "--help" || first == "-h" => {
                println!("{title}\n\nUsage: cargo run [-- --json]");
                return Err(ExitCode::SUCCESS);
            }
            [.., other] => {
                eprintln!("error: unknown argument `{other}`\n\nhint: the only one is --json");
                return Err(ExitCode::from(2));
            }
        };
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let page = Page { json, colour: io::stdout().is_terminal() && !no_colour, sections: Vec::new() };
        page.text(&format!("\n{}\n", page.ink(Ink::Bold, title)));
        Ok(page)
    }

    /// Shows a section.
    pub fn show(&mut self, section: Section) {
        self.text(&format!("\n{}\n", self.ink(Ink::Bold, &section.title)));
        for entry in &section.entries {
            match entry {
                Item::Text(text) => self.text(&format!("  {text}\n")),
                Item::Quoted(text) => {
                    for line in text.lines() {
                        self.text(&format!("  {}\n", self.ink(Ink::Dim, &format!("│ {line}"))));
                    }
                }
                Item::Claim { text, holds: true } => self.text(&format!("  {} {text}\n", self.ink(Ink::Green, "✓"))),
                Item::Claim { text, holds: false } => self.text(&format!("  {} {text}\n", self.ink(Ink::Red, "✗"))),
            }
        }
        self.sections.push(section);
    }

    /// Ends the page; the exit code says whether every claim holds.
    pub fn close(self) -> ExitCode {
        let claims = || self.sections.iter().flat_map(Section::claims);
        let (all, broken) = (claims().count(), claims().filter(|holds| !holds).count());
        if self.json {
            match serde_json::to_string_pretty(&Json { ok: broken == 0, sections: &self.sections }) {
                Ok(page) => print(&format!("{page}\n")),
                Err(error) => return failed(error.into()),
            }
        } else if broken == 0 {
            self.text(&format!("\n{}\n", self.ink(Ink::Green, &format!("All {all} claims hold."))));
        } else {
            self.text(&format!("\n{}\n", self.ink(Ink::Red, &format!("{broken} of {all} claims do not hold."))));
        }
        if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn text(&self, text: &str) {
        if !self.json {
            print(text);
        }
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", ink as u8) } else { text.to_owned() }
    }
}

/// The end of an example that could not be shown.
pub fn failed(error: llmspell::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Prints unless the consumer is gone: a page cut short by `head` is not an error.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

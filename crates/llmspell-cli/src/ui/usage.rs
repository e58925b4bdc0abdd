//! A command line that cannot be: what is wrong with it, and what to write instead.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};
use llmspell::suggest;

use crate::options::args::Args;
use crate::ui::show::shell_word;

/// How clap ends its errors; the hint says more.
const ENDING: &str = "For more information, try '--help'.";

/// How clap begins what the hint says here.
const TIP: &str = "  tip: ";

/// The error as all errors are shown, with its hint apart. `words` are those of the command line.
pub(crate) fn told(error: &Error, words: &[OsString]) -> String {
    let text = error.render().to_string();
    let text = text.trim_end();
    let lines = text.strip_suffix(ENDING).unwrap_or(text).lines().filter(|line| !line.starts_with(TIP));
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        // What stood apart from a tip need not stand apart twice.
        if !(line.is_empty() && kept.last().is_some_and(|last| last.is_empty())) {
            kept.push(line);
        }
    }
    format!("{}\n\nhint: {}", kept.join("\n").trim_end(), hint(error, words))
}

fn hint(error: &Error, words: &[OsString]) -> String {
    let command = command(words);
    let wrong = |kind| context(error, kind).into_iter().next().unwrap_or_default();
    let known = match error.kind() {
        ErrorKind::InvalidSubcommand => subcommand(&wrong(ContextKind::InvalidSubcommand), error),
        ErrorKind::UnknownArgument => argument(&wrong(ContextKind::InvalidArg), command.as_deref(), error),
        ErrorKind::MissingRequiredArgument => missing(&context(error, ContextKind::InvalidArg), command.as_deref()),
        ErrorKind::InvalidValue => {
            nearest(&wrong(ContextKind::InvalidValue), &context(error, ContextKind::SuggestedValue))
        }
        _ => None,
    };
    known.unwrap_or_else(|| match command {
        Some(command) => format!("`llmspell help {command}` tells what it takes"),
        None => "`llmspell --help` lists the commands, `llmspell help run` the options of a run".to_owned(),
    })
}

fn context(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(several)) => several.clone(),
        _ => Vec::new(),
    }
}

/// The command that the line names.
fn command(words: &[OsString]) -> Option<String> {
    let word = words.iter().skip(1).filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'))?;
    let known = Args::command();
    known.find_subcommand(word).map(|command| command.get_name().to_owned())
}

fn nearest(wrong: &str, suggested: &[String]) -> Option<String> {
    let (first, _) = suggested.split_first()?;
    match suggested {
        [_] => Some(format!("did you mean `{first}`?")),
        several => Some(suggest::hint(wrong, several.iter().map(String::as_str), "did you mean one of these")),
    }
}

fn subcommand(wrong: &str, error: &Error) -> Option<String> {
    if is_flow(Path::new(wrong)) {
        return Some(format!("to run a flow, write `llmspell run {} --input FILE`", shell_word(wrong)));
    }
    nearest(wrong, &context(error, ContextKind::SuggestedSubcommand))
}

fn argument(wrong: &str, command: Option<&str>, error: &Error) -> Option<String> {
    let is_word = !wrong.starts_with('-');
    if is_word && matches!(command, Some("run" | "plan")) {
        return Some(format!("records are given with --input: `--input {}`", shell_word(wrong)));
    }
    nearest(wrong, &context(error, ContextKind::SuggestedArg))
}

fn missing(which: &[String], command: Option<&str>) -> Option<String> {
    let misses = |name: &str| which.iter().any(|missing| missing.contains(name));
    let records = || match there(is_input).as_slice() {
        [one] => format!("--input {}", shell_word(one)),
        _ => "--input FILE".to_owned(),
    };
    if misses("<FLOW") {
        let command = command.unwrap_or("run");
        let rest = if command == "run" && misses("--input") { format!(" {}", records()) } else { String::new() };
        return Some(match there(is_flow).as_slice() {
            [] => "there is no flow file in this folder: `llmspell init` writes one".to_owned(),
            [one] => format!("if {one} is meant: `llmspell {command} {}{rest}`", shell_word(one)),
            several => {
                let few = several.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if several.len() > FEW { ", …" } else { "" };
                format!("name a flow file; in this folder are {few}{more}")
            }
        });
    }
    if misses("--input") {
        return Some(format!("say where the records are: `{}`, `--input -` or `--files 'docs/**/*.md'`", records()));
    }
    misses("<RUN").then(|| "`llmspell runs` lists the runs".to_owned())
}

/// How many names are shown.
const FEW: usize = 8;

/// How many names are looked at: whoever has more knows what they are.
const LOOKED_AT: usize = 1000;

/// The names in this folder that will do, sorted.
fn there(will_do: fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(".").into_iter().flatten().take(LOOKED_AT).filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = files.filter(|entry| will_do(Path::new(&entry.file_name())));
    let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn is_input(path: &Path) -> bool {
    ends(path, &["jsonl", "ndjson", "csv", "tsv"])
}

/// Whether a file looks like a flow: its name, and that it has the key `flow`.
fn is_flow(path: &Path) -> bool {
    if !ends(path, &["yaml", "yml"]) || !path.is_file() {
        return false;
    }
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut text));
    read.is_ok() && text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"flow:"))
}

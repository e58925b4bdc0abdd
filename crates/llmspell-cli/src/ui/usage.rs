//! The error of an invalid command line, with a hint at a valid one.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};
use llmspell::internal::suggest;

use crate::options::args::Args;
use crate::ui::text::shell_word;

/// The end of clap's errors, which the hint replaces.
const CLAP_ENDING: &str = "For more information, try '--help'.";

/// The prefix of clap's suggestions, which the hint replaces.
const CLAP_TIP: &str = "  tip: ";

/// Returns clap's error in the form of all errors, with a hint. `words` is the command line.
pub(crate) fn render(error: &Error, words: &[OsString]) -> String {
    let text = error.render().to_string();
    let text = text.trim_end();
    let lines = text.strip_suffix(CLAP_ENDING).unwrap_or(text).lines().filter(|line| !line.starts_with(CLAP_TIP));
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        // A removed tip leaves two empty lines, of which one stays.
        if !(line.is_empty() && kept.last().is_some_and(|last| last.is_empty())) {
            kept.push(line);
        }
    }
    format!("{}\n\nhint: {}", kept.join("\n").trim_end(), hint(error, words))
}

fn hint(error: &Error, words: &[OsString]) -> String {
    let command = command(words);
    let invalid = |kind| context(error, kind).into_iter().next().unwrap_or_default();
    let specific = match error.kind() {
        ErrorKind::InvalidSubcommand => subcommand(&invalid(ContextKind::InvalidSubcommand), error),
        ErrorKind::UnknownArgument => argument(&invalid(ContextKind::InvalidArg), command.as_deref(), error),
        ErrorKind::MissingRequiredArgument => missing(&context(error, ContextKind::InvalidArg), command.as_deref()),
        ErrorKind::InvalidValue => {
            nearest(&invalid(ContextKind::InvalidValue), &context(error, ContextKind::SuggestedValue))
        }
        _ => None,
    };
    specific.unwrap_or_else(|| match command {
        Some(command) => format!("see `llmspell help {command}`"),
        None => "see `llmspell --help` for the commands, `llmspell help run` for the options of a run".to_owned(),
    })
}

fn context(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(several)) => several.clone(),
        _ => Vec::new(),
    }
}

/// Returns the command that the command line names.
fn command(words: &[OsString]) -> Option<String> {
    let word = words.iter().skip(1).filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'))?;
    let args = Args::command();
    args.find_subcommand(word).map(|command| command.get_name().to_owned())
}

fn nearest(invalid: &str, suggested: &[String]) -> Option<String> {
    let (first, _) = suggested.split_first()?;
    match suggested {
        [_] => Some(format!("did you mean `{first}`?")),
        several => Some(suggest::hint(invalid, several.iter().map(String::as_str), "did you mean one of these")),
    }
}

fn subcommand(invalid: &str, error: &Error) -> Option<String> {
    if is_flow(Path::new(invalid)) {
        return Some(format!("to run a flow, write `llmspell run {} --input FILE`", shell_word(invalid)));
    }
    nearest(invalid, &context(error, ContextKind::SuggestedSubcommand))
}

fn argument(invalid: &str, command: Option<&str>, error: &Error) -> Option<String> {
    let is_word = !invalid.starts_with('-');
    if is_word && matches!(command, Some("run" | "plan")) {
        return Some(format!("name the records with `--input {}`", shell_word(invalid)));
    }
    nearest(invalid, &context(error, ContextKind::SuggestedArg))
}

fn missing(which: &[String], command: Option<&str>) -> Option<String> {
    let lacks = |name: &str| which.iter().any(|missing| missing.contains(name));
    if lacks("<FLOW") {
        let command = command.unwrap_or("run");
        let rest = if command == "run" && lacks("--input") { format!(" {}", input_option()) } else { String::new() };
        return Some(missing_flow(command, &rest));
    }
    if lacks("--input") {
        return Some(format!("name the records with `{}`, `--input -` or `--files 'docs/**/*.md'`", input_option()));
    }
    lacks("<RUN").then(|| "list the runs with `llmspell runs`".to_owned())
}

/// Returns a hint at the flow files in this folder. `rest` is the rest of the command line.
fn missing_flow(command: &str, rest: &str) -> String {
    match files_here(is_flow).as_slice() {
        [] => "write a flow file with `llmspell init`; this folder has none".to_owned(),
        [one] => format!("name the flow file: `llmspell {command} {}{rest}`", shell_word(one)),
        several => {
            let few = several.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if several.len() > MAX_SHOWN { ", …" } else { "" };
            format!("name one of the flow files in this folder: {few}{more}")
        }
    }
}

/// Returns `--input` with the only file of records in this folder, or with a placeholder.
fn input_option() -> String {
    match files_here(is_input).as_slice() {
        [one] => format!("--input {}", shell_word(one)),
        _ => "--input FILE".to_owned(),
    }
}

/// The maximum number of names that a hint shows.
const MAX_SHOWN: usize = 8;

/// The maximum number of names that are read, so that a hint never waits for a large folder.
const MAX_READ: usize = 1000;

/// Returns the names of the files in this folder that the filter accepts, sorted.
fn files_here(accepts: fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(".").into_iter().flatten().take(MAX_READ).filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let accepted = files.filter(|entry| accepts(Path::new(&entry.file_name())));
    let mut names: Vec<String> = accepted.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

fn is_input(path: &Path) -> bool {
    has_extension(path, &["jsonl", "ndjson", "csv", "tsv"])
}

/// Returns whether a file looks like a flow: by its name, and because it has the key `flow`.
fn is_flow(path: &Path) -> bool {
    if !has_extension(path, &["yaml", "yml"]) || !path.is_file() {
        return false;
    }
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut text));
    read.is_ok() && text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"flow:"))
}

//! The options of `run` and `resume`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use llmspell::ErrorKind;
use llmspell_flow::{parse_duration, parse_rate};
use llmspell_run::RetryFilter;

use super::ConfigFile;
use crate::options::budget::BudgetArg;

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The flow file.
    pub(crate) flow: PathBuf,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    /// The records: JSON Lines, or CSV if FILE ends in .csv or .tsv; `-` reads standard input.
    #[arg(short, long, value_name = "FILE", env = "LLMSPELL_INPUT", required_unless_present = "files")]
    pub(crate) input: Option<PathBuf>,

    /// Make one record per matching file instead, with the fields `path`, `name`, `extension`, `bytes`, `modified_ms`
    /// and `text`. Quote patterns: 'docs/**/*.md'.
    #[arg(long, value_name = "PATTERN", num_args = 1.., env = "LLMSPELL_FILES", value_delimiter = '\n', conflicts_with_all = ["input", "format"])]
    pub(crate) files: Vec<String>,

    /// The format of the input, whatever the name of the file. The first row of CSV and TSV names the fields. Their
    /// values are text, unless the flow declares another type.
    #[arg(long, value_name = "FORMAT", value_enum, env = "LLMSPELL_FORMAT")]
    pub(crate) format: Option<Format>,

    /// Take only N records, chosen at random from the whole input. Each run takes the same ones, in input order. For
    /// the first N records, use `head`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_SAMPLE")]
    pub(crate) sample: Option<u32>,

    /// Set this field in every record; repeatable. VALUE has the type that the flow declares. Without one it is read as
    /// JSON, or else as text.
    #[arg(long, value_name = "FIELD=VALUE", env = "LLMSPELL_SET", value_parser = field, value_delimiter = '\n')]
    pub(crate) set: Vec<(String, String)>,

    /// Write the outcomes to FILE; `-` is standard output. An existing FILE is replaced when the run is complete. Until
    /// then, lines go to FILE.partial beside it.
    #[arg(short, long, value_name = "FILE", default_value = "-", env = "LLMSPELL_OUTPUT")]
    pub(crate) output: PathBuf,

    /// Write the lines of failed records to FILE instead of the output. An existing FILE is replaced, as with --output.
    #[arg(long, value_name = "FILE", env = "LLMSPELL_ERRORS")]
    pub(crate) errors: Option<PathBuf>,

    /// Overwrite a FILE.partial that an interrupted run has left.
    #[arg(long, env = "LLMSPELL_FORCE", value_parser = BoolishValueParser::new())]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) retry: RetryArgs,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The name of the run, such as triage-3; `llmspell runs` lists all. By default, the incomplete run started last.
    /// With --only-failed or --retry, it may be a complete run with failed records.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    #[command(flatten)]
    pub(crate) retry: RetryArgs,

    /// The records, if they came from standard input or were moved.
    #[arg(short, long, value_name = "FILE", env = "LLMSPELL_INPUT")]
    pub(crate) input: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// The options that choose which failed records of an earlier session run again.
#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// Resume an earlier run and run its failed records again. With `run`, this is the latest run of the flow.
    #[arg(long, env = "LLMSPELL_ONLY_FAILED", value_parser = BoolishValueParser::new())]
    pub(crate) only_failed: bool,

    /// Like --only-failed, for records that failed with one of these kinds of error only, such as timeout,overloaded.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind, env = "LLMSPELL_RETRY", conflicts_with = "only_failed")]
    pub(crate) retry: Vec<ErrorKind>,
}

impl RetryArgs {
    pub(crate) fn is_set(&self) -> bool {
        self.only_failed || !self.retry.is_empty()
    }

    /// Returns the options as words of a command line.
    pub(crate) fn words(&self) -> String {
        match self.retry.as_slice() {
            [] => "--only-failed".to_owned(),
            kinds => format!("--retry {}", kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")),
        }
    }

    /// Returns the filter for the journal.
    pub(crate) fn filter(&self) -> RetryFilter {
        match (self.only_failed, self.retry.as_slice()) {
            (true, _) => RetryFilter::Failed,
            (false, []) => RetryFilter::None,
            (false, kinds) => RetryFilter::Kinds(kinds.to_vec()),
        }
    }
}

/// The options that control the pace and the end of a run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Execution")]
pub(crate) struct PaceArgs {
    /// The maximum number of records in flight. By default, enough to keep the steps busy.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_LIMIT")]
    pub(crate) limit: Option<u32>,

    /// The maximum rate at which records start, such as 10/s or 600/min.
    #[arg(long, value_name = "N/TIME", value_parser = parse_rate, env = "LLMSPELL_RATE")]
    pub(crate) rate: Option<(u64, Duration)>,

    /// Admit no more records once this session has used AMOUNT, such as 5usd, 200k tokens, or both with a comma. The
    /// run then ends with exit code 3.
    #[arg(long, value_name = "AMOUNT", value_parser = clap::value_parser!(BudgetArg), env = "LLMSPELL_BUDGET")]
    pub(crate) budget: Option<BudgetArg>,

    /// Write each outcome as soon as it is finished, instead of in input order.
    #[arg(long, env = "LLMSPELL_UNORDERED", value_parser = BoolishValueParser::new())]
    pub(crate) unordered: bool,

    /// Admit every record, even if earlier ones were denied. By default, a run stops with exit code 4 when servers keep
    /// answering that credentials or money are missing (401, 402, 407).
    #[arg(short, long, env = "LLMSPELL_KEEP_GOING", value_parser = BoolishValueParser::new())]
    pub(crate) keep_going: bool,

    /// Stop the run after this time, such as 90s or 10m, with exit code 124.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "LLMSPELL_DEADLINE")]
    pub(crate) deadline: Option<Duration>,

    /// How a failed record is handled.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnError::Row, env = "LLMSPELL_ON_ERROR")]
    pub(crate) on_error: OnError,

    /// Return exit code 5 if a result is degraded: a fallback was used, or parts are missing.
    #[arg(long, env = "LLMSPELL_STRICT", value_parser = BoolishValueParser::new())]
    pub(crate) strict: bool,
}

/// The options that choose what a run prints about itself.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct ShowArgs {
    /// How progress is printed on standard error.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Progress::Auto, env = "LLMSPELL_PROGRESS")]
    pub(crate) progress: Progress,

    /// How the report is printed at the end, on standard error.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Report::Text, env = "LLMSPELL_REPORT")]
    pub(crate) report: Report,

    /// Print only errors, neither progress nor report.
    #[arg(short, long, env = "LLMSPELL_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
}

impl ShowArgs {
    /// Returns how progress is printed, with `--quiet` applied.
    pub(crate) fn progress(&self) -> Progress {
        if self.quiet { Progress::None } else { self.progress }
    }

    /// Returns how the report is printed, with `--quiet` applied.
    pub(crate) fn report(&self) -> Report {
        if self.quiet { Report::None } else { self.report }
    }
}

/// The options of journals.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Journal")]
pub(crate) struct JournalArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Keep no journal: the run can be neither resumed nor steered.
    #[arg(long, env = "LLMSPELL_NO_JOURNAL", value_parser = BoolishValueParser::new())]
    pub(crate) no_journal: bool,

    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
}

/// The options that limit how many journals are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct RetentionArgs {
    /// Keep the last N complete runs of each flow.
    #[arg(long, alias = "keep", value_name = "N", default_value_t = 20, env = "LLMSPELL_JOURNAL_KEEP")]
    pub(crate) journal_keep: usize,

    /// Remove older complete runs while all runs together exceed SIZE, such as 500MiB or 10GiB.
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = size, env = "LLMSPELL_JOURNAL_MAX_SIZE")]
    pub(crate) journal_max_size: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// The folder of the journals.
    #[arg(long, global = true, value_name = "DIR", default_value = ".llmspell", env = "LLMSPELL_STATE")]
    pub(crate) state: PathBuf,
}

/// The permissions of the tools of a flow; none by default.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct AllowArgs {
    /// Grant a permission that the flow requests; repeatable. KIND=VALUE is one of `read=DIR`, `write=DIR`, `net=HOST`,
    /// `net=HOST:PORT`, `command=PROGRAM` and `tool=NAME` (a tool of an extension). KIND alone grants every value.
    /// `net-private` permits hosts with private addresses; a HOST that is such an address, or `localhost`, needs no
    /// `net-private`. The variable is a list separated by `,`.
    #[arg(long, value_name = "KIND[=VALUE]", env = "LLMSPELL_ALLOW")]
    pub(crate) allow: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Write its line, with the error.
    Row,
    /// Count it, and write no line.
    Drop,
    /// Write its line, and admit no more records.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Values separated by commas.
    Csv,
    /// Values separated by tabs.
    Tsv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, plain lines elsewhere.
    Auto,
    /// A line every few seconds.
    Plain,
    /// One JSON object per second.
    Json,
    /// Nothing.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// A short table.
    Text,
    /// The whole report as JSON.
    Json,
    /// Nothing.
    None,
}

/// Parses a kind of error.
fn kind(text: &str) -> Result<ErrorKind, String> {
    let kind = serde_json::from_value(text.trim().into());
    kind.map_err(|_| "unknown kind of error; examples are timeout, overloaded, denied and failed".to_owned())
}

/// Parses a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("kib", 10), ("mib", 20), ("gib", 30), ("tib", 40), ("b", 0)];
    let invalid = || "expected a size with a unit, such as 500MiB or 10GiB".to_owned();
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, *shift))).ok_or_else(invalid)?;
    let number: u64 = number.trim().parse().map_err(|_| invalid())?;
    number.checked_shl(shift).filter(|size| size >> shift == number).ok_or_else(invalid)
}

/// Parses `FIELD=VALUE`.
pub(super) fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected FIELD=VALUE, such as lang=en".to_owned()),
    }
}

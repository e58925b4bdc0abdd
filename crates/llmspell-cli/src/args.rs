//! What can stand on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use llmspell::ErrorKind;
use llmspell_flow::{parse_duration, parse_rate};
use llmspell_run::Again;

use crate::spending::Spending;

/// Runs flows: steps described in a file, over files of records.
#[derive(Debug, Parser)]
#[command(
    name = "llmspell",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Data goes to standard output, everything else to standard error.
`llmspell help exit-codes`, `llmspell help output` and `llmspell help progress` say more."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a flow over records: JSON lines, CSV or files in, one outcome a line out.
    Run(Box<RunArgs>),
    /// Read flow files and say what is wrong with them; run nothing.
    Check(CheckArgs),
    /// Tell what a flow would do: its steps, how many calls, how long, estimated tokens and cost; call nothing.
    Plan(PlanArgs),
    /// List the tools that flows can use, or show one of them.
    Tools(ToolsArgs),
    /// Go on with a run where it ended: what is done is not done again.
    Resume(Box<ResumeArgs>),
    /// List the runs in this folder, or see to one of them.
    Runs(RunsArgs),
    /// Show what a run came to, as it was shown at its end.
    Report(ReportArgs),
    /// Show what the options of runs are set to, and where.
    Config(ConfigArgs),
    /// Write a small flow that works, and records for it, into a folder.
    Init(InitArgs),
    /// Run a small flow that is built in, to see what a run looks like.
    Demo,
    /// Print the JSON Schema of flow files.
    Schema,
    /// Print what completes this command in a shell.
    Completions(CompletionsArgs),
    /// Explain a command, the exit codes, the output, flows or the configuration.
    Help(HelpArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The flow file.
    pub(crate) flow: PathBuf,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    /// The records: JSON lines, or CSV if FILE ends in .csv or .tsv; `-` reads standard input.
    #[arg(short, long, value_name = "FILE", env = "LLMSPELL_INPUT", required_unless_present = "files")]
    pub(crate) input: Option<PathBuf>,

    /// A record for each file that matches instead: its `path`, `name`, `extension`, `bytes`, `modified_ms` and
    /// `text`. Quote patterns: 'docs/**/*.md'.
    #[arg(long, value_name = "PATTERN", num_args = 1.., env = "LLMSPELL_FILES", value_delimiter = '\n', conflicts_with_all = ["input", "format"])]
    pub(crate) files: Vec<String>,

    /// What the input is, whatever its ending. The first row of CSV and TSV names the fields; their values are text,
    /// unless the flow declares another type.
    #[arg(long, value_name = "FORMAT", value_enum, env = "LLMSPELL_FORMAT")]
    pub(crate) format: Option<Format>,

    /// Take only N records, picked at random from the whole input: the same ones each time, and in order. (For the
    /// first N, use `head`.)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_SAMPLE")]
    pub(crate) sample: Option<u32>,

    /// Give every record this field, whatever it says itself; repeatable. VALUE has the type that the flow declares;
    /// otherwise it is JSON, or text if it is not.
    #[arg(long, value_name = "FIELD=VALUE", env = "LLMSPELL_SET", value_parser = field, value_delimiter = '\n')]
    pub(crate) set: Vec<(String, String)>,

    /// Where the outcomes go; `-` is standard output. A FILE that exists is replaced once the run is complete; until
    /// then, lines go to FILE.partial beside it.
    #[arg(short, long, value_name = "FILE", default_value = "-", env = "LLMSPELL_OUTPUT")]
    pub(crate) output: PathBuf,

    /// Write the lines of failed records there instead of to the output. A FILE that exists is replaced, as with
    /// --output.
    #[arg(long, value_name = "FILE", env = "LLMSPELL_ERRORS")]
    pub(crate) errors: Option<PathBuf>,

    /// Overwrite a FILE.partial that an interrupted run has left.
    #[arg(long, env = "LLMSPELL_FORCE", value_parser = BoolishValueParser::new())]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) again: AgainArgs,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// Which of the records of an earlier session run again that have failed.
#[derive(Debug, clap::Args)]
pub(crate) struct AgainArgs {
    /// Go on with an earlier run, for `run` the latest one of the flow, and run all records again that have failed.
    #[arg(long, env = "LLMSPELL_ONLY_FAILED", value_parser = BoolishValueParser::new())]
    pub(crate) only_failed: bool,

    /// The same with those records alone that have failed with errors of these kinds, such as timeout,overloaded.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind, env = "LLMSPELL_RETRY", conflicts_with = "only_failed")]
    pub(crate) retry: Vec<ErrorKind>,
}

impl AgainArgs {
    pub(crate) fn is_asked(&self) -> bool {
        self.only_failed || !self.retry.is_empty()
    }

    /// As it is said on the command line.
    pub(crate) fn in_words(&self) -> String {
        match self.retry.as_slice() {
            [] => "--only-failed".to_owned(),
            kinds => format!("--retry {}", kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")),
        }
    }

    pub(crate) fn again(&self) -> Again {
        match (self.only_failed, self.retry.as_slice()) {
            (true, _) => Again::Failed,
            (false, []) => Again::None,
            (false, kinds) => Again::Kinds(kinds.to_vec()),
        }
    }
}

/// How a run goes.
#[derive(Debug, clap::Args)]
pub(crate) struct PaceArgs {
    /// Records in flight at most. By default, as many as keep the steps busy.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_LIMIT")]
    pub(crate) limit: Option<u32>,

    /// Start records no faster than this, such as 10/s or 600/min.
    #[arg(long, value_name = "N/TIME", value_parser = parse_rate, env = "LLMSPELL_RATE")]
    pub(crate) rate: Option<(u64, Duration)>,

    /// Take no more records once this session has used this up, such as 5usd, 200k tokens, or both with a comma; end with
    /// exit code 3.
    #[arg(long, value_name = "AMOUNT", value_parser = clap::value_parser!(Spending), env = "LLMSPELL_BUDGET")]
    pub(crate) budget: Option<Spending>,

    /// Write outcomes as they come instead of in the order of the input.
    #[arg(long, env = "LLMSPELL_UNORDERED", value_parser = BoolishValueParser::new())]
    pub(crate) unordered: bool,

    /// Take every record, even if those before it were denied. By default, a run stops when the servers it talks to ask
    /// for credentials or money (401, 402, 407), and ends with exit code 4.
    #[arg(short, long, env = "LLMSPELL_KEEP_GOING", value_parser = BoolishValueParser::new())]
    pub(crate) keep_going: bool,

    /// Stop everything after this time, such as 90s or 10m, and end with exit code 124.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "LLMSPELL_DEADLINE")]
    pub(crate) deadline: Option<Duration>,

    /// What becomes of a record that fails.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnError::Row, env = "LLMSPELL_ON_ERROR")]
    pub(crate) on_error: OnError,

    /// End with exit code 5 if a result is less than what was asked for: if a fallback has served, or parts are missing.
    #[arg(long, env = "LLMSPELL_STRICT", value_parser = BoolishValueParser::new())]
    pub(crate) strict: bool,
}

/// What a run tells of itself.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// How progress is shown, on standard error.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Progress::Auto, env = "LLMSPELL_PROGRESS")]
    pub(crate) progress: Progress,

    /// The report at the end, on standard error.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Report::Text, env = "LLMSPELL_REPORT")]
    pub(crate) report: Report,

    /// Show neither progress nor report, only errors.
    #[arg(short, long, env = "LLMSPELL_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
}

/// Where runs are written down.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Journal")]
pub(crate) struct JournalArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Keep no journal: the run cannot be resumed, nor changed while it runs.
    #[arg(long, env = "LLMSPELL_NO_JOURNAL", value_parser = BoolishValueParser::new())]
    pub(crate) no_journal: bool,

    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
}

/// How long journals stay.
#[derive(Debug, clap::Args)]
pub(crate) struct RetentionArgs {
    /// How many complete runs of each flow stay.
    #[arg(long, alias = "keep", value_name = "N", default_value_t = 20, env = "LLMSPELL_JOURNAL_KEEP")]
    pub(crate) journal_keep: usize,

    /// How much room all runs may take, such as 500MiB or 10GiB, before further complete ones go.
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = size, env = "LLMSPELL_JOURNAL_MAX_SIZE")]
    pub(crate) journal_max_size: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// The folder of the journals.
    #[arg(long, global = true, value_name = "DIR", default_value = ".llmspell", env = "LLMSPELL_STATE")]
    pub(crate) state: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The run, such as triage-3; by default the one that was started last and is not complete, or has failed records
    /// if these are asked for. `llmspell runs` lists them.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    #[command(flatten)]
    pub(crate) again: AgainArgs,

    /// The records once more, if they came from standard input, or are elsewhere now.
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

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    /// As JSON.
    #[arg(long, global = true, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run.
    Show {
        /// Its name, such as triage-3.
        run: String,
    },
    /// Change a limit or a rate while a run is running, such as limit.fetch=8.
    Set {
        /// The run.
        run: String,
        /// limit=N (records in flight), rate=N/TIME (records started, if the run has a rate), limit.STEP=N and
        /// rate.STEP=N/TIME (calls of a step that has one; of a model: limit.models.NAME=N). Until the session ends.
        #[arg(value_name = "WHAT=VALUE")]
        what: String,
    },
    /// Let a running run take no more records for now.
    Pause {
        /// The run.
        run: String,
    },
    /// Let it take records again.
    Continue {
        /// The run.
        run: String,
    },
    /// Let it finish what is in flight, and end.
    Drain {
        /// The run.
        run: String,
    },
    /// Take runs away, whether they are complete or not.
    Rm {
        /// The runs.
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Take old complete runs away: as many as go when a run ends, unless it is said otherwise.
    Prune {
        #[command(flatten)]
        retention: RetentionArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The run, such as triage-3; by default the one that was started or resumed last.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    /// As JSON.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

/// A class of errors.
fn kind(text: &str) -> Result<ErrorKind, String> {
    let read = serde_json::from_value(text.trim().into());
    read.map_err(|_| "it is no kind of error, such as timeout, overloaded, denied or failed".to_owned())
}

/// So many bytes.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("kib", 10), ("mib", 20), ("gib", 30), ("tib", 40), ("b", 0)];
    let wrong = || "it is not a size with a unit, such as 500MiB or 10GiB".to_owned();
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?, *shift))).ok_or_else(wrong)?;
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_shl(shift).filter(|size| size >> shift == number).ok_or_else(wrong)
}

/// What the tools of a flow may touch; nothing by default.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct AllowArgs {
    /// Let the tools of the flow do what it asks for; repeatable. KIND=VALUE is one of `read=DIR`, `write=DIR`,
    /// `net=HOST` or `net=HOST:PORT`, `command=PROGRAM` and `tool=NAME` (of an extension); KIND alone allows any.
    /// `net-private` lets hosts have private addresses, unless HOST is one or `localhost`. In the variable, separated
    /// by `,`.
    #[arg(long, value_name = "KIND[=VALUE]", env = "LLMSPELL_ALLOW")]
    pub(crate) allow: Vec<String>,
}

/// `FIELD=VALUE`.
fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is not FIELD=VALUE, such as lang=en".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// It has its line.
    Row,
    /// It is counted, and has no line.
    Drop,
    /// It has its line, and the run takes no more records.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Values apart by commas.
    Csv,
    /// Values apart by tabs.
    Tsv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, plain lines elsewhere.
    Auto,
    /// A line every few seconds.
    Plain,
    /// One JSON object a second.
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

/// Where options come from that are not said here.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// Read this configuration instead of `llmspell.toml` and that of the user.
    #[arg(long = "config", id = "config", global = true, value_name = "FILE", env = "LLMSPELL_CONFIG")]
    pub(crate) _path: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each option with its value and where that comes from.
    Show {
        /// As JSON.
        #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
        json: bool,

        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The flow files.
    #[arg(required = true)]
    pub(crate) flows: Vec<PathBuf>,

    /// Take warnings for errors.
    #[arg(long, env = "LLMSPELL_STRICT", value_parser = BoolishValueParser::new())]
    pub(crate) strict: bool,

    /// Connect the MCP servers of the flows, and check calls of their tools, too. What a flow asks for in order to
    /// reach them must be allowed.
    #[arg(long, env = "LLMSPELL_CONNECT", value_parser = BoolishValueParser::new())]
    pub(crate) connect: bool,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    /// Write one JSON object a file instead, with what is wrong and what the flow wants.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The flow file.
    pub(crate) flow: PathBuf,

    /// Count for these records: JSON lines, or CSV if FILE ends in .csv or .tsv; `-` reads standard input. They are
    /// read one by one.
    #[arg(short, long, value_name = "FILE", env = "LLMSPELL_INPUT")]
    pub(crate) input: Option<PathBuf>,

    /// Count for a record of each file that matches instead.
    #[arg(long, value_name = "PATTERN", num_args = 1.., env = "LLMSPELL_FILES", value_delimiter = '\n', conflicts_with_all = ["input", "format"])]
    pub(crate) files: Vec<String>,

    /// What the input is, whatever its ending.
    #[arg(long, value_name = "FORMAT", value_enum, env = "LLMSPELL_FORMAT")]
    pub(crate) format: Option<Format>,

    /// Count for N records only, picked at random: the same that `run --sample N` takes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_SAMPLE")]
    pub(crate) sample: Option<u32>,

    /// Give every record this field, whatever it says itself; repeatable.
    #[arg(long, value_name = "FIELD=VALUE", env = "LLMSPELL_SET", value_parser = field, value_delimiter = '\n')]
    pub(crate) set: Vec<(String, String)>,

    /// Records in flight at most, as with `run`.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_LIMIT")]
    pub(crate) limit: Option<u32>,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,

    /// Write JSON instead; docs/plan.md describes it.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ToolsArgs {
    /// The tool to show, with its arguments.
    pub(crate) name: Option<String>,

    /// Show it as JSON, with the JSON Schema of its arguments.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder; it is made if it is not there.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,

    /// Which flow.
    #[arg(long, value_name = "NAME", default_value = "first", env = "LLMSPELL_TEMPLATE")]
    pub(crate) template: String,

    /// List the flows there are.
    #[arg(long, env = "LLMSPELL_LIST", value_parser = BoolishValueParser::new())]
    pub(crate) list: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HelpArgs {
    /// A command, `exit-codes`, `output` or `progress`.
    pub(crate) topic: Option<String>,
}

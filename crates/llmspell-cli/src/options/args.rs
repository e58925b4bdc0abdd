//! The command line: commands, options, and their variables in the environment.
//!
//! Every option of a command has a variable `LLMSPELL_…`. The doc comments in this module are the text of `--help`.

mod run;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Parser, Subcommand};

pub(crate) use run::{AllowArgs, Format, OnError, Progress, Report, ResumeArgs, RetentionArgs, RunArgs, StateArgs};

/// Runs flows over files of records. A flow is a file that describes steps.
#[derive(Debug, Parser)]
#[command(
    name = "llmspell",
    version,
    disable_help_subcommand = true,
    max_term_width = 80,
    after_help = "\
Data goes to standard output, everything else to standard error.
See also `llmspell help exit-codes`, `llmspell help output`, `llmspell help
progress`, `llmspell help flow` and `llmspell help config`."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a flow over records: JSON Lines, CSV or files in, one outcome per line out.
    Run(Box<RunArgs>),
    /// Check flow files, list every problem, and run nothing.
    Check(CheckArgs),
    /// Show the steps, calls, time, tokens and cost of a flow, without running it.
    Plan(PlanArgs),
    /// List the tools that flows can use, or show one of them.
    Tools(ToolsArgs),
    /// Resume a run: finished steps are not repeated.
    Resume(Box<ResumeArgs>),
    /// List runs, or inspect, pause, steer and remove one.
    Runs(RunsArgs),
    /// Show the report of a run.
    Report(ReportArgs),
    /// Show the value of each option and where it is set.
    Config(ConfigArgs),
    /// Write a small working flow and its records into a folder.
    Init(InitArgs),
    /// Run a small built-in flow, to see what a run looks like.
    Demo,
    /// Print the JSON Schema of flow files.
    Schema,
    /// Print the completion script of a shell.
    Completions(CompletionsArgs),
    /// Explain a command, the exit codes, the output, flows or the configuration.
    Help(HelpArgs),
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

    /// Print JSON.
    #[arg(long, global = true, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run.
    Show {
        /// The name of the run, such as triage-3.
        run: String,
    },
    /// Change a limit or a rate of a running run, such as limit.fetch=8.
    Set {
        /// The name of the run.
        run: String,
        /// One of: limit=N (records in flight); rate=N/TIME (records started, if the run has a rate); limit.STEP=N and
        /// rate.STEP=N/TIME (calls of a step that has one); limit.models.NAME=N (calls of a model). The change lasts
        /// until the session ends.
        #[arg(value_name = "WHAT=VALUE")]
        what: String,
    },
    /// Pause a running run: it admits no more records until `continue`.
    Pause {
        /// The name of the run.
        run: String,
    },
    /// Continue a paused run.
    Continue {
        /// The name of the run.
        run: String,
    },
    /// Stop a running run after the records in flight.
    Drain {
        /// The name of the run.
        run: String,
    },
    /// Remove runs, complete or not.
    Rm {
        /// The names of the runs.
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Remove old complete runs, by the same rule as at the end of each run.
    Prune {
        #[command(flatten)]
        retention: RetentionArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The name of the run, such as triage-3. By default, the run started or resumed last.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) config: ConfigFile,

    /// Print JSON.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

/// The option that names another configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// Read this configuration instead of `llmspell.toml` and the user's own.
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
    /// Show each option with its value and the source of the value.
    Show {
        /// Print JSON.
        #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
        json: bool,

        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "llmspell check [OPTIONS] <FLOWS>...\n       llmspell check --explain <ID>")]
pub(crate) struct CheckArgs {
    /// The flow files.
    #[arg(required_unless_present = "explain")]
    pub(crate) flows: Vec<PathBuf>,

    /// Explain a rule of the checker, such as unused-step, and check nothing.
    #[arg(long, value_name = "ID", env = "LLMSPELL_EXPLAIN")]
    pub(crate) explain: Option<String>,

    /// Treat warnings as errors.
    #[arg(long, env = "LLMSPELL_STRICT", value_parser = BoolishValueParser::new())]
    pub(crate) strict: bool,

    /// Connect the MCP servers of the flows and check calls of their tools. The permissions to reach the servers must
    /// be granted with --allow.
    #[arg(long, env = "LLMSPELL_CONNECT", value_parser = BoolishValueParser::new())]
    pub(crate) connect: bool,

    /// Print one JSON object per file, with its problems and what the flow needs.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The flow file.
    pub(crate) flow: PathBuf,

    /// Count for these records: JSON Lines, or CSV if FILE ends in .csv or .tsv; `-` reads standard input. The records
    /// are streamed.
    #[arg(short, long, value_name = "FILE", env = "LLMSPELL_INPUT")]
    pub(crate) input: Option<PathBuf>,

    /// Count for one record per matching file instead.
    #[arg(long, value_name = "PATTERN", num_args = 1.., env = "LLMSPELL_FILES", value_delimiter = '\n', conflicts_with_all = ["input", "format"])]
    pub(crate) files: Vec<String>,

    /// The format of the input, whatever the name of the file.
    #[arg(long, value_name = "FORMAT", value_enum, env = "LLMSPELL_FORMAT")]
    pub(crate) format: Option<Format>,

    /// Count for N records only, chosen at random: the same ones as with `run --sample N`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_SAMPLE")]
    pub(crate) sample: Option<u32>,

    /// Set this field in every record; repeatable.
    #[arg(long, value_name = "FIELD=VALUE", env = "LLMSPELL_SET", value_parser = run::field, value_delimiter = '\n')]
    pub(crate) set: Vec<(String, String)>,

    /// The maximum number of records in flight, as with `run`.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LLMSPELL_LIMIT")]
    pub(crate) limit: Option<u32>,

    /// Print JSON; docs/plan.md describes it.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) allow: AllowArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ToolsArgs {
    /// The tool to show, with its arguments.
    pub(crate) name: Option<String>,

    /// Print JSON, with the JSON Schema of the arguments.
    #[arg(long, env = "LLMSPELL_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder; it is created if it does not exist.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,

    /// The flow to write.
    #[arg(long, value_name = "NAME", default_value = "first", env = "LLMSPELL_TEMPLATE")]
    pub(crate) template: String,

    /// List the templates.
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
    /// A command, or one of: exit-codes, output, progress, flow, config.
    pub(crate) topic: Option<String>,
}

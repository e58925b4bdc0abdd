//! Hazards of asynchronous code: each in a file of its own, once as it is commonly written by hand and once with
//! LLMSpell, with the figure that tells the two apart.
//!
//! `cargo run -p hazards` prints the table, measured in that run, and fails if a figure of LLMSpell breaks its guarantee.
//! `cargo run -p hazards -- lock tasks` shows only the hazards with such a word in their names. Names are those of the
//! files; the head of each says what goes wrong and where it was reported.

#![allow(unreachable_pub, reason = "a program exports nothing")]
#![allow(clippy::disallowed_methods, reason = "hazards are what people write")]

mod hazard;
mod heartbeat;
mod live;
mod stopwatch;
mod table;

mod busy_chain;
mod busy_consumer;
mod busy_driver;
mod first_failure;
mod given_up_wait;
mod herd;
mod many_timers;
mod nested_retries;
mod panic_in_item;
mod paused_lock;
mod ready_items;
mod run_ahead;
mod shared_lock;
mod tasks_dropped;
mod tasks_raced;
mod tasks_timed_out;
mod thread_timed_out;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hazard::{Clock, Hazard, Measure};
use table::{Row, Table};
use tokio::runtime::{Builder, Runtime};

const HAZARDS: [Hazard; 17] = [
    busy_consumer::HAZARD,
    busy_chain::HAZARD,
    busy_driver::HAZARD,
    shared_lock::HAZARD,
    paused_lock::HAZARD,
    given_up_wait::HAZARD,
    run_ahead::HAZARD,
    many_timers::HAZARD,
    tasks_timed_out::HAZARD,
    tasks_dropped::HAZARD,
    tasks_raced::HAZARD,
    first_failure::HAZARD,
    thread_timed_out::HAZARD,
    ready_items::HAZARD,
    panic_in_item::HAZARD,
    nested_retries::HAZARD,
    herd::HAZARD,
];

/// Shows hazards of asynchronous code, in hand-written futures code and in LLMSpell.
#[derive(Parser)]
struct Args {
    /// Shows only hazards with one of these words in their names.
    words: Vec<String>,
    /// Prints the figures as JSON.
    #[arg(long, env = "HAZARDS_JSON")]
    json: bool,
    /// The scheduler that both sides run on.
    #[arg(long, env = "HAZARDS_RUNTIME", value_enum, default_value = "multi")]
    runtime: Flavour,
}

impl Args {
    fn wants(&self, hazard: &Hazard) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| hazard.name.contains(word))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Flavour {
    /// One thread.
    Current,
    /// Two workers.
    Multi,
}

impl Flavour {
    fn runtime(self, clock: Clock) -> io::Result<Runtime> {
        match (clock, self) {
            (Clock::Paused, _) => Builder::new_current_thread().enable_all().start_paused(true).build(),
            (Clock::Real, Flavour::Current) => Builder::new_current_thread().enable_all().build(),
            (Clock::Real, Flavour::Multi) => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        }
    }

    /// Measures on a runtime of its own, for one side may leave something running.
    fn measure(self, hazard: &Hazard, side: Measure) -> io::Result<f64> {
        let runtime = self.runtime(hazard.clock)?;
        let figure = runtime.block_on(side());
        runtime.shutdown_timeout(Duration::from_millis(500));
        Ok(figure)
    }

    fn row(self, hazard: &Hazard) -> io::Result<Row> {
        let by_hand = self.measure(hazard, hazard.by_hand)?;
        let mut llmspell = self.measure(hazard, hazard.llmspell)?;
        // A hazard shows every time, a machine that is busy now and then does not.
        for _ in 0..2 {
            if hazard.guarantee.holds(llmspell) {
                break;
            }
            llmspell = hazard.guarantee.better(llmspell, self.measure(hazard, hazard.llmspell)?);
        }
        Ok(Row::new(hazard, by_hand, llmspell))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !HAZARDS.iter().any(|hazard| args.wants(hazard)) {
        let names = HAZARDS.map(|hazard| hazard.name).join(", ");
        eprintln!("error: no hazard has such a name\n\nhint: there are {names}");
        return ExitCode::from(2);
    }
    // Some of the panics are part of the show.
    std::panic::set_hook(Box::new(|_| {}));
    match show(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: a figure of LLMSpell breaks its guarantee");
            ExitCode::FAILURE
        }
        // The reader of the output may close it early.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every guarantee holds.
fn show(args: &Args) -> io::Result<bool> {
    let hazards = HAZARDS.iter().filter(|hazard| args.wants(hazard));
    let table = Table::new(hazards.clone());
    if !args.json {
        table.head()?;
    }
    let mut rows = Vec::new();
    for hazard in hazards {
        let row = args.runtime.row(hazard)?;
        if !args.json {
            table.row(hazard, &row)?;
        }
        rows.push(row);
    }
    let holds = rows.iter().all(|row| row.holds);
    if args.json {
        let page = serde_json::json!({ "ok": holds, "hazards": rows });
        serde_json::to_writer_pretty(io::stdout(), &page)?;
        println!();
    }
    Ok(holds)
}

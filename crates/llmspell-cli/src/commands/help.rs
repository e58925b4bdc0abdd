//! `llmspell help`: commands and topics.

use clap::CommandFactory;

use crate::exit::{Exit, Failure};
use crate::options::args::{Args, HelpArgs};
use crate::options::resolved;
use crate::options::settings;
use crate::ui::show;

const EXIT_CODES: &str = "\
Exit codes

  0    all went well; also if the reader of the output has had enough (`| head`)
  1    a bug in llmspell
  2    wrong usage, or a flow, input, output or journal that cannot be used
  3    the run is complete, but some records failed; or it was stopped by a
       failure (--on-error stop) or because its --budget is used up
  4    the flow needs a permission that was not given; or the run was stopped,
       because the servers it talks to ask for credentials or money
  5    with --strict: no record failed, but a result is less than what was asked
       for (its quality is \"partial\" or \"fallback\")
  124  the time of --deadline was up
  129  the terminal was closed (SIGHUP, unless started with `nohup`)
  130  interrupted (Ctrl-C or SIGTERM): the first time the run takes no more
       records and finishes those in flight, the second time it stops at once
  131  stopped at once (Ctrl-\\, SIGQUIT)

Whichever of these signals ends a run, the programs it has started end with it.
While MCP servers are being connected, the first one ends it: nothing is run.
SIGKILL cannot be caught: it says nothing, leaves those programs running, and
FILE.partial may end within a line.";

const OUTPUT: &str = "\
Output

One JSON object a line, exactly one for each record, in the order of the input
unless --unordered is given. With `--on-error drop`, failed records have none.

  index     the place of the record, from 0
  line      its line in the input, from 1; blank lines are skipped. With
            --files, the number of its file
  status    \"ok\" or \"failed\"
  quality   if ok: \"full\", \"partial\" or \"fallback\"
  output    if ok: what the flow made of the record
  error     if failed: kind, message and, where known, path (flow and step),
            attempts, retry_after_ms, causes (earlier attempts), hint
  causes    what failed on the way without stopping the record, if anything did;
            in both, what comes again and again stands once, with `times`
  retries   attempts beyond the first, over all steps
  choices   which of several ways led to the result, if there were any: path of
            the step, and served_by: {\"contender\": {index, name}} of a race,
            {\"fallback\": {name}}, or \"hedge\" for a second copy
  usage     tokens and cost, if calls said what they used
  stages    how long the record was in each step, in milliseconds, waiting and
            retries included
  took_ms   from the start of the first step to the end of the last, waiting
            included; null if that is not known

A run that is stopped takes no more records and finishes those in flight. The
others have no line and have not failed: the message at the end says from which
line of the input on, and how the run goes on: `llmspell resume NAME`. What is
done is not done again then; its lines are written again, from the journal. A
run is stopped by Ctrl-C, and when 10 records in a row, or half of at least 20
within 30 s, are \"denied\" (unless --keep-going is given).

A record that is not JSON, a row of CSV with a value too many, a file that is
not UTF-8, an integer that would be rounded, or what lacks a field that the flow
asks for under `inputs`, is an outcome too: \"failed\" with kind \"invalid\" and
no path. What no record can be made of is refused before the first one, with
exit code 2: a JSON array instead of lines, a header that names a column twice,
or none for a field that the flow asks for. With --errors FILE, the lines of
failed records are there.

With --output FILE, lines go to FILE.partial; it becomes FILE when the run is
complete, and stays FILE.partial if the run is interrupted or cannot write any
more. A second run to the same FILE is refused as long as the first goes on. If
FILE is a link, the link stays and what it leads to is replaced. The input and
the flow file are never written over.";

const PROGRESS: &str = "\
Progress

On a terminal, `--progress auto` shows the run as it is, at most ten times a
second: how far it is, one line for each step, and the records that have been
on their way for the longest time. Elsewhere, and where outcomes go to the
terminal too, it writes a sentence every three seconds. `plain` always writes sentences, `none` nothing.

In a step, a call is counted in one column alone:

  run     at work on its first attempt, of as many as may be
  queue   waits for a permit of a limit
  rate    waits for a turn at a rate, or for a budget
  retry   waits for its next attempt, or is at work on it

The time that is left is told once it can be: not in the first two seconds, not
while nothing moves, not if nobody knows how large the input is.

`--progress json` writes one object a second and one at the end. Times are in
milliseconds; what is not known is null. There may be more fields in time.

  elapsed_ms      since the run began
  total_bytes     or total_records: how much there is, if that is known
  bytes_done      how much of the input is done with
  ok, degraded, failed, replayed
                  records so far; degraded are among the ok, replayed are those
                  taken over from an earlier session
  in_flight       records on their way
  stopping        whether no more records are taken
  paused          whether none are taken until `llmspell runs continue`
  rate, eta_ms    records run in a second, over the last five; time left
  output_wait_ms  how long outcomes waited because the output took none
  refused         calls that a rate, a budget, a breaker or a limit refused
  overloaded      attempts that the other side refused (429, 503, 529)
  hedges, runaways, usage
                  second copies; work that outlived its caller; tokens and cost
  steps           for each: path, limit, running, queued, paced, backing_off,
                  retrying (of these five, each call is in one), next_attempt_ms,
                  done, failed, cancelled, retries, p50_ms, p95_ms
  oldest          at most eight records: record, path, time_ms, attempt, waiting
                  ({\"in_line\": {queue, time_ms}} or {\"attempt\": {in_ms}})

Every other line is an object, too: {\"notice\": …} for what is said on the way,
{\"warning\": …} and {\"error\": …} with a \"hint\", and at the end {\"summary\": …},
followed by the report as `--report json` writes it. Only what is wrong with the
command line itself is told in words.

  summary         flow, run, ending, took_ms, ok, degraded, failed, replayed,
                  dropped, not_admitted (records, is_all, from_line), lines and
                  output (how much was written, and where), errors, resume";

const FLOW: &str = include_str!("help/flow.txt");

const CONFIG: &str = include_str!("help/config.txt");

const TOPICS: [&str; 5] = ["exit-codes", "output", "progress", "flow", "config"];

/// The text, with the names of all options.
fn config() -> String {
    let all = settings::all(&Args::command());
    let names: Vec<String> = all.iter().filter_map(clap::Arg::get_long).map(settings::key).collect();
    let options = show::wrapped(&names.join(", "), 76, 2);
    let flow = show::wrapped(&llmspell_flow::RUN_OPTIONS.join(", "), 76, 2);
    CONFIG.replace("OPTIONS", &options).replace("RUN", &flow)
}

/// Prints the JSON Schema of flow files.
pub(crate) fn schema() -> Result<Exit, Failure> {
    show::data(&schema_text()).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// The schema as it stands in a file.
pub(crate) fn schema_text() -> String {
    serde_json::to_string_pretty(&llmspell_flow::schema()).unwrap_or_default()
}

/// Shows a topic, or the help of a command.
pub(crate) fn help(args: &HelpArgs) -> Result<Exit, Failure> {
    let mut command = resolved::command();
    command.build();
    let text = match args.topic.as_deref() {
        None => command.render_help().to_string(),
        Some("exit-codes") => EXIT_CODES.to_owned(),
        Some("output") => OUTPUT.to_owned(),
        Some("flow" | "flows") => FLOW.to_owned(),
        Some("config" | "configuration") => config(),
        Some("progress") => PROGRESS.to_owned(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(command) => command.render_long_help().to_string(),
            None => {
                let commands = command.get_subcommands().map(clap::Command::get_name);
                let topics: Vec<&str> = TOPICS.into_iter().chain(commands).collect();
                let hint = llmspell::suggest::hint(topic, topics.iter().copied(), "the topics are");
                return Err(Failure::invalid(format!("error: there is no help on `{topic}`\n\nhint: {hint}")));
            }
        },
    };
    show::data(text.trim_end()).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

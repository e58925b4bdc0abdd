//! Runs the contenders in turn, each in its own process with the server in another, and prints a table.
//!
//! `agents-run AGENTS ROUNDS` expects the contenders in its own folder. This process is smaller than any of them: a
//! child begins with the memory of its parent, so that a larger parent would set the peak.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use wait4::Wait4;

/// The number of words of an answer, and the milliseconds between two.
const TOKENS: u64 = 50;
const EVERY_MS: u64 = 100;

/// The number of runs of the turn with tools in one process. The first run opens the connection.
const RUNS: usize = 11;

const CONTENDERS: [(&str, &str, &str, &str); 9] = [
    ("stream", "LLMSpell", "agents-llmspell", ""),
    ("stream", "rig, an agent each", "agents-rig", "each"),
    ("stream", "rig, one agent for all", "agents-rig", "shared"),
    ("stream", "adk-rust", "agents-adk", ""),
    ("tools", "LLMSpell", "agents-llmspell", ""),
    ("tools", "rig", "agents-rig", ""),
    ("tools", "rig, `tool_concurrency(8)`", "agents-rig", "concurrent"),
    ("tools", "adk-rust", "agents-adk", ""),
    ("tools", "adk-rust, `ToolExecutionStrategy::Parallel`", "agents-adk", "parallel"),
];

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let agents = arguments.next().unwrap_or_else(|| "2000".into());
    let rounds: usize = arguments.next().map_or(5, |rounds| rounds.parse().expect("usage: agents-run AGENTS ROUNDS"));
    let program = std::env::current_exe()?;
    let folder = program.parent().expect("a program is in a folder");
    let (server, address) = start(folder)?;
    let mut lines = vec![Vec::new(); CONTENDERS.len()];
    for round in 1..=rounds {
        for (lines, (task, peer, program, variant)) in lines.iter_mut().zip(CONTENDERS) {
            eprintln!("round {round} of {rounds}: {task}, {peer}");
            let runs = RUNS.to_string();
            let times = if task == "tools" { &runs } else { &agents };
            take_stats(&address)?; // resets the counts
            let mut command = Command::new(folder.join(program));
            let line = measure(command.args([&format!("http://{address}/v1"), task, times, variant]));
            let mut line = line.unwrap_or_else(|error| json!({ "broken": error.to_string() }));
            line["served"] = take_stats(&address)?;
            eprintln!("  {line}");
            lines.push(line);
        }
    }
    drop(server);
    print_streams(&agents, &lines);
    print_tools(&lines);
    for (lines, (task, peer, ..)) in lines.iter().zip(CONTENDERS) {
        for error in lines.iter().filter_map(|line| line["broken"].as_str()) {
            println!("\nA run of {peer} ({task}) is not in the tables: {error}");
        }
    }
    Ok(())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> io::Result<(Server, String)> {
    let mut command = Command::new(folder.join("agents-server"));
    command.args([TOKENS.to_string(), EVERY_MS.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("the output is piped")).read_line(&mut address)?;
    Ok((Server(child), address.trim().to_owned()))
}

/// Returns the counts of the server, and resets them.
fn take_stats(address: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /stats HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(serde_json::from_str(answer.split("\r\n\r\n").last().unwrap_or_default())?)
}

fn measure(command: &mut Command) -> io::Result<Value> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = String::new();
    child.stdout.take().expect("the output is piped").read_to_string(&mut output)?;
    let end = child.wait4()?;
    if !end.status.success() {
        return Err(io::Error::other(end.status.to_string()));
    }
    let used = end.rusage;
    let mut line: Value = serde_json::from_str(&output)?;
    line["cpu_ms"] = ((used.utime + used.stime).as_secs_f64() * 1e3).into();
    line["peak"] = used.maxrss.into();
    Ok(line)
}

/// Returns the median of a number over all runs that have it.
fn median(lines: &[Value], number: impl Fn(&Value) -> Option<f64>) -> f64 {
    let mut numbers: Vec<_> = lines.iter().filter_map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_streams(agents: &str, lines: &[Vec<Value>]) {
    println!("\n### {agents} agents at once, each with an answer of {TOKENS} words, one every {EVERY_MS} ms\n");
    println!(
        "| peer | time, ms | all have begun after, ms | at once on the server | CPU, ms | CPU a word, µs | peak memory, MB | memory an agent, KB | finished | failed | words |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let count: f64 = agents.parse().unwrap_or(f64::NAN);
    for (lines, (task, peer, ..)) in lines.iter().zip(CONTENDERS) {
        if task != "stream" {
            continue;
        }
        let of = |name: &str| median(lines, |line| line[name].as_f64());
        let memory = median(lines, |line| Some((line["peak"].as_f64()? - line["memory_before"].as_f64()?) / count));
        println!(
            "| {peer} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |",
            of("wall_ms"),
            of("last_to_begin_ms"),
            median(lines, |line| line["served"]["peak"].as_f64()),
            of("cpu_ms"),
            of("cpu_ms") * 1e3 / of("tokens"),
            of("peak") / 1e6,
            memory / 1e3,
            of("finished"),
            of("failed"),
            of("tokens"),
        );
    }
}

fn print_tools(lines: &[Vec<Value>]) {
    println!("\n### A run in which the model calls a tool of 100 ms eight times in one turn, and then answers\n");
    println!("| peer | median, ms | fastest, ms | slowest, ms |");
    println!("|---|---:|---:|---:|");
    for (lines, (task, peer, ..)) in lines.iter().zip(CONTENDERS) {
        if task != "tools" {
            continue;
        }
        // The first run of each process is left out because it connects.
        let times = lines.iter().filter_map(|line| line["times_us"].as_array()).flat_map(|times| times.iter().skip(1));
        let mut times: Vec<_> = times.filter_map(|time| time.as_f64().map(|time| time / 1e3)).collect();
        times.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (times.first(), times.last()) else {
            println!("| {peer} | – | – | – |");
            continue;
        };
        println!("| {peer} | {:.1} | {least:.1} | {most:.1} |", times[times.len() / 2]);
    }
}

//! Race: several ways to one answer. The first to succeed decides, and the others stop at once.

use std::time::Duration;

use llmspell::observe::EventKind;
use llmspell::{Context, Step, race};
use llmspell_test::FakeTool;

use crate::section::{Section, close_to};

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tool(name: &'static str, delay: Duration) -> FakeTool<String> {
    FakeTool::new(name).delay(delay)
}

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("race", "three tools for one answer");

    let cx = Context::recording();
    let contest = race((tool("paris", millis(300)), tool("tokyo", millis(250)), tool("lima", millis(400))));
    contest.run("query".to_owned(), &cx).await?;
    let winner = winner(&cx);
    let took = section.add("race((paris, tokyo, lima))", &cx, format!("won by {winner}"));
    section.claim(winner == "tokyo" && close_to(took, millis(250)), format!("{winner} wins, after its own 250 ms"));
    section.claim(cancelled(&cx) == 2, format!("{} losers cancelled when it is decided", cancelled(&cx)));

    // An error is not an answer: the fastest fails, the next one wins.
    let cx = Context::recording();
    let contest =
        race((tool("paris", millis(300)), tool("tokyo", millis(250)), tool("broken", millis(100)).failure_rate(1.0)));
    contest.run("query".to_owned(), &cx).await?;
    let winner = self::winner(&cx);
    section.add("the fastest one fails", &cx, format!("won by {winner}"));
    section.claim(winner == "tokyo", "an error does not win; the first success does");

    // If all fail, every failure is kept.
    let cx = Context::recording();
    let contest = race((tool("paris", millis(30)).failure_rate(1.0), tool("tokyo", millis(20)).failure_rate(1.0)));
    let failures = contest.run("query".to_owned(), &cx).await.err().map_or(0, |error| error.causes().len());
    section.claim(failures == 2, format!("if all fail, all {failures} failures are kept"));
    Ok(section)
}

/// Returns the winner, from the events.
fn winner(cx: &Context) -> String {
    let won = cx.events().into_iter().find_map(|event| match event.fact {
        EventKind::RaceWon { name, .. } => name,
        _ => None,
    });
    won.unwrap_or_else(|| "nobody".to_owned())
}

fn cancelled(cx: &Context) -> usize {
    cx.events().iter().filter(|event| matches!(event.fact, EventKind::Cancelled { .. })).count()
}

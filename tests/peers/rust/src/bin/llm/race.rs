//! Two models race for the first token, and the loser is cancelled.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Finish, Model, Options, Reply, Request};
use llmspell::observe::ServedBy;
use llmspell::{Context, Error, Outcome, Result, Step, race};
use model_peers::{ensure, idle, last_task, when_idle};

use super::{SOON, model};

const ROUNDS: usize = 4;

/// Checks in every round that the loser's server is idle soon after the winner's first token, while the winner
/// continues.
pub(crate) async fn first_token_decides(urls: [&str; 2]) -> Result<String> {
    let mut wins = [0; 2];
    let (mut slowest, mut continued, mut started) = (Duration::ZERO, 0, 0);
    for round in 0..ROUNDS {
        for url in urls {
            when_idle(url, SOON).await?;
        }
        let before = [last_task(urls[0]).await?, last_task(urls[1]).await?];
        let contenders = (model(urls[0])?.step().named("one"), model(urls[1])?.step().named("two"));
        // `with_outcome` reports the winner. Each round has its own prompt, because the server caches prompts.
        let fastest = race(contenders).first_output().named("race").with_outcome();
        let prompt = format!("Round {round}. {}", "Tell the story of two hares who race for a carrot. ".repeat(6));
        let request = Request::new(prompt).with_options(Options::new().max_tokens(64).temperature(0.0));
        let (cx, mut chunks) = Context::new().with_chunks(256);
        let run = async {
            let cx = cx;
            fastest.run(request, &cx).await
        };
        let watch = async {
            let first = chunks.next().await;
            let decided = Instant::now();
            let first = first.ok_or_else(|| Error::failed("no model sent a token"))?;
            let winner = usize::from(first.path.to_string().contains("two"));
            when_idle(urls[1 - winner], SOON).await?;
            let freed = decided.elapsed();
            let continues = !idle(urls[winner]).await?;
            while chunks.next().await.is_some() {}
            let had_started = last_task(urls[1 - winner]).await? != before[1 - winner];
            Ok::<_, Error>((winner, freed, continues, had_started))
        };
        let (outcome, watched) = tokio::join!(run, watch);
        let (winner, freed, continues, had_started) = watched?;
        let outcome: Outcome<Reply> = outcome?;
        ensure(winner_of(&outcome) == Some(winner), || {
            format!("{winner} sent the first token, but {:?} won", winner_of(&outcome))
        })?;
        let reply = outcome.result?;
        ensure(matches!(reply.finish, Finish::Stop | Finish::Length), || format!("no end: {:?}", reply.finish))?;
        wins[winner] += 1;
        slowest = slowest.max(freed);
        continued += usize::from(continues);
        started += usize::from(had_started);
    }
    ensure(started > 0, || "no loser had started: nothing was cancelled".into())?;
    ensure(continued > 0, || "no winner was seen to continue".into())?;
    Ok(format!(
        "{ROUNDS} rounds, won {} to {}; the loser had begun in {started}, and was idle at most {} ms after the winner's \
         first token, in {continued} while the winner went on",
        wins[0],
        wins[1],
        slowest.as_millis()
    ))
}

fn winner_of(outcome: &Outcome<Reply>) -> Option<usize> {
    outcome.provenance.choices.iter().find_map(|choice| match choice.served_by {
        ServedBy::Contender { index, .. } => Some(index),
        _ => None,
    })
}

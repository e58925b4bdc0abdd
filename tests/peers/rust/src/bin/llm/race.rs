//! Two models race for the first token, and the loser stops working.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Finish, Model, Options, Reply, Request};
use llmspell::{Context, Error, Outcome, Result, ServedBy, Step, race};
use model_peers::{ensure, idle, last_work, when_idle};

use super::{SOON, model};

const ROUNDS: usize = 4;

/// In every round, the loser's server is idle soon after the winner's first token, while the winner goes on.
pub(crate) async fn the_first_token_decides(urls: [&str; 2]) -> Result<String> {
    let mut wins = [0; 2];
    let (mut slowest, mut went_on, mut begun) = (Duration::ZERO, 0, 0);
    for round in 0..ROUNDS {
        for url in urls {
            when_idle(url, SOON).await?;
        }
        let before = [last_work(urls[0]).await?, last_work(urls[1]).await?];
        let contenders = (model(urls[0])?.step().named("one"), model(urls[1])?.step().named("two"));
        // Observed, to be told who won; with words of its own, or the second round finds the prompt in a cache.
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
            let first = first.ok_or_else(|| Error::failed("nobody said anything"))?;
            let winner = usize::from(first.path.to_string().contains("two"));
            when_idle(urls[1 - winner], SOON).await?;
            let freed = decided.elapsed();
            let goes_on = !idle(urls[winner]).await?;
            while chunks.next().await.is_some() {}
            let had_begun = last_work(urls[1 - winner]).await? != before[1 - winner];
            Ok::<_, Error>((winner, freed, goes_on, had_begun))
        };
        let (outcome, watched) = tokio::join!(run, watch);
        let (winner, freed, goes_on, had_begun) = watched?;
        let outcome: Outcome<Reply> = outcome?;
        ensure(won(&outcome) == Some(winner), || format!("{winner} spoke first, but {:?} won", won(&outcome)))?;
        let reply = outcome.result?;
        ensure(matches!(reply.finish, Finish::Stop | Finish::Length), || format!("no end: {:?}", reply.finish))?;
        wins[winner] += 1;
        slowest = slowest.max(freed);
        went_on += usize::from(goes_on);
        begun += usize::from(had_begun);
    }
    ensure(begun > 0, || "no loser had ever begun: nothing was cancelled".into())?;
    ensure(went_on > 0, || "no winner was seen to go on".into())?;
    Ok(format!(
        "{ROUNDS} rounds, won {} to {}; the loser had begun in {begun}, and was idle at most {} ms after the winner's \
         first token, in {went_on} while the winner went on",
        wins[0],
        wins[1],
        slowest.as_millis()
    ))
}

fn won(outcome: &Outcome<Reply>) -> Option<usize> {
    outcome.provenance.choices.iter().find_map(|choice| match choice.served_by {
        ServedBy::Contender { index, .. } => Some(index),
        _ => None,
    })
}

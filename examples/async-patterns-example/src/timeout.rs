//! Timeout: a tool that is too slow is stopped, tried again with more time, and in the end replaced.

use std::time::Duration;

use llmspell::observe::Quality;
use llmspell::{Context, ErrorKind, Retry, Step, value};
use llmspell_test::FakeTool;

use crate::section::{Section, close_to};

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn archive() -> FakeTool<String> {
    FakeTool::new("archive").delay(secs(2))
}

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("timeout", "a tool that needs 2 s");

    // It gets one second, and is stopped.
    let cx = Context::recording();
    let failure = archive().timeout(secs(1)).run("query".to_owned(), &cx).await;
    let took = section.add("timeout(1 s)", &cx, failure.as_ref().err().map(ToString::to_string).unwrap_or_default());
    let timed_out = failure.is_err_and(|error| error.kind() == ErrorKind::Timeout);
    section.claim(timed_out && close_to(took, secs(1)), "stopped after 1 s, not after 2");

    // It gets one second, then three: a retry is a policy, not a second call.
    let cx = Context::recording();
    let patient = archive().timeout([secs(1), secs(3)]).retry(Retry::immediately().max_attempts(2)).with_outcome();
    let outcome = patient.run("query".to_owned(), &cx).await?;
    section.add("timeout([1 s, 3 s]).retry(…)", &cx, "the second attempt has more time");
    section.claim(
        outcome.is_ok() && outcome.provenance.retries == 1,
        format!(
            "succeeded with {} retry; the first attempt is on record: {}",
            outcome.provenance.retries, outcome.causes[0]
        ),
    );

    // It gets one second, and something else serves: the result says so.
    let cx = Context::recording();
    let degrading = archive().timeout(secs(1)).fallback(value("from the cache")).with_outcome();
    let outcome = degrading.run("query".to_owned(), &cx).await?;
    section.add("timeout(1 s).fallback(cache)", &cx, format!("“{}”", outcome.result?));
    section.claim(
        outcome.quality == Quality::Fallback,
        format!("the result is marked: quality {}, because {}", outcome.quality.as_str(), outcome.causes[0]),
    );
    Ok(section)
}

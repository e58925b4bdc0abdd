//! Faults of servers, and their error classes.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Model, ModelErrorClass, ModelEvent, Request};
use llmspell::{Context, Error, ErrorKind, EventKind, Result, Retry, Step};
use llmspell_models::Wire;
use model_peers::ensure;

use super::{Mock, SILENCE, WIRES, ask, failure, journal};

pub(crate) async fn too_many_requests_say_when(mock: &Mock) -> Result<String> {
    let cx = Context::recording();
    let result = mock.model()?.step().run("limited".into(), &cx).await;
    let error = result.err().ok_or_else(|| Error::failed("it was answered"))?;
    ensure((error.kind(), error.is_transient()) == (ErrorKind::Overloaded, true), || format!("{error:?}"))?;
    ensure(error.retry_after() == Some(Duration::from_secs(1)), || format!("{:?}", error.retry_after()))?;
    let limits = cx.events().into_iter().find_map(|event| match event.fact {
        EventKind::RateLimits(limits) => limits.requests,
        _ => None,
    });
    let limits = limits.ok_or_else(|| Error::failed("the x-ratelimit-* headers were not read"))?;
    ensure((limits.limit, limits.remaining) == (60, 0), || format!("{limits:?}"))?;
    let sent = journal::info(mock, "limited").await?.len();
    ensure(sent == 1, || format!("{sent} requests, and nobody asked for retries"))?;
    Ok("rate_limited, come back after 1 s, 0 of 60 requests left; one request".to_owned())
}

pub(crate) async fn retry_waits_for_retry_after(mock: &Mock) -> Result<String> {
    let retry = Retry::exponential().base(Duration::from_millis(1)).max_attempts(3);
    let reply = mock.model()?.step().retry(retry).run("slow down".into(), &Context::new()).await?;
    ensure(reply.text == "Thank you for waiting.", || reply.text.clone())?;
    let times = journal::times(&journal::info(mock, "slow down").await?);
    let [first, second] = times.as_slice() else {
        return Err(Error::failed(format!("{} requests", times.len())));
    };
    let wait = second - first;
    ensure(wait >= 1000, || format!("again after {wait} ms"))?;
    Ok(format!("again after {wait} ms, two requests in the journal"))
}

pub(crate) async fn overload_is_distinct_from_failure(mock: &Mock) -> Result<String> {
    for wire in WIRES {
        let (error, cause) = failure(mock.models(wire).get("mock/some-model")?, "busy").await?;
        let is_overload = (cause.class, cause.status) == (ModelErrorClass::Overloaded, Some(503));
        ensure(is_overload && error.is_transient(), || format!("{wire:?}: {error:?}"))?;
        ensure(cause.message.contains("Overloaded"), || format!("{wire:?}: {error:?}"))?;
    }
    Ok("overloaded on four wires, in the server's words".to_owned())
}

pub(crate) async fn retries_are_as_many_as_were_asked_for(mock: &Mock) -> Result<String> {
    let retry = Retry::immediately().max_attempts(3);
    let result = mock.model()?.step().retry(retry).run("broken".into(), &Context::new()).await;
    let error = result.err().ok_or_else(|| Error::failed("it was answered"))?;
    ensure(error.attempts() == 3, || format!("{error:?}"))?;
    let sent = journal::info(mock, "broken").await?.len();
    ensure(sent == 3, || format!("{sent} requests"))?;
    Ok("three requests in the journal, not one more".to_owned())
}

pub(crate) async fn a_connection_that_breaks(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "gone").await?;
    ensure(cause.class == ModelErrorClass::Connection && error.is_transient(), || format!("{error:?}"))?;
    let sent = journal::info(mock, "gone").await?.len();
    ensure(sent == 1, || format!("{sent} requests: somebody below us tries again"))?;
    Ok(format!("{}; one request", cause.class))
}

pub(crate) async fn an_answer_cut_short(mock: &Mock) -> Result<String> {
    let mut classes = Vec::new();
    for wire in WIRES {
        let model = mock.models(wire).get("mock/some-model")?;
        let (error, cause) = failure(model, "cut").await?;
        let is_cut = matches!(cause.class, ModelErrorClass::Connection | ModelErrorClass::Truncated);
        ensure(is_cut && error.is_transient(), || format!("{wire:?}: {error:?}"))?;
        classes.push(cause.class.to_string());
    }
    Ok(classes.join(", "))
}

/// An empty finish reason does not count.
pub(crate) async fn an_end_that_is_none(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "unfinished").await?;
    ensure(cause.class == ModelErrorClass::Truncated && error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("`finish_reason: \"\"` and `[DONE]`: {}", cause.class))
}

pub(crate) async fn nonsense(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "malformed").await?;
    ensure(cause.class == ModelErrorClass::Protocol && !error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("{}: {}", cause.class, cause.message))
}

pub(crate) async fn a_server_that_does_not_begin(mock: &Mock) -> Result<String> {
    let models = mock.models(Wire::OpenAi).header_timeout(SILENCE);
    let begun = Instant::now();
    let (error, cause) = failure(models.get("mock/some-model")?, "slow start").await?;
    let took = begun.elapsed();
    ensure(cause.class == ModelErrorClass::Timeout && error.is_transient(), || format!("{error:?}"))?;
    // Of 5 s that it takes.
    ensure(took < Duration::from_secs(3), || format!("after {took:.1?}"))?;
    // Silence in the middle is another matter: with patience for the headers it is answered.
    let patient = mock.models(Wire::OpenAi).idle_timeout(SILENCE).get("mock/some-model")?;
    ask(patient, "slow start").await?;
    Ok(format!("timeout after {} ms of 5000; only the header timeout counts", took.as_millis()))
}

pub(crate) async fn a_stream_that_stalls(mock: &Mock) -> Result<String> {
    let model = mock.models(Wire::OpenAi).idle_timeout(SILENCE).get("mock/some-model")?;
    let begun = Instant::now();
    let mut stream = model.stream(Request::new("stalled"), &Context::new());
    let mut started = false;
    let error = loop {
        match stream.next().await {
            Some(Ok(ModelEvent::Finish(_))) | None => return Err(Error::failed("it came to its end")),
            Some(Ok(_)) => started = true,
            Some(Err(error)) => break error,
        }
    };
    let took = begun.elapsed();
    ensure(started && error.kind() == ErrorKind::Timeout, || format!("{error:?}"))?;
    ensure(took < Duration::from_secs(3), || format!("after {took:.1?}"))?;
    Ok(format!("timeout after {} ms; the next piece would have come after 5000", took.as_millis()))
}

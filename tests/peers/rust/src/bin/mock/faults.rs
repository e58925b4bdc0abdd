//! Faults of servers, and the errors that they become.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Model, ModelErrorClass, ModelEvent, Request};
use llmspell::observe::EventKind;
use llmspell::{Context, Error, ErrorKind, Result, Retry, Step};
use llmspell_models::Wire;
use model_peers::ensure;

use super::{Mock, SILENCE, WIRES, ask, failure, journal};

pub(crate) async fn rate_limit_has_its_delay(mock: &Mock) -> Result<String> {
    let cx = Context::recording();
    let result = mock.model()?.step().run("limited".into(), &cx).await;
    let error = result.err().ok_or_else(|| Error::failed("expected an error, found an answer"))?;
    ensure((error.kind(), error.is_transient()) == (ErrorKind::Overloaded, true), || format!("{error:?}"))?;
    ensure(error.retry_after() == Some(Duration::from_secs(1)), || format!("{:?}", error.retry_after()))?;
    let limits = cx.events().into_iter().find_map(|event| match event.fact {
        EventKind::RateLimits(limits) => limits.requests,
        _ => None,
    });
    let limits = limits.ok_or_else(|| Error::failed("the x-ratelimit-* headers were not read"))?;
    ensure((limits.limit, limits.remaining) == (60, 0), || format!("{limits:?}"))?;
    let sent = journal::requests(mock, "limited").await?.len();
    ensure(sent == 1, || format!("{sent} requests without a retry"))?;
    Ok("rate_limited, come back after 1 s, 0 of 60 requests left; one request".to_owned())
}

pub(crate) async fn retry_waits_for_the_delay_of_the_server(mock: &Mock) -> Result<String> {
    let retry = Retry::exponential().base(Duration::from_millis(1)).max_attempts(3);
    let reply = mock.model()?.step().retry(retry).run("slow down".into(), &Context::new()).await?;
    ensure(reply.text == "Thank you for waiting.", || reply.text.clone())?;
    let times = journal::times(&journal::requests(mock, "slow down").await?);
    let [first, second] = times.as_slice() else {
        return Err(Error::failed(format!("{} requests", times.len())));
    };
    let wait = second - first;
    ensure(wait >= 1000, || format!("again after {wait} ms"))?;
    Ok(format!("again after {wait} ms, two requests in the journal"))
}

pub(crate) async fn overload_differs_from_failure(mock: &Mock) -> Result<String> {
    for wire in WIRES {
        let (error, cause) = failure(mock.models(wire).get("mock/some-model")?, "busy").await?;
        let is_overload = (cause.class, cause.status) == (ModelErrorClass::Overloaded, Some(503));
        ensure(is_overload && error.is_transient(), || format!("{wire:?}: {error:?}"))?;
        ensure(cause.message.contains("Overloaded"), || format!("{wire:?}: {error:?}"))?;
    }
    Ok("overloaded on four wires, in the server's words".to_owned())
}

pub(crate) async fn retries_are_as_many_as_configured(mock: &Mock) -> Result<String> {
    let retry = Retry::immediately().max_attempts(3);
    let result = mock.model()?.step().retry(retry).run("broken".into(), &Context::new()).await;
    let error = result.err().ok_or_else(|| Error::failed("expected an error, found an answer"))?;
    ensure(error.attempts() == 3, || format!("{error:?}"))?;
    let sent = journal::requests(mock, "broken").await?.len();
    ensure(sent == 3, || format!("{sent} requests"))?;
    Ok("three requests in the journal, not one more".to_owned())
}

pub(crate) async fn connection_broken_before_the_answer(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "gone").await?;
    ensure(cause.class == ModelErrorClass::Connection && error.is_transient(), || format!("{error:?}"))?;
    let sent = journal::requests(mock, "gone").await?.len();
    ensure(sent == 1, || format!("{sent} requests: a lower layer retries"))?;
    Ok(format!("{}; one request", cause.class))
}

pub(crate) async fn connection_broken_in_the_answer(mock: &Mock) -> Result<String> {
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

/// An empty finish reason counts as missing.
pub(crate) async fn end_without_a_finish_reason(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "unfinished").await?;
    ensure(cause.class == ModelErrorClass::Truncated && error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("`finish_reason: \"\"` and `[DONE]`: {}", cause.class))
}

pub(crate) async fn invalid_json(mock: &Mock) -> Result<String> {
    let (error, cause) = failure(mock.model()?, "malformed").await?;
    ensure(cause.class == ModelErrorClass::Protocol && !error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("{}: {}", cause.class, cause.message))
}

pub(crate) async fn headers_that_do_not_arrive(mock: &Mock) -> Result<String> {
    let models = mock.models(Wire::OpenAi).header_timeout(SILENCE);
    let started_at = Instant::now();
    let (error, cause) = failure(models.get("mock/some-model")?, "slow start").await?;
    let duration = started_at.elapsed();
    ensure(cause.class == ModelErrorClass::Timeout && error.is_transient(), || format!("{error:?}"))?;
    // The server would take 5 s.
    ensure(duration < Duration::from_secs(3), || format!("after {duration:.1?}"))?;
    // The idle timeout covers only the body: with it alone, the late headers are accepted.
    let patient = mock.models(Wire::OpenAi).idle_timeout(SILENCE).get("mock/some-model")?;
    ask(patient, "slow start").await?;
    Ok(format!("timeout after {} ms of 5000; only the header timeout counts", duration.as_millis()))
}

pub(crate) async fn stalled_stream(mock: &Mock) -> Result<String> {
    let model = mock.models(Wire::OpenAi).idle_timeout(SILENCE).get("mock/some-model")?;
    let started_at = Instant::now();
    let mut stream = model.stream(Request::new("stalled"), &Context::new());
    let mut started = false;
    let error = loop {
        match stream.next().await {
            Some(Ok(ModelEvent::Finish(_))) | None => {
                return Err(Error::failed("expected an error, found the end of the stream"));
            }
            Some(Ok(_)) => started = true,
            Some(Err(error)) => break error,
        }
    };
    let duration = started_at.elapsed();
    ensure(started && error.kind() == ErrorKind::Timeout, || format!("{error:?}"))?;
    ensure(duration < Duration::from_secs(3), || format!("after {duration:.1?}"))?;
    Ok(format!("timeout after {} ms; the next piece would have come after 5000", duration.as_millis()))
}

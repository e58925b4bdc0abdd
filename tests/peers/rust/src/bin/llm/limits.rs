//! Calls that end before their answer is complete.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Model, ModelError, ModelErrorClass, ModelEvent, Options, Request};
use llmspell::{Context, Error, ErrorKind, Result, Step};
use model_peers::{ensure, when_idle};

use super::{SOON, model};

fn long_request() -> Request {
    Request::new("Tell a very long story about a lighthouse.").with_options(Options::new().max_tokens(1500))
}

/// Checks that the caller returns in time, and that the server stops.
pub(crate) async fn deadline_ends_the_call(url: &str) -> Result<String> {
    let deadline = Duration::from_secs(1);
    let ask = model(url)?.step().deadline(deadline);
    let started = Instant::now();
    let result = ask.run(long_request(), &Context::new()).await;
    let free = started.elapsed();
    let error = result.err().ok_or_else(|| Error::failed("the answer is too short for this trial"))?;
    ensure(error.kind() == ErrorKind::Timeout, || format!("not a timeout: {error:?}"))?;
    // The machine may be busy, so that half the deadline more is tolerated.
    ensure(free < deadline * 3 / 2, || format!("the caller waited for {free:.2?}"))?;
    let idle = when_idle(url, SOON).await?;
    Ok(format!("caller free after {} ms, slot idle {} ms later", free.as_millis(), idle.as_millis()))
}

/// Checks that dropping the stream stops the model.
pub(crate) async fn dropped_stream_ends_the_call(url: &str) -> Result<String> {
    let mut stream = model(url)?.stream(long_request(), &Context::new());
    let mut pieces = 0;
    while pieces < 5 {
        match stream.next().await {
            Some(Ok(ModelEvent::Text(_))) => pieces += 1,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(Error::failed("the stream ended")),
        }
    }
    drop(stream);
    let idle = when_idle(url, SOON).await?;
    Ok(format!("after 5 pieces; slot idle {} ms later", idle.as_millis()))
}

/// Checks that the error has the class of an oversized prompt, and not only the status 400.
pub(crate) async fn oversized_prompt_has_its_error_class(url: &str) -> Result<String> {
    let result = model(url)?.step().run(Request::new("word ".repeat(4000)), &Context::new()).await;
    let error = result.err().ok_or_else(|| Error::failed("expected an error, found an answer"))?;
    let cause =
        error.downcast_ref::<ModelError>().ok_or_else(|| Error::failed("expected a ModelError as the cause"))?;
    ensure((cause.class, cause.status) == (ModelErrorClass::ContextTooLong, Some(400)), || format!("{cause:?}"))?;
    ensure(error.kind() == ErrorKind::Invalid && !error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("{}: {}", cause.class, error.message()))
}

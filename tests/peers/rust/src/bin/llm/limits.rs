//! Calls that end before their answer does.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{Model, ModelError, ModelErrorClass, ModelEvent, Options, Request};
use llmspell::{Context, Error, ErrorKind, Result, Step};
use model_peers::{ensure, when_idle};

use super::{SOON, model};

fn long_request() -> Request {
    Request::new("Tell a very long story about a lighthouse.").with_options(Options::new().max_tokens(1500))
}

/// The caller is free in time, and the server stops.
pub(crate) async fn a_deadline_ends_it(url: &str) -> Result<String> {
    let deadline = Duration::from_secs(1);
    let ask = model(url)?.step().deadline(deadline);
    let begun = Instant::now();
    let result = ask.run(long_request(), &Context::new()).await;
    let free = begun.elapsed();
    let error = result.err().ok_or_else(|| Error::failed("the answer came in time: it is not long"))?;
    ensure(error.kind() == ErrorKind::Timeout, || format!("not a timeout: {error:?}"))?;
    // The machine may be busy; what hangs takes longer than that.
    ensure(free < deadline * 3 / 2, || format!("the caller waited for {free:.2?}"))?;
    let idle = when_idle(url, SOON).await?;
    Ok(format!("caller free after {} ms, slot idle {} ms later", free.as_millis(), idle.as_millis()))
}

/// A client that drops the stream stops the model.
pub(crate) async fn a_dropped_stream_ends_it(url: &str) -> Result<String> {
    let mut stream = model(url)?.stream(long_request(), &Context::new());
    let mut pieces = 0;
    while pieces < 5 {
        match stream.next().await {
            Some(Ok(ModelEvent::Text(_))) => pieces += 1,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(Error::failed("it ended")),
        }
    }
    drop(stream);
    let idle = when_idle(url, SOON).await?;
    Ok(format!("after 5 pieces; slot idle {} ms later", idle.as_millis()))
}

/// The class of the error says what to do about it, not only that it was a 400.
pub(crate) async fn too_long_prompt_has_its_class(url: &str) -> Result<String> {
    let result = model(url)?.step().run(Request::new("word ".repeat(4000)), &Context::new()).await;
    let error = result.err().ok_or_else(|| Error::failed("it was answered"))?;
    let cause = error.downcast_ref::<ModelError>().ok_or_else(|| Error::failed("no ModelError"))?;
    ensure((cause.class, cause.status) == (ModelErrorClass::ContextTooLong, Some(400)), || format!("{cause:?}"))?;
    ensure(error.kind() == ErrorKind::Invalid && !error.is_transient(), || format!("{error:?}"))?;
    Ok(format!("{}: {}", cause.class, error.message()))
}

//! Models: event streams, complete replies, usage, and models for tests.

mod interrupted;
mod large;
mod simulated;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use llmspell::context::ChunkData;
use llmspell::model::{
    EventSender, Finish, Model, ModelError, ModelErrorClass, ModelEvent, ModelStream, Options, Prices, Reply, Request,
    ToolCallDelta,
};
use llmspell::observe::{Cost, Usage};
use llmspell::{Context, Error, ErrorKind, Result, Step, race};
use llmspell_test::{ScriptedModel, SimulatedModel};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::probe::{Watch, ms};
use crate::wait::completes;

/// A model that sends the events of a closure.
pub struct ClosureModel<F>(pub F);

impl<F, Fut> Model for ClosureModel<F>
where
    F: Fn(EventSender) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn name(&self) -> &str {
        "plays"
    }

    fn stream(&self, _: Request, _: &Context) -> ModelStream {
        ModelStream::produce(self.0.clone())
    }
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn piece(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> ModelEvent {
    let mut delta = ToolCallDelta::more(index, arguments);
    (delta.id, delta.name) = (id.map(str::to_owned), name.map(str::to_owned));
    ModelEvent::ToolCall(delta)
}

const STOP: ModelEvent = ModelEvent::Finish(Finish::Stop);

async fn reply_of(events: impl IntoIterator<Item = ModelEvent>) -> Result<Reply> {
    ScriptedModel::new("test").sends(events).step().run(Request::new("?"), &Context::new()).await
}

fn class(error: &Error) -> Option<ModelErrorClass> {
    Some(error.downcast_ref::<ModelError>()?.class)
}

#[tokio::test(start_paused = true)]
async fn producer_error_after_its_sender_is_dropped_is_kept() {
    let mut stream = ModelStream::produce(async |events: EventSender| {
        events.send(text("so far")).await?;
        drop(events);
        sleep(ms(10)).await;
        Err(Error::failed("then this"))
    });
    assert_eq!(completes(stream.next()).await.unwrap().unwrap(), text("so far"));
    assert_eq!(completes(stream.next()).await.unwrap().unwrap_err().message(), "then this");
    assert!(completes(stream.next()).await.is_none());
}

#[tokio::test]
async fn stream_without_finish_reason_is_truncated() {
    let started = ModelEvent::started(Some("m-1".into()), Some("req-7".into()));
    for events in [vec![], vec![text("Hello")], vec![started, text("Hel"), ModelEvent::Usage(Usage::new(1, 1))]] {
        let any_id = events.len() == 3;
        let error = reply_of(events).await.unwrap_err();
        assert_eq!((error.kind(), class(&error)), (ErrorKind::Failed, Some(ModelErrorClass::Truncated)));
        assert!(error.is_transient());
        assert_eq!(error.downcast_ref::<ModelError>().unwrap().request_id.is_some(), any_id);
    }
}

#[tokio::test]
async fn reply_is_assembled_from_pieces() {
    let reply = reply_of([
        ModelEvent::started(Some("m-1".into()), Some("req-1".into())),
        ModelEvent::Reasoning("Let ".into()),
        ModelEvent::Reasoning("me".into()),
        text("It "),
        ModelEvent::Alive,
        // The interleaved pieces of two calls; the second call arrives first.
        piece(1, Some("b"), Some("second"), "{\"x\""),
        piece(0, Some("a"), Some("first"), "{}"),
        piece(1, None, None, ":1}"),
        text("is."),
        ModelEvent::Opaque(json!({ "signature": "s" })),
        ModelEvent::Usage(Usage::new(7, 1)),
        ModelEvent::Usage(Usage::new(7, 5)),
        ModelEvent::Finish(Finish::ToolCalls),
    ]);
    let reply = reply.await.unwrap();
    assert_eq!((reply.text.as_str(), reply.reasoning.as_str()), ("It is.", "Let me"));
    let calls: Vec<_> = reply.tool_calls.iter().map(|call| (&*call.id, &*call.name, &*call.arguments)).collect();
    assert_eq!(calls, [("a", "first", "{}"), ("b", "second", "{\"x\":1}")]);
    assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (7, 5));
    assert_eq!((reply.model.as_deref(), reply.request_id.as_deref()), (Some("m-1"), Some("req-1")));
    assert_eq!(reply.opaque, [json!({ "signature": "s" })]);
    let stored = serde_json::to_string(&reply).unwrap();
    assert_eq!(serde_json::from_str::<Reply>(&stored).unwrap(), reply);
}

#[tokio::test]
async fn every_call_gets_a_unique_id() {
    for ids in [vec!["", "", ""], vec!["x", "x", "x"], vec!["call_1", "", "call_1"], vec!["", "call_0", ""]] {
        let calls = ids.iter().enumerate().map(|(index, id)| piece(index, Some(id), Some("t"), "{}"));
        let reply = reply_of(calls.chain([ModelEvent::Finish(Finish::ToolCalls)])).await.unwrap();
        let mut names: Vec<_> = reply.tool_calls.iter().map(|call| call.id.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), names.contains(&String::new())), (3, false), "{ids:?}");
    }
}

#[tokio::test]
async fn usage_reported_twice_counts_once() {
    let model = ScriptedModel::new("test").sends([
        ModelEvent::Usage(Usage::new(100, 0)),
        text("Yes."),
        ModelEvent::Usage(Usage::new(100, 10)),
        ModelEvent::Usage(Usage::new(100, 10)),
        STOP,
    ]);
    let ask = model.step().prices(Prices::per_million(1e6, 2e6));
    let outcome = ask.with_outcome().run(Request::new("?"), &Context::new()).await.unwrap();
    let reply = outcome.result.unwrap();
    assert_eq!((reply.usage.tokens(), reply.usage.cost), (110, Cost::new(120.0)));
    assert_eq!(outcome.provenance.usage(), reply.usage);
}

#[tokio::test]
async fn non_finite_cost_does_not_spoil_the_sum() {
    let mut usage = Usage::new(1, 1);
    usage.cost = Cost::new(f64::NAN);
    let reply = reply_of([ModelEvent::Usage(usage), STOP]).await.unwrap();
    assert_eq!(reply.usage.cost, Cost::ZERO);
    usage.cost = Cost::new(f64::INFINITY);
    assert_eq!(reply_of([ModelEvent::Usage(usage), STOP]).await.unwrap().usage.cost, Cost::ZERO);
}

#[tokio::test]
async fn truncated_calls_are_an_error() {
    let cut = [piece(0, Some("a"), Some("t"), "{\"path\": \"/et"), ModelEvent::Finish(Finish::Length)];
    let error = reply_of(cut).await.unwrap_err();
    assert_eq!((class(&error), error.is_transient()), (Some(ModelErrorClass::Truncated), false));
    assert_eq!(error.hint(), Some("raise `max_tokens`"));
    // Text that was cut off is still text, and complete calls are still calls.
    let words = reply_of([text("Once upon"), ModelEvent::Finish(Finish::Length)]).await.unwrap();
    assert_eq!((words.text.as_str(), words.finish), ("Once upon", Finish::Length));
    let whole = [text("I look."), piece(0, Some("a"), Some("t"), "{}"), ModelEvent::Finish(Finish::Length)];
    assert_eq!(reply_of(whole).await.unwrap().tool_calls.len(), 1);
}

#[tokio::test]
async fn stream_is_lazy_and_stops_when_dropped() {
    let watch = Watch::default();
    let seen = watch.clone();
    let model = ClosureModel(move |events: EventSender| {
        let seen = seen.clone();
        async move {
            let _alive = seen.enter();
            loop {
                events.send(ModelEvent::Text("on".into())).await?;
            }
        }
    });
    let mut stream = model.stream(Request::new("?"), &Context::new());
    assert_eq!(watch.begun(), 0);
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap().unwrap(), text("on"));
    }
    assert_eq!(watch.alive(), 1);
    drop(stream);
    assert_eq!(watch.alive(), 0);
}

#[tokio::test]
async fn producer_is_at_most_one_event_ahead() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let mut stream = ModelStream::produce(async move |events: EventSender| {
        for _ in 0..10 {
            events.send(ModelEvent::Alive).await?;
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        Ok(())
    });
    for read in 1..=10 {
        stream.next().await.unwrap().unwrap();
        assert!(sent.load(std::sync::atomic::Ordering::SeqCst) <= read + 1);
    }
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn producer_error_is_the_last_item_even_with_live_senders() {
    let (keep, kept) = std::sync::mpsc::sync_channel(1);
    let mut stream = ModelStream::produce(async move |events: EventSender| {
        keep.send(events.clone()).unwrap();
        events.send(text("Hel")).await?;
        Err(Error::failed("broken"))
    });
    assert_eq!(completes(stream.next()).await.unwrap().unwrap(), text("Hel"));
    assert_eq!(completes(stream.next()).await.unwrap().unwrap_err().message(), "broken");
    assert!(completes(stream.next()).await.is_none());
    let late = kept.recv().unwrap().send(STOP).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Cancelled);
    let mut failed = ModelStream::failed(Error::failed("at once"));
    assert_eq!(failed.next().await.unwrap().unwrap_err().message(), "at once");
}

#[tokio::test]
async fn model_is_a_trait_object() {
    let models: Vec<Arc<dyn Model>> =
        vec![Arc::new(ScriptedModel::new("a").says("A.")), Arc::new(ScriptedModel::new("b").says("B."))];
    for (model, expected) in models.into_iter().zip(["A.", "B."]) {
        assert_eq!(model.name(), expected.to_lowercase().trim_end_matches('.'));
        assert_eq!(model.step().run(Request::new("?"), &Context::new()).await.unwrap().text, expected);
    }
    let boxed: Box<dyn Model> = Box::new(ScriptedModel::new("c").says("C."));
    assert_eq!(boxed.step().run(Request::new("?"), &Context::new()).await.unwrap().text, "C.");
}

#[test]
fn model_errors_have_classes() {
    use ModelErrorClass as C;
    let kinds = [
        (C::RateLimited, ErrorKind::Overloaded, true),
        (C::Overloaded, ErrorKind::Overloaded, true),
        (C::Unauthorized, ErrorKind::Denied, false),
        (C::QuotaExhausted, ErrorKind::Denied, false),
        (C::InvalidRequest, ErrorKind::Invalid, false),
        (C::ContextTooLong, ErrorKind::Invalid, false),
        (C::Server, ErrorKind::Failed, true),
        (C::Connection, ErrorKind::Failed, true),
        (C::Timeout, ErrorKind::Timeout, true),
        (C::Truncated, ErrorKind::Failed, true),
        (C::Protocol, ErrorKind::Failed, false),
    ];
    for (class, kind, transient) in kinds {
        let error = ModelError::new(class, "it did not work").with_status(499).with_request_id("r-1").into_error();
        assert_eq!((error.kind(), error.is_transient(), class.is_transient()), (kind, transient, transient), "{class}");
        assert_eq!(error.message(), "499: it did not work (request r-1)");
        assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        let source: &ModelError = error.downcast_ref().unwrap();
        assert_eq!((source.class, source.status, source.request_id.as_deref()), (class, Some(499), Some("r-1")));
    }
    let limited = ModelError::new(C::RateLimited, "429 Too Many Requests").with_status(429).with_retry_after(ms(1500));
    let error = limited.into_error();
    assert_eq!((error.message(), error.retry_after()), ("429 Too Many Requests", Some(ms(1500))));
    assert!(error.hint().is_some());
    assert_eq!(C::from_status(200), None);
    for (status, class) in [(402, C::QuotaExhausted), (404, C::InvalidRequest), (529, C::Overloaded), (502, C::Server)]
    {
        assert_eq!(C::from_status(status), Some(class));
    }
}

#[tokio::test]
async fn invalid_options_are_rejected_before_the_request() {
    for options in [Options::new().temperature(f64::NAN), Options::new().top_p(1.5), Options::new().max_tokens(0)] {
        let model = ScriptedModel::new("test").says("Never.");
        let error =
            model.clone().step().run(Request::new("?").with_options(options), &Context::new()).await.unwrap_err();
        assert_eq!((error.kind(), model.requests().len()), (ErrorKind::Invalid, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn output_is_partial_output_and_metadata_is_not() {
    let (cx, mut chunks) = Context::new().with_chunks(64);
    let model = ScriptedModel::new("test").sends([
        ModelEvent::started(None, None),
        ModelEvent::Reasoning("Hm.".into()),
        text("Yes."),
        ModelEvent::Usage(Usage::new(1, 1)),
        STOP,
    ]);
    model.step().named("ask").run(Request::new("?"), &cx).await.unwrap();
    drop(cx);
    let mut shown = Vec::new();
    while let Some(chunk) = chunks.next().await {
        assert_eq!(chunk.path.as_str(), "ask");
        if let ChunkData::Output(data) = chunk.data {
            shown.push(serde_json::from_value::<ModelEvent>(data).unwrap());
        }
    }
    assert_eq!(shown, [ModelEvent::Reasoning("Hm.".into()), text("Yes.")]);
}

/// Sends metadata immediately, and text later.
fn metadata_first(text_after: u64, words: &'static str) -> impl Model {
    ClosureModel(move |events: EventSender| async move {
        events.send(ModelEvent::started(None, None)).await?;
        events.send(ModelEvent::Alive).await?;
        sleep(ms(text_after)).await;
        events.send(text(words)).await?;
        sleep(ms(50)).await;
        events.send(text(words)).await?;
        events.send(STOP).await
    })
}

#[tokio::test(start_paused = true)]
async fn first_output_wins_a_race_and_metadata_does_not() {
    let busy = race((metadata_first(100, "slow ").step(), metadata_first(20, "fast ").step())).first_output();
    let (cx, mut chunks) = Context::new().with_chunks(64);
    let reply = busy.run(Request::new("?"), &cx).await.unwrap();
    assert_eq!(reply.text, "fast fast ");
    drop(cx);
    while let Some(chunk) = chunks.next().await {
        assert_eq!(chunk.data, ChunkData::Output(json!({ "text": "fast " })));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_ends_a_hanging_model() {
    let model = SimulatedModel::new("sim").tokens_per_second(100.0).hanging(1.0);
    let started = Instant::now();
    let ask = model.step().idle_timeout(ms(1000), ms(500));
    let error = completes(ask.run(Request::new("?"), &Context::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    // Ten tokens at intervals of 10 ms, then silence.
    assert!((ms(590)..ms(620)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

/// One word, and then only heartbeats.
fn heartbeats(before: bool) -> impl Model {
    ClosureModel(move |events: EventSender| async move {
        if !before {
            events.send(text("Well")).await?;
        }
        loop {
            sleep(ms(100)).await;
            events.send(ModelEvent::Alive).await?;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_activity_but_not_output() {
    let started = Instant::now();
    let ask = heartbeats(true).step().idle_timeout(ms(1000), ms(300));
    let error = completes(ask.run(Request::new("?"), &Context::new())).await.unwrap_err();
    assert_eq!(
        (error.kind(), started.elapsed().as_millis() / 10),
        (ErrorKind::Timeout, 100),
        "no output within a second"
    );

    let started = Instant::now();
    let ask = heartbeats(false).step().idle_timeout(ms(1000), ms(300)).deadline(ms(10_000));
    let error = completes(ask.run(Request::new("?"), &Context::new())).await.unwrap_err();
    assert_eq!((error.kind(), started.elapsed().as_secs()), (ErrorKind::Timeout, 10), "life for as long as it may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_heartbeats_do_not_starve_timers() {
    /// Never pending, and not made with `produce`.
    struct Busy;
    impl futures_core::Stream for Busy {
        type Item = Result<ModelEvent>;

        fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(ModelEvent::Alive)))
        }
    }
    impl Model for Busy {
        fn name(&self) -> &str {
            "busy"
        }

        fn stream(&self, _: Request, _: &Context) -> ModelStream {
            ModelStream::new(Busy)
        }
    }
    let error = Busy.step().timeout(ms(20)).run(Request::new("?"), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn script_is_replayed_turn_by_turn_and_requests_are_kept() {
    let model = ScriptedModel::new("test")
        .calls("a", json!({}))
        .calls("b", json!({ "n": 1 }))
        .says("One two.")
        .calls_raw("c", "{no")
        .fails(ModelError::new(ModelErrorClass::Server, "down"));
    assert_eq!(model.turns_left(), 4);
    let ask = model.clone().step();
    let cx = Context::new();
    let calls = ask.run(Request::new("1"), &cx).await.unwrap();
    assert_eq!((calls.finish, calls.tool_calls.len()), (Finish::ToolCalls, 2));
    let words = ask.run(Request::new("2 and more"), &cx).await.unwrap();
    assert_eq!((words.usage.input_tokens, words.usage.output_tokens), (3, 2));
    assert_eq!(ask.run(Request::new("3"), &cx).await.unwrap().tool_calls[0].id, "call_2");
    assert_eq!(ask.run(Request::new("4"), &cx).await.unwrap_err().message(), "down");
    let beyond = ask.run(Request::new("5"), &cx).await.unwrap_err();
    assert_eq!((beyond.kind(), beyond.message()), (ErrorKind::Invalid, "test: request 5 is beyond the script"));
    let asked: Vec<_> = model.requests().iter().map(Request::last_text).collect();
    assert_eq!(asked, ["1", "2 and more", "3", "4", "5"]);
    let echo = model.clone().otherwise(move |request| format!("You said {}.", request.last_text()));
    assert_eq!(echo.step().run(Request::new("6"), &cx).await.unwrap().text, "You said 6.");
}

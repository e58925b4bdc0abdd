//! Every way to fail, on OpenAI's wire, and the commonest on all.

use std::time::{Duration, SystemTime};

use llmspell::model::{Model, ModelErrorClass, ModelEvent, Request};
use llmspell::observe::EventKind;
use llmspell::{Context, ErrorKind, Step};
use llmspell_models::Wire;
use llmspell_test::fault_server::{Answer, End};
use serde_json::{Value, json};

use super::{LONG, WIRES, events, failure, failure_in, model, models, server, soon};

fn piece(text: &str) -> Value {
    json!({ "id": "req_1", "choices": [{ "index": 0, "delta": { "content": text } }] })
}

fn too_many() -> Answer {
    Answer::status(429).header("content-type", "application/json")
}

const SLOW_DOWN: &str = r#"{"error":{"message":"Slow down.","type":"requests","code":"rate_limit_exceeded"}}"#;

#[tokio::test]
async fn too_many_requests_on_every_wire_say_when_to_come_back() {
    for wire in WIRES {
        let answer = too_many().header("retry-after", 7).header("x-request-id", "req_9").body(SLOW_DOWN);
        let server = server([answer]).await;
        let (error, cause) = failure(model(&server, wire)).await;
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Overloaded, true), "{wire:?}: {error:?}");
        assert_eq!(cause.class, ModelErrorClass::RateLimited, "{wire:?}");
        assert_eq!(cause.status, Some(429), "{wire:?}");
        assert_eq!(cause.request_id.as_deref(), Some("req_9"), "{wire:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{wire:?}");
        assert_eq!(cause.message, "test/scripted: Slow down.", "{wire:?}");
        assert_eq!(server.requests().len(), 1, "{wire:?}: one request, no hidden retries");
    }
}

#[tokio::test]
async fn all_three_forms_of_retry_after_are_honoured() {
    let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let cases = [
        ("retry-after", "2".to_owned(), Duration::from_secs(2)),
        ("retry-after-ms", "350".to_owned(), Duration::from_millis(350)),
        ("retry-after", in_a_minute, Duration::from_secs(60)),
    ];
    for (name, value, expected) in cases {
        let server = server([too_many().header(name, &value).body(SLOW_DOWN)]).await;
        let (error, _) = failure(model(&server, Wire::OpenAi)).await;
        let wait = error.retry_after().unwrap();
        // A date has whole seconds, and passes while the test runs.
        assert!(wait <= expected && wait + LONG > expected, "{name}: {value} gives {wait:?}");
        assert!(name != "retry-after-ms" || wait == expected);
    }
}

#[tokio::test]
async fn what_the_server_has_left_is_handed_on() {
    let answer = too_many()
        .header("x-ratelimit-limit-requests", 500)
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "1.2s")
        .body(SLOW_DOWN);
    let server = server([answer]).await;
    let cx = Context::recording();
    failure_in(model(&server, Wire::OpenAi), &cx).await;
    let told = cx.events().into_iter().find_map(|event| match event.fact {
        EventKind::RateLimits(limits) => limits.requests,
        _ => None,
    });
    let window = told.unwrap();
    assert_eq!((window.limit, window.remaining, window.reset), (500, 0, Duration::from_millis(1200)));
}

#[tokio::test]
async fn a_page_of_html_is_an_overload_with_the_words_of_its_title() {
    let page = "<html><head><title>503 Service Temporarily Unavailable</title></head><body><hr>nginx</body></html>";
    let server = server([Answer::status(503).header("content-type", "text/html").body(page)]).await;
    let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
    assert_eq!((cause.class, cause.status), (ModelErrorClass::Overloaded, Some(503)));
    assert_eq!(error.message(), "test/scripted: 503 Service Temporarily Unavailable");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_cut_connection_is_no_end() {
    for wire in WIRES {
        let begins = match wire {
            Wire::Ollama => Answer::lines().line(json!({ "message": { "content": "Hi" }, "done": false })),
            Wire::Gemini => {
                Answer::events().data(json!({ "candidates": [{ "content": { "parts": [{ "text": "Hi" }] } }] }))
            }
            Wire::Anthropic => Answer::events()
                .event("content_block_start", json!({ "content_block": { "type": "text" } }))
                .event("content_block_delta", json!({ "delta": { "text": "Hi" } })),
            _ => Answer::events().data(piece("Hi")),
        };
        // The first is cut; the second ends as an answer does, without a reason.
        let server = server([begins.clone().cut(), begins]).await;
        let (heard, error) = events(&model(&server, wire), "Hello?").await;
        assert!(heard.contains(&ModelEvent::Text("Hi".into())), "{wire:?}: {heard:?}");
        let error = error.unwrap();
        let class = error.downcast_ref::<llmspell::model::ModelError>().unwrap().class;
        assert_eq!(class, ModelErrorClass::Connection, "{wire:?}: {error:?}");
        assert!(error.is_transient());

        let (error, cause) = failure(model(&server, wire)).await;
        assert_eq!(cause.class, ModelErrorClass::Truncated, "{wire:?}: {error:?}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn an_empty_reason_is_none() {
    let empty = Answer::events()
        .data(json!({ "choices": [{ "index": 0, "delta": { "content": "Hi" }, "finish_reason": "" }] }));
    // With the mark that ends all streams, and with a connection that is closed in its place.
    let server = server([empty.clone().done(), empty]).await;
    for _ in 0..2 {
        let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
        assert_eq!(cause.class, ModelErrorClass::Truncated, "{error:?}");
    }
}

#[tokio::test]
async fn an_end_without_a_reason_is_a_truncation_and_names_the_request() {
    let server = server([Answer::events().data(piece("Hi")).done()]).await;
    let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
    assert_eq!(cause.class, ModelErrorClass::Truncated, "{error:?}");
    assert_eq!(cause.request_id.as_deref(), Some("req_1"));
}

#[tokio::test]
async fn an_error_within_a_reply_is_one_and_what_follows_is_ignored() {
    let error = json!({ "error": { "message": "The server had an error.", "type": "server_error" } });
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let answer = Answer::events().data(piece("Hi")).data(error).data(piece("more")).data(finish).done();
    let server = server([answer]).await;
    let (heard, error) = events(&model(&server, Wire::OpenAi), "Hello?").await;
    let texts: Vec<_> = heard.iter().filter(|event| matches!(event, ModelEvent::Text(_))).collect();
    assert_eq!(texts, [&ModelEvent::Text("Hi".into())]);
    let error = error.unwrap();
    let cause = error.downcast_ref::<llmspell::model::ModelError>().unwrap();
    assert_eq!(cause.class, ModelErrorClass::Server);
    assert!(error.is_transient());
    assert_eq!(cause.message, "test/scripted: The server had an error.");
}

#[tokio::test]
async fn errors_within_replies_are_heard_on_every_wire() {
    let cases = [
        (Wire::OpenAi, Answer::events().data(json!({ "error": { "code": 529, "message": "busy" } }))),
        (
            Wire::Anthropic,
            Answer::events().event("error", json!({ "error": { "type": "overloaded_error", "message": "busy" } })),
        ),
        (
            Wire::Gemini,
            Answer::events().data(json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "busy" } })),
        ),
    ];
    for (wire, answer) in cases {
        let server = server([answer]).await;
        let (error, cause) = failure(model(&server, wire)).await;
        assert_eq!(cause.class, ModelErrorClass::Overloaded, "{wire:?}: {error:?}");
        assert_eq!(cause.message, "test/scripted: busy", "{wire:?}");
    }
    let line = json!({ "error": "model runner has unexpectedly stopped" });
    let server = server([Answer::lines().line(json!({ "message": { "content": "Hi" } })).line(line)]).await;
    let (error, cause) = failure(model(&server, Wire::Ollama)).await;
    assert_eq!(cause.class, ModelErrorClass::Server, "{error:?}");
    assert!(cause.message.contains("runner"), "{error:?}");
}

#[tokio::test]
async fn what_is_not_json_is_a_breach_of_protocol() {
    let server = server([Answer::events().body("data: {\"choices\": [tru\n\n")]).await;
    let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
    assert_eq!(cause.class, ModelErrorClass::Protocol, "{error:?}");
    assert!(!error.is_transient());
}

/// A whole reply, a page or nonsense with status 200: asked again, it would be the same.
#[tokio::test]
async fn what_is_no_stream_of_events_is_a_breach_of_protocol() {
    let whole = json!({ "id": "req_1", "choices": [{ "message": { "content": "Hi" }, "finish_reason": "stop" }] });
    // A line of JSON is a frame of Ollama's, whatever is in it, and what it means is not asked here.
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        for (content_type, body) in [
            ("application/json", "{malformed json".to_owned()),
            ("application/json", whole.to_string()),
            ("application/json", format!("{whole:#}\n")),
            ("text/html", "<html>\n<title>Sign in</title>\n</html>\n".to_owned()),
        ] {
            let answer = Answer::status(200).header("content-type", content_type).body(body.as_str());
            let server = server([answer]).await;
            let (error, cause) = failure(model(&server, wire)).await;
            assert_eq!(cause.class, ModelErrorClass::Protocol, "{wire:?}, {body}: {error:?}");
            assert!(!error.is_transient(), "{wire:?}");
        }
    }
}

/// A server that kept the connection alive and then broke off may answer the next time; so may one that said nothing.
#[tokio::test]
async fn a_stream_in_which_nothing_was_said_is_a_truncation() {
    let comments = Answer::events().body(": processing\n\n").body(": processing\n\n");
    for answer in [comments, Answer::events()] {
        let server = server([answer]).await;
        let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
        assert_eq!(cause.class, ModelErrorClass::Truncated, "{error:?}");
    }
}

#[tokio::test]
async fn comments_before_a_reply_do_not_hide_who_answers() {
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let answer = Answer::events().body(": processing\n\n").data(piece("Hi")).data(end).done();
    let server = server([answer]).await;
    let (all, _) = events(&model(&server, Wire::OpenAi), "Hello?").await;
    let id = all.iter().find_map(|event| match event {
        ModelEvent::Started { request_id, .. } => request_id.clone(),
        _ => None,
    });
    assert_eq!(id.as_deref(), Some("req_1"), "{all:?}");
}

#[tokio::test]
async fn a_stalled_reply_times_out_and_the_server_sees_it() {
    let server = server([Answer::events().data(piece("Hi")).stall()]).await;
    let model = models(&server, Wire::OpenAi).idle_timeout(Duration::from_millis(200)).get("test/scripted").unwrap();
    let (error, cause) = failure(model).await;
    assert_eq!((error.kind(), cause.class), (ErrorKind::Timeout, ModelErrorClass::Timeout));
    assert_eq!(cause.message, "test/scripted: the reply stalled: nothing came for 0.2 s");
    assert_eq!(server.ended(0, Duration::from_secs(5)).await, Ok(End::Gone));
}

#[tokio::test]
async fn a_server_that_never_begins_times_out() {
    let server = server([Answer::events().pause(LONG).data(piece("Hi"))]).await;
    let model = models(&server, Wire::OpenAi).header_timeout(Duration::from_millis(200)).get("test/scripted").unwrap();
    let (error, cause) = failure(model).await;
    assert_eq!(cause.class, ModelErrorClass::Timeout, "{error:?}");
    assert_eq!(cause.message, "test/scripted: no answer within 0.2 s");
}

#[tokio::test]
async fn the_deadline_bounds_what_the_transport_waits_for() {
    let server = server([Answer::events().begin().stall()]).await;
    let model = model(&server, Wire::OpenAi);
    let cx = Context::new().with_deadline(tokio::time::Instant::now() + Duration::from_millis(300));
    // Nothing but the transport knows of the deadline here.
    let error = soon(model.stream(Request::new("Hello?"), &cx).next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    let before = server.requests().len();
    let error = soon(model.stream(Request::new("Hello?"), &cx).next()).await.unwrap().unwrap_err();
    assert!(error.message().contains("before the request was sent"), "{error:?}");
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection_within_a_second() {
    let in_the_answer = || Answer::events().data(piece("Hi")).stall();
    let before_the_answer = || Answer::events().pause(LONG);
    for answer in [in_the_answer, before_the_answer] {
        // One of three: on a busy machine a second is short.
        let mut seen = Vec::new();
        for _ in 0..3 {
            let server = server([answer()]).await;
            let model = model(&server, Wire::OpenAi);
            let mut stream = model.stream(Request::new("Hello?"), &Context::new());
            let speaks = async { while !matches!(stream.next().await, Some(Ok(ModelEvent::Text(_)))) {} };
            let is_asked = async {
                while server.requests().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            soon(async {
                tokio::select! { () = speaks => {}, () = is_asked => {} }
            })
            .await;
            drop(stream);
            seen.push(server.ended(0, Duration::from_secs(1)).await.ok());
            if seen.contains(&Some(End::Gone)) {
                break;
            }
        }
        assert_eq!(seen.last(), Some(&Some(End::Gone)));
    }
}

#[tokio::test]
async fn refused_connection_is_a_connection_error_with_a_hint() {
    let gone = server([]).await;
    let model = model(&gone, Wire::OpenAi);
    drop(gone);
    // The port stays bound for as long as the runtime takes to drop the task.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (error, cause) = failure(model).await;
    assert_eq!(cause.class, ModelErrorClass::Connection, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("start the server")), "{error:?}");
    assert!(!error.message().contains("http://"), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let other = server([Answer::says(Wire::OpenAi, "stolen")]).await;
    let first = server([Answer::status(307).header("location", other.url("/v1/chat/completions"))]).await;
    let (error, cause) = failure(model(&first, Wire::OpenAi)).await;
    assert_eq!((cause.status, other.requests().len()), (Some(307), 0), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("base URL")));
}

#[tokio::test]
async fn no_money_is_told_from_no_patience() {
    let body = r#"{"error":{"message":"You exceeded your quota.","type":"insufficient_quota"}}"#;
    let server = server([too_many().body(body)]).await;
    let (error, cause) = failure(model(&server, Wire::OpenAi)).await;
    assert_eq!((cause.class, error.kind()), (ModelErrorClass::QuotaExhausted, ErrorKind::Denied));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_long_body_of_an_error_is_cut() {
    let server = server([Answer::status(500).body("x".repeat(100_000))]).await;
    let (error, _) = failure(model(&server, Wire::OpenAi)).await;
    assert!(error.message().len() < 400, "{}", error.message().len());
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_without_tls_where_there_should_be_is_a_failure_of_the_connection() {
    let server = server([]).await;
    let url = server.url("/v1").replace("http://", "https://");
    let model = llmspell_models::Models::new().endpoint("test", Wire::OpenAi, url).get("test/x").unwrap();
    let (error, cause) = failure(model).await;
    assert_eq!(cause.class, ModelErrorClass::Connection, "{error:?}");
}

/// Reading such a frame takes genai the square of its length, without a pause: far longer than the test.
#[test]
fn a_frame_without_an_end_keeps_nobody_beyond_his_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = Answer::events().body("data: ").repeat("x".repeat(16 * 1024), 2400).body("\n\n").done();
        let server = server([answer]).await;
        let ask = model(&server, Wire::OpenAi).step().timeout(Duration::from_millis(300)).named("ask");
        let cx = Context::recording();
        let error = ask.run(Request::new("Hi"), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        // It is not hushed up that the reading goes on.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(cx.events().iter().any(|event| matches!(event.fact, EventKind::Runaway)), "{:?}", cx.events());
    });
    // The reading ends with the process, and not before the test.
    runtime.shutdown_background();
}

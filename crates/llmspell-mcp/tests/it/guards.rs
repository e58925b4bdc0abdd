//! The guards that rmcp leaves to its users, one test for each; the numbers are those of the crate's documentation.

use std::sync::Arc;
use std::time::Duration;

use llmspell::observe::EventKind;
use llmspell::{Context, ErrorKind, Limit, Retry, Step};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::{
    HttpPeer, TraceFile, connected, eventually, in_time, is_alive, kill, misbehaving, start, stdio, with_time,
};
use llmspell_mcp::Client;

/// 1: rmcp runs all incoming calls.
#[tokio::test(flavor = "multi_thread")]
async fn admission_is_bounded_and_the_rest_is_rejected_at_once() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_LIMIT", "8").env("PEER_QUEUE", "16")).await;
        let wait = tools.get("counted_wait");
        let started = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let wait = wait.clone();
            calls.spawn(async move {
                let result = wait.run(json!({ "ms": 1500 }), &Context::new()).await;
                (result, started.elapsed())
            });
        }
        let (mut finished, mut rejected) = (0, 0);
        while let Some(call) = calls.join_next().await {
            let (result, after) = call.unwrap();
            match result {
                Ok(_) => finished += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
                    assert!(error.is_transient() && error.retry_after().is_some());
                    assert!(after < Duration::from_millis(4500), "rejected only after {after:?}");
                    rejected += 1;
                }
            }
        }
        assert_eq!((finished, rejected), (24, 976));
        let counts = tools.call("call_counts", json!({})).await.unwrap();
        assert_eq!(counts, json!({ "running": 0, "peak": 8, "total": 24 }));
        client.close().await;
    })
    .await;
}

/// 2: rmcp would not answer.
#[tokio::test(flavor = "multi_thread")]
async fn panics_are_answered_as_errors_and_the_session_continues() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        for _ in 0..3 {
            let error = tools.call("panic", json!({})).await.unwrap_err();
            assert!(error.message().contains("panicked: out of cheese"), "{error:?}");
        }
        assert_eq!(tools.call("echo", json!({ "text": "still here" })).await.unwrap(), "still here");
        client.close().await;
    })
    .await;
}

/// 3: rmcp cancels a token and lets the handler run.
#[tokio::test(flavor = "multi_thread")]
async fn cancellation_stops_the_work_of_the_server() {
    in_time(async {
        let peer = HttpPeer::start(&[]).await;
        for (client, tools) in [connected(stdio()).await, connected(Client::http(&peer.url)).await] {
            let trace = TraceFile::new();
            let call = tools.start("wait", trace.arguments(600_000));
            trace.started().await;
            call.abort();
            trace.stopped().await;
            assert_eq!(tools.call("echo", json!({ "text": "on" })).await.unwrap(), "on");
            client.close().await;
        }
    })
    .await;
}

/// 4: rmcp waits for ever, and does not cancel a dropped request.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_deadline_and_a_late_call_is_cancelled() {
    in_time(async {
        let (client, tools) = connected(stdio().call_timeout(Duration::from_millis(300))).await;
        let trace = TraceFile::new();
        let started = Instant::now();
        let error = tools.call("wait", trace.arguments(600_000)).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(3));
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        trace.stopped().await;
        // The timeout of an idempotent tool is transient. The deadline of the context applies as well.
        let idempotent = tools.get("wait_idempotent");
        let error = idempotent.run(json!({ "ms": 600_000 }), &Context::new()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Timeout && error.is_transient());
        let late = TraceFile::new();
        let error = tools.get("wait").run(late.arguments(1), &with_time(Duration::ZERO)).await.unwrap_err();
        assert!(error.message().contains("not made") && late.lines().is_empty(), "{error:?}");
        let cx = with_time(Duration::from_millis(50));
        assert_eq!(idempotent.run(json!({ "ms": 600_000 }), &cx).await.unwrap_err().kind(), ErrorKind::Timeout);
        client.close().await;
    })
    .await;
}

/// 4, with a server that ignores cancellations: its work is held as a runaway until it answers, or for the grace.
#[tokio::test(flavor = "multi_thread")]
async fn server_that_ignores_cancellation_frees_its_caller_and_keeps_its_permits() {
    in_time(async {
        let (client, tools) = connected(misbehaving().runaway_grace(Duration::from_millis(400))).await;
        let limit = Limit::new(1);
        let late = tools.get("late").timeout(Duration::from_millis(200)).limit(limit.clone());
        let cx = Context::recording();
        let started = Instant::now();
        let error = late.run(json!({ "ms": 900 }), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(started.elapsed() < Duration::from_millis(800));
        // Nothing is known of the server yet, so that the grace applies: from 200 ms to 600 ms.
        assert_eq!(limit.available(), Some(0));
        eventually("the end of the grace", || limit.available() == Some(1)).await;
        let events = cx.events();
        let has = |is: fn(&EventKind) -> bool| events.iter().any(|event| is(&event.fact));
        assert!(has(|kind| matches!(kind, EventKind::Runaway)), "{events:?}");
        assert!(has(|kind| matches!(kind, EventKind::RunawayEnded { .. })), "{events:?}");
        // The server received the cancellation, and its late answer has no caller.
        assert_eq!(tools.call("cancelled", json!({})).await.unwrap(), "1");
        sleep(Duration::from_millis(700)).await;
        // The second late answer arrives within the grace, and shows that the server ignores cancellations.
        let error = late.run(json!({ "ms": 450 }), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        eventually("the late answer", || limit.available() == Some(1)).await;
        // From now on its calls are held until they are answered: 1,500 ms, not 200 and 400.
        let started = Instant::now();
        late.run(json!({ "ms": 1500 }), &cx).await.unwrap_err();
        eventually("the late answer", || limit.available() == Some(1)).await;
        assert!(started.elapsed() > Duration::from_millis(1300), "{:?}", started.elapsed());
        assert_eq!(tools.call("late", json!({ "ms": 1 })).await.unwrap(), "late");
        client.close().await;
    })
    .await;
}

/// 5: rmcp reports a dead connection as open.
#[tokio::test(flavor = "multi_thread")]
async fn lost_connection_is_restored_and_no_call_is_repeated_silently() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let first = client.process_id().await.unwrap();
        let trace = TraceFile::new();
        let wait = tools.get("wait").retry(Retry::exponential().max_attempts(3));
        let call = start(wait, trace.arguments(600_000), Context::new());
        trace.started().await;
        kill(first);
        let error = call.await.unwrap().unwrap_err();
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        assert!(error.hint().is_some());
        assert_eq!(trace.lines(), ["started"]);
        // The next calls share one new server.
        let calls: Vec<_> = (0..20).map(|n| tools.start("echo", json!({ "text": n.to_string() }))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let second = client.process_id().await.unwrap();
        assert_ne!(first, second);
        assert!(!is_alive(first) && is_alive(second));
        // A retry repeats an idempotent call.
        let idempotent = tools.get("wait_idempotent").idempotent().retry(Retry::exponential().max_attempts(3));
        let repeated = TraceFile::new();
        let call = start(idempotent, repeated.arguments(700), Context::new());
        repeated.started().await;
        kill(second);
        assert_eq!(call.await.unwrap().unwrap(), "waited 700 ms");
        assert_eq!(repeated.lines(), ["started", "started"]);
        client.close().await;
    })
    .await;
}

/// 5, over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn lost_http_server_is_found_again() {
    in_time(async {
        let mut peer = HttpPeer::start(&[]).await;
        let address = peer.address();
        let (client, tools) = connected(Client::http(&peer.url)).await;
        let trace = TraceFile::new();
        let call = tools.start("wait", trace.arguments(600_000));
        trace.started().await;
        peer.child.kill().await.unwrap();
        let error = call.await.unwrap().unwrap_err();
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        // No server: the call was not made, so that the error is transient.
        let error = tools.call("echo", json!({ "text": "hello?" })).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        let _peer = HttpPeer::start_at(&address, &[]).await;
        assert_eq!(tools.call("echo", json!({ "text": "hello" })).await.unwrap(), "hello");
        client.close().await;
    })
    .await;
}

/// Calls dropped at any moment leave no work at the server and no permit in the client.
#[tokio::test(flavor = "multi_thread")]
async fn calls_dropped_at_any_moment_leave_nothing_behind() {
    in_time(async {
        let peer = HttpPeer::start(&[]).await;
        for builder in [stdio(), Client::http(&peer.url)] {
            let (client, tools) = connected(builder.runaway_grace(Duration::from_millis(300))).await;
            let limit = Limit::new(40);
            let wait = Arc::new(tools.get("counted_wait").limit(limit.clone()));
            let mut calls = tokio::task::JoinSet::new();
            for n in 0..300 {
                let wait = wait.clone();
                calls.spawn(async move {
                    let dropped_after = Duration::from_micros(n * 977 % 60_000);
                    let call = async { wait.run(json!({ "ms": n * 31 % 70 }), &Context::new()).await };
                    let _ = tokio::time::timeout(dropped_after, call).await;
                });
            }
            while calls.join_next().await.is_some() {}
            eventually("the return of the permits", || limit.available() == Some(40)).await;
            loop {
                let counts = tools.call("call_counts", json!({})).await.unwrap();
                if counts["running"] == 0 {
                    break;
                }
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(tools.call("echo", json!({ "text": "fine" })).await.unwrap(), "fine");
            client.close().await;
        }
    })
    .await;
}

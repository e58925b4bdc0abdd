//! What rmcp leaves open, one test for each guard.

use std::time::Duration;

use llmspell::{Context, ErrorKind, EventKind, Limit, Retry, Step};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::peer::{Web, connected, eventually, ignores_cancel, in_time, is_alive, lines, stdio};
use llmspell_mcp::Client;

/// 1: rmcp runs whatever comes.
#[tokio::test(flavor = "multi_thread")]
async fn admission_is_bounded_and_the_rest_is_turned_away_at_once() {
    in_time(async {
        let (client, tools) = connected(stdio().env("PEER_LIMIT", "8").env("PEER_QUEUE", "16")).await;
        let crowd = tools.get("crowd");
        let begun = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let crowd = crowd.clone();
            calls.spawn(async move {
                let result = crowd.run(json!({ "ms": 1500 }), &Context::new()).await;
                (result, begun.elapsed())
            });
        }
        let (mut done, mut refused) = (0, 0);
        while let Some(call) = calls.join_next().await {
            let (result, after) = call.unwrap();
            match result {
                Ok(_) => done += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
                    assert!(error.is_transient() && error.retry_after().is_some());
                    assert!(after < Duration::from_millis(4500), "turned away only after {after:?}");
                    refused += 1;
                }
            }
        }
        assert_eq!((done, refused), (24, 976));
        let crowds = tools.call("crowds", json!({})).await.unwrap();
        assert_eq!(crowds, json!({ "here": 0, "most": 8, "all": 24 }));
        client.close().await;
    })
    .await;
}

/// 2: rmcp would not answer.
#[tokio::test(flavor = "multi_thread")]
async fn panics_are_answered_as_errors_and_the_session_goes_on() {
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

/// 3: rmcp cancels a token and lets the handler go on.
#[tokio::test(flavor = "multi_thread")]
async fn cancellation_stops_the_work_of_the_server() {
    in_time(async {
        let web = Web::start(&[]).await;
        for (client, tools) in [connected(stdio()).await, connected(Client::http(&web.url)).await] {
            let folder = tempfile::tempdir().unwrap();
            let trace = folder.path().join("trace");
            let wait = tools.get("wait");
            let arguments = json!({ "ms": 600_000, "trace": trace });
            let call = tokio::spawn(async move { wait.run(arguments, &Context::new()).await });
            eventually("the beginning of the work", || lines(&trace) == ["began"]).await;
            call.abort();
            eventually("the end of the work", || lines(&trace) == ["began", "stopped"]).await;
            assert_eq!(tools.call("echo", json!({ "text": "on" })).await.unwrap(), "on");
            client.close().await;
        }
    })
    .await;
}

/// 4: rmcp waits for ever, and a dropped request is not cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_a_deadline_and_a_late_one_is_cancelled() {
    in_time(async {
        let (client, tools) = connected(stdio().call_timeout(Duration::from_millis(300))).await;
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let begun = Instant::now();
        let error = tools.call("wait", json!({ "ms": 600_000, "trace": trace })).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(3));
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        eventually("the end of the work", || lines(&trace) == ["began", "stopped"]).await;
        // One that may be repeated is transient; and the deadline of the context counts, too.
        let look = tools.get("look");
        let error = look.run(json!({ "ms": 600_000 }), &Context::new()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Timeout && error.is_transient());
        let past = Context::new().with_deadline(Instant::now());
        let late = folder.path().join("late");
        let error = tools.get("wait").run(json!({ "ms": 1, "trace": late }), &past).await.unwrap_err();
        assert!(error.message().contains("not made") && lines(&late).is_empty(), "{error:?}");
        let cx = Context::new().with_deadline(Instant::now() + Duration::from_millis(50));
        assert_eq!(look.run(json!({ "ms": 600_000 }), &cx).await.unwrap_err().kind(), ErrorKind::Timeout);
        client.close().await;
    })
    .await;
}

/// 4, with a server that goes on: its work is held as a runaway until it answers, or for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_cancellation_frees_its_caller_and_keeps_its_permits() {
    in_time(async {
        let (client, tools) = connected(ignores_cancel().runaway_grace(Duration::from_millis(400))).await;
        let seat = Limit::new(1);
        let late = tools.get("late").timeout(Duration::from_millis(200)).limit(seat.clone());
        let cx = Context::recording();
        let begun = Instant::now();
        let error = late.run(json!({ "ms": 900 }), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(begun.elapsed() < Duration::from_millis(800));
        // Nothing is known of the server yet: the grace it is, from 200 ms to 600 ms.
        assert_eq!(seat.available(), Some(0));
        eventually("the end of the grace", || seat.available() == Some(1)).await;
        let events = cx.events();
        let has = |is: fn(&EventKind) -> bool| events.iter().any(|event| is(&event.fact));
        assert!(has(|fact| matches!(fact, EventKind::Runaway)), "{events:?}");
        assert!(has(|fact| matches!(fact, EventKind::RunawayEnded { .. })), "{events:?}");
        // It was told to stop, and its late answer is nobody's.
        assert_eq!(tools.call("cancelled", json!({})).await.unwrap(), "1");
        sleep(Duration::from_millis(700)).await;
        // A second one, with a late answer within the grace, so that the server is found out.
        let error = late.run(json!({ "ms": 450 }), &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        eventually("the late answer", || seat.available() == Some(1)).await;
        // From now on its calls count as alive until they are answered: 1,500 ms, and not 200 and 400.
        let begun = Instant::now();
        late.run(json!({ "ms": 1500 }), &cx).await.unwrap_err();
        eventually("the late answer", || seat.available() == Some(1)).await;
        assert!(begun.elapsed() > Duration::from_millis(1300), "{:?}", begun.elapsed());
        assert_eq!(tools.call("late", json!({ "ms": 1 })).await.unwrap(), "late");
        client.close().await;
    })
    .await;
}

/// 5: rmcp says that a dead connection is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_comes_back_and_no_call_is_repeated_in_silence() {
    in_time(async {
        let (client, tools) = connected(stdio()).await;
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let arguments = json!({ "ms": 600_000, "trace": trace });
        let first = client.process_id().await.unwrap();
        let wait = tools.get("wait").retry(Retry::exponential().max_attempts(3));
        let call = {
            let arguments = arguments.clone();
            tokio::spawn(async move { wait.run(arguments, &Context::new()).await })
        };
        eventually("the beginning of the work", || lines(&trace) == ["began"]).await;
        kill(first);
        let error = call.await.unwrap().unwrap_err();
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        assert!(error.hint().is_some());
        assert_eq!(lines(&trace), ["began"]);
        // The next call finds a server, and so do many at once: the same one.
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..20 {
            let echo = tools.get("echo");
            calls.spawn(async move { echo.run(json!({ "text": n.to_string() }), &Context::new()).await });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap().unwrap();
        }
        let second = client.process_id().await.unwrap();
        assert_ne!(first, second);
        assert!(!is_alive(first) && is_alive(second));
        // What may be repeated is repeated by a retry that was asked for.
        let look = tools.get("look").idempotent().retry(Retry::exponential().max_attempts(3));
        let again = folder.path().join("again");
        let call = {
            let arguments = json!({ "ms": 700, "trace": again });
            tokio::spawn(async move { look.run(arguments, &Context::new()).await })
        };
        eventually("the beginning of the work", || lines(&again) == ["began"]).await;
        kill(second);
        assert_eq!(call.await.unwrap().unwrap(), "waited 700 ms");
        assert_eq!(lines(&again), ["began", "began"]);
        client.close().await;
    })
    .await;
}

/// 5, over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_of_http_is_found_again() {
    in_time(async {
        let mut web = Web::start(&[]).await;
        let address = web.address();
        let (client, tools) = connected(Client::http(&web.url)).await;
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let wait = tools.get("wait");
        let arguments = json!({ "ms": 600_000, "trace": trace });
        let call = tokio::spawn(async move { wait.run(arguments, &Context::new()).await });
        eventually("the beginning of the work", || lines(&trace) == ["began"]).await;
        web.child.kill().await.unwrap();
        let error = call.await.unwrap().unwrap_err();
        assert!(error.message().contains("may have happened") && !error.is_transient(), "{error:?}");
        // Nobody there: not made, and so worth another attempt.
        let error = tools.call("echo", json!({ "text": "hello?" })).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        let _web = Web::start_at(&address, &[]).await;
        assert_eq!(tools.call("echo", json!({ "text": "hello" })).await.unwrap(), "hello");
        client.close().await;
    })
    .await;
}

/// Whatever callers do, nothing is left: no work at the server, no permit here.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_calls_that_are_dropped_at_any_moment() {
    in_time(async {
        let web = Web::start(&[]).await;
        for connect in [stdio(), Client::http(&web.url)] {
            let (client, tools) = connected(connect.runaway_grace(Duration::from_millis(300))).await;
            let seats = Limit::new(40);
            let crowd = std::sync::Arc::new(tools.get("crowd").limit(seats.clone()));
            let mut calls = tokio::task::JoinSet::new();
            for n in 0..300 {
                let crowd = crowd.clone();
                calls.spawn(async move {
                    let patience = Duration::from_micros(n * 977 % 60_000);
                    let call = async { crowd.run(json!({ "ms": n * 31 % 70 }), &Context::new()).await };
                    let _ = tokio::time::timeout(patience, call).await;
                });
            }
            while calls.join_next().await.is_some() {}
            eventually("the return of the permits", || seats.available() == Some(40)).await;
            loop {
                let crowds = tools.call("crowds", json!({})).await.unwrap();
                if crowds["here"] == 0 {
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

fn kill(process: u32) {
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

//! `http_get` and `http_request` against a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Step};
use llmspell_tools::{Permissions, built_in};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers each path in its own way, and counts the requests.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    _accepting: tokio::task::JoinSet<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::<AtomicUsize>::default();
    let mut accepting = tokio::task::JoinSet::new();
    let (host, counted) = (address.clone(), requests.clone());
    accepting.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let (host, counted) = (host.clone(), counted.clone());
            connections.spawn(async move {
                let request = request(&mut socket).await;
                let number = counted.fetch_add(1, Ordering::Relaxed);
                let path = request.split(' ').nth(1).unwrap_or_default();
                if path == "/broken-off" {
                    return;
                }
                if path == "/silent" {
                    std::future::pending::<()>().await;
                }
                let _ = socket.write_all(answer(path, &request, number, &host).as_bytes()).await;
            });
        }
    });
    Server { address, requests, _accepting: accepting }
}

/// A whole request, with its body.
async fn request(socket: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut bytes = [0; 4096];
    loop {
        let read = socket.read(&mut bytes).await.unwrap_or(0);
        request.push_str(&String::from_utf8_lossy(&bytes[..read]));
        let Some((head, body)) = request.split_once("\r\n\r\n").filter(|_| read > 0) else {
            if read == 0 {
                return request;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return request;
        }
    }
}

fn answer(path: &str, request: &str, number: usize, host: &str) -> String {
    let (status, headers, body) = match path {
        "/text" => ("200 OK", "content-type: text/plain".to_owned(), "hello".to_owned()),
        "/json" => ("200 OK", "content-type: application/json; charset=utf-8".to_owned(), "{\"a\":[1]}".to_owned()),
        "/echo" => ("200 OK", String::new(), request.to_owned()),
        "/large" => ("200 OK", String::new(), "x".repeat(100_000)),
        "/busy" if number == 0 => ("429 Too Many Requests", "retry-after: 1".to_owned(), String::new()),
        "/busy" => ("200 OK", String::new(), "done".to_owned()),
        "/broken" => ("503 Service Unavailable", String::new(), "come back\n later".to_owned()),
        "/hop" => ("302 Found", format!("location: http://{host}/text"), String::new()),
        "/astray" => ("302 Found", "location: http://example.org/".to_owned(), String::new()),
        "/elsewhere" => {
            ("302 Found", format!("location: {}/echo", host.replace("127.0.0.1", "http://localhost")), String::new())
        }
        "/here" => ("302 Found", "location: echo".to_owned(), String::new()),
        "/unfollowed" => ("304 Not Modified", String::new(), String::new()),
        "/tell?token=98765" => ("400 Bad Request", String::new(), format!("wrong: {request}")),
        "/twice" => ("200 OK", "x-a: 1\r\nx-a: 2".to_owned(), String::new()),
        "/latin" => ("200 OK", "content-type: text/plain; charset=iso-8859-1".to_owned(), "ä".to_owned()),
        "/moved" => ("302 Found", "location: /echo".to_owned(), String::new()),
        "/kept" => ("307 Temporary Redirect", "location: /echo".to_owned(), String::new()),
        "/kept-elsewhere" => {
            let location = host.replace("127.0.0.1", "http://localhost");
            ("307 Temporary Redirect", format!("location: {location}/echo"), String::new())
        }
        "/bad-gateway" => ("502 Bad Gateway", String::new(), String::new()),
        "/loop" => ("302 Found", format!("location: http://{host}/loop"), String::new()),
        _ => ("404 Not Found", String::new(), "nothing here".to_owned()),
    };
    let headers = if headers.is_empty() { headers } else { format!("{headers}\r\n") };
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// A built-in tool within these permissions.
fn tool_of(granted: &Permissions, name: &str) -> DynTool {
    built_in(granted).into_iter().find(|tool| tool.spec().name == name).unwrap()
}

impl Server {
    async fn get(&self, path: &str, more: Value) -> Result<Value, Error> {
        self.call("http_get", path, more).await
    }

    async fn call(&self, tool: &str, path: &str, more: Value) -> Result<Value, Error> {
        let mut arguments = more;
        arguments["url"] = format!("http://{}{path}", self.address).into();
        let granted = Permissions::none().allow_net("127.0.0.1").unwrap();
        tool_of(&granted, tool).timeout(Duration::from_secs(10)).run(arguments, &Context::new()).await
    }
}

#[tokio::test]
async fn bodies_are_text_or_json() {
    let server = server().await;
    let text = server.get("/text", json!({})).await.unwrap();
    assert_eq!((&text["status"], &text["body"]), (&json!(200), &json!("hello")));
    assert_eq!(text["headers"]["content-type"], "text/plain");
    assert_eq!(server.get("/json", json!({})).await.unwrap()["body"], json!({ "a": [1] }));
    assert_eq!(server.get("/json", json!({ "format": "text" })).await.unwrap()["body"], "{\"a\":[1]}");
    assert!(server.get("/text", json!({ "format": "json" })).await.unwrap_err().message().contains("not JSON"));
    let echoed = server.get("/echo", json!({ "headers": { "x-key": "value" } })).await.unwrap();
    let request = echoed["body"].as_str().unwrap();
    assert!(request.contains("x-key: value") && request.contains("user-agent: llmspell/"), "{request}");
}

#[tokio::test]
async fn errors_say_whether_another_attempt_may_help() {
    let server = server().await;
    let error = server.get("/nothing?key=secret", json!({})).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.message().ends_with("/nothing: 404 Not Found: nothing here"), "{error}");
    let error = server.get("/broken", json!({})).await.unwrap_err();
    assert!(error.is_transient() && error.message().contains("come back later"), "{error}");
    let error = server.get("/large", json!({ "max_bytes": 1000 })).await.unwrap_err();
    assert!(error.hint().is_some(), "{error}");

    let granted = Permissions::none().allow_net("*").unwrap().allow_private();
    let get = tool_of(&granted, "http_get");
    // The port was free a moment ago, and no server listens on it.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = get.run(json!({ "url": format!("http://{free}/") }), &Context::new()).await.unwrap_err();
    assert!(error.is_transient() && error.message().contains("refused") && error.hint().is_some(), "{error}");
    for url in ["nonsense", "ftp://example.org", "file:///etc/passwd", ""] {
        assert_eq!(
            get.run(json!({ "url": url }), &Context::new()).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let server = server().await;
    let error = server.get("/busy", json!({})).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(server.get("/busy", json!({})).await.unwrap()["body"], "done");
}

#[tokio::test]
async fn redirects_are_followed_where_they_may_lead() {
    let server = server().await;
    assert_eq!(server.get("/hop", json!({})).await.unwrap()["body"], "hello");
    let error = server.get("/astray", json!({})).await.unwrap_err();
    assert!(error.message().contains("example.org is not allowed"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let before = server.requests.load(Ordering::Relaxed);
    assert!(server.get("/loop", json!({})).await.unwrap_err().message().contains("redirects"));
    assert!(server.requests.load(Ordering::Relaxed) - before < 10);
}

#[tokio::test]
async fn hosts_that_were_not_allowed_are_not_asked() {
    let server = server().await;
    let granted = Permissions::none().allow_net("example.org").unwrap();
    let arguments = json!({ "url": format!("http://{}/text", server.address) });
    let error = tool_of(&granted, "http_get").run(arguments, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(server.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_silent_server_is_given_up_with_the_step() {
    let server = server().await;
    let granted = Permissions::none().allow_net("*").unwrap().allow_private();
    let get = tool_of(&granted, "http_get").timeout(Duration::from_millis(100));
    let arguments = json!({ "url": format!("http://{}/silent", server.address) });
    assert_eq!(get.run(arguments, &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn headers_go_to_the_named_origin_only() {
    let server = server().await;
    let granted = Permissions::none().allow_net("*").unwrap().allow_private();
    let get = tool_of(&granted, "http_get").timeout(Duration::from_secs(10));
    let arguments =
        |path: &str| json!({ "url": format!("http://{}{path}", server.address), "headers": { "x-api-key": "12345" } });
    let echoed = get.run(arguments("/here"), &Context::new()).await.unwrap();
    assert!(echoed["body"].as_str().unwrap().contains("x-api-key: 12345"), "{echoed}");
    let echoed = get.run(arguments("/elsewhere"), &Context::new()).await.unwrap();
    let request = echoed["body"].as_str().unwrap();
    assert!(
        request.starts_with("GET /echo") && !request.contains("12345") && !request.contains("referer"),
        "{request}"
    );
}

#[tokio::test]
async fn secrets_are_not_in_errors() {
    let server = server().await;
    let error = server.get("/tell?token=98765", json!({ "headers": { "x-api-key": "12345" } })).await.unwrap_err();
    assert!(error.message().contains("wrong: GET /tell"), "{error}");
    assert!(!error.message().contains("12345") && !error.message().contains("98765"), "{error}");
    let granted = Permissions::none().allow_net("*").unwrap().allow_private();
    let arguments = json!({ "url": "http://user:12345@host:99999/?token=98765" });
    let error = tool_of(&granted, "http_get").run(arguments, &Context::new()).await.unwrap_err();
    assert!(
        error.hint().is_some() && !error.message().contains("12345") && !error.message().contains("98765"),
        "{error}"
    );
}

#[tokio::test]
async fn answers_are_taken_whole_or_not_at_all() {
    let server = server().await;
    assert!(server.get("/unfollowed", json!({})).await.unwrap_err().message().contains("304"));
    assert_eq!(server.get("/twice", json!({})).await.unwrap()["headers"]["x-a"], "1, 2");
    // Two bytes, each a character of its own.
    assert_eq!(server.get("/latin", json!({})).await.unwrap()["body"], "\u{c3}\u{a4}");
    assert_eq!(server.get("/loop", json!({})).await.unwrap_err().hint(), None);
}

#[tokio::test]
async fn requests_have_a_method_a_query_and_a_body() {
    let server = server().await;
    let arguments = json!({ "method": "POST", "query": { "a": "x y", "b": [1, 2], "c": null }, "json": { "k": "v" } });
    let echoed = server.call("http_request", "/echo?z=1", arguments.clone()).await.unwrap_err();
    assert!(echoed.message().contains("404"), "the server knows /echo without a query only: {echoed}");
    let mut arguments = arguments;
    arguments["query"] = json!({});
    let echoed = server.call("http_request", "/echo", arguments).await.unwrap();
    let request = echoed["body"].as_str().unwrap();
    assert!(request.starts_with("POST /echo HTTP/1.1"), "{request}");
    assert!(request.contains("content-type: application/json") && request.ends_with("{\"k\":\"v\"}"), "{request}");
    let both = json!({ "method": "PUT", "json": 1, "body": "x" });
    assert_eq!(server.call("http_request", "/echo", both).await.unwrap_err().kind(), ErrorKind::Invalid);
    let error = server.get("/nothing", json!({ "query": { "a": "x y", "b": [1, 2] } })).await.unwrap_err();
    assert!(error.message().contains("/nothing: 404"), "{error}");
}

#[tokio::test]
async fn a_body_is_not_taken_to_another_host() {
    let server = server().await;
    let post = json!({ "method": "POST", "body": "secret" });
    let echoed = server.call("http_request", "/moved", post.clone()).await.unwrap();
    assert!(echoed["body"].as_str().unwrap().starts_with("GET /echo"), "{echoed}");
    let echoed = server.call("http_request", "/kept", post.clone()).await.unwrap();
    let request = echoed["body"].as_str().unwrap();
    assert!(request.starts_with("POST /echo") && request.ends_with("secret"), "{request}");
    let error = server.call("http_request", "/kept-elsewhere", post).await.unwrap_err();
    assert!(error.message().contains("nothing is sent there") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_sent_again() {
    let server = server().await;
    for (path, method, more, again) in [
        ("/broken-off", "GET", json!({}), true),
        ("/broken-off", "PUT", json!({}), true),
        ("/broken-off", "POST", json!({}), false),
        ("/broken-off", "POST", json!({ "idempotent": true }), true),
        ("/broken-off", "PATCH", json!({ "headers": { "Idempotency-Key": "1" } }), true),
        ("/bad-gateway", "POST", json!({}), false),
        ("/bad-gateway", "DELETE", json!({}), true),
        ("/broken", "POST", json!({}), true),
    ] {
        let mut arguments = more;
        arguments["method"] = method.into();
        let error = server.call("http_request", path, arguments).await.unwrap_err();
        assert_eq!(error.is_transient(), again, "{method} {path}: {error}");
        assert!(again || error.hint().is_some_and(|hint| hint.contains("idempotent: true")), "{error}");
    }
}

/// Neither by number nor by a name that leads there.
#[tokio::test]
async fn to_allow_any_host_is_not_to_allow_private_ones() {
    let server = server().await;
    let port = server.address.rsplit(':').next().unwrap();
    let get = |grants: &[&str], host: &str| {
        let granted = grants.iter().fold(Permissions::none(), |all, grant| all.allow(grant).unwrap());
        let get = tool_of(&granted, "http_get");
        let arguments = json!({ "url": format!("http://{host}:{port}/text") });
        async move { get.timeout(Duration::from_secs(10)).run(arguments, &Context::new()).await }
    };
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let error = get(&["net"], host).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{host}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("allow it with --allow ")), "{host}: {error:?}");
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 0);
    for grants in [&["net", "net-private"][..], &["net=localhost"], &["net", "net=localhost"]] {
        assert_eq!(get(grants, "localhost").await.unwrap()["body"], "hello", "{grants:?}");
    }
    let error = get(&["net", "net=localhost:1"], "localhost").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "another port: {error}");
}

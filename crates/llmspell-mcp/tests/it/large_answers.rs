//! Answers above the client's size limit.

use llmspell::ErrorKind;
use llmspell_mcp::{Client, ClientBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{connected, eventually, in_time, is_alive};

/// A server in shell. The answer to `wait` follows the answer to `large`, whose id is only at its end. The answer to
/// `endless` has its id at the beginning, and no end.
const SERVER: &str = r#"
    answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
    say() { answer "$1" '{"content":[{"type":"text","text":"'"$2"'"}]}'; }
    tool() { printf '{"name":"%s","inputSchema":{"type":"object"}}' "$1"; }
    while IFS= read -r line; do
        id=${line#*'"id":'}; id=${id%%[!0-9]*}
        case $line in
            *'"initialize"'*)
                of='"capabilities":{"tools":{}},"serverInfo":{"name":"large","version":"0"}'
                answer "$id" '{"protocolVersion":"2025-06-18",'"$of"'}' ;;
            *'"tools/list"'*)
                answer "$id" '{"tools":['"$(tool wait),$(tool large),$(tool endless),$(tool echo)"']}' ;;
            *'"name":"wait"'*) waiting=$id; : > "$MARK" ;;
            *'"name":"large"'*)
                printf '{"result":{"content":[{"type":"text","text":"'
                head -c 20000000 /dev/zero | tr '\0' x
                printf '"}]},"jsonrpc":"2.0","id":%s}\n' "$id"
                [ -z "$waiting" ] || say "$waiting" waited ;;
            *'"name":"endless"'*)
                printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' "$id"
                head -c 17000000 /dev/zero | tr '\0' x
                sleep 600 ;;
            *'"name":"echo"'*) say "$id" here ;;
        esac
    done
"#;

fn server(mark: &std::path::Path) -> ClientBuilder {
    Client::stdio("sh").args(["-c", SERVER]).env("MARK", mark)
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_answer_fails_its_call_and_no_other() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let (client, tools) = connected(server(&mark)).await;
        let waiting = tools.start("wait", json!({}));
        eventually("the waiting call", || mark.exists()).await;
        let error = tools.call("large", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the answer is larger than 16 MiB"));
        assert!(error.hint().is_some() && !error.is_transient(), "{error:?}");
        assert_eq!(waiting.await.unwrap().unwrap(), "waited");
        let process = client.process_id().await;
        assert_eq!(tools.call("echo", json!({})).await.unwrap(), "here");
        assert_eq!(client.process_id().await, process, "the connection must be the same");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_without_an_end_fails_at_the_size_limit() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (client, tools) = connected(server(&folder.path().join("mark"))).await;
        let error = tools.call("endless", json!({})).await.unwrap_err();
        assert_eq!(error.message(), "the answer is larger than 16 MiB");
        let process = client.process_id().await.unwrap();
        client.close().await;
        assert!(!is_alive(process));
    })
    .await;
}

/// An HTTP server that announces 17 MiB for each answer to a call, and sends none of it.
async fn announce_only(listener: TcpListener) {
    let mut sockets = Vec::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut received = Vec::new();
        let request = loop {
            let mut bytes = [0; 4096];
            let read = socket.read(&mut bytes).await.unwrap_or(0);
            received.extend_from_slice(&bytes[..read]);
            let text = String::from_utf8_lossy(&received);
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            match serde_json::from_str::<Value>(body) {
                Ok(request) => break request,
                Err(_) if read == 0 || text.starts_with("GET") || text.starts_with("DELETE") => break Value::Null,
                Err(_) => {}
            }
        };
        let result = match request["method"].as_str() {
            Some("initialize") => Some(json!({
                "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "announce-only", "version": "0" },
            })),
            Some("tools/list") => Some(json!({ "tools": [{ "name": "large", "inputSchema": { "type": "object" } }] })),
            _ => None,
        };
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        };
        let answer = match (result, &request["id"]) {
            (Some(result), id) => {
                let body = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
                head("200 OK", body.len()) + &body
            }
            (None, Value::Null) if request.is_null() => head("405 Method Not Allowed", 0),
            (None, Value::Null) => head("202 Accepted", 0),
            (None, _) => head("200 OK", 17 << 20),
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_answer_over_http_fails_at_once() {
    in_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(announce_only(listener));
        let (client, tools) = connected(Client::http(url)).await;
        let error = tools.call("large", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the answer is larger than 16 MiB"));
        assert!(error.hint().is_some() && !error.is_transient(), "{error:?}");
        client.close().await;
    })
    .await;
}

//! Answers that are larger than a client takes, from a server that writes them all the same.

use llmspell::{Context, ErrorKind, Step};
use llmspell_mcp::{Client, ClientBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::peer::{connected, eventually, in_time, is_alive};

/// `wait` is answered behind the answer to `large`, which says only at its end whose it is; the one to `endless` says so
/// at once and has no end.
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
async fn an_answer_that_is_too_large_fails_its_call_and_no_other() {
    in_time(async {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let (client, tools) = connected(server(&mark)).await;
        let wait = tools.get("wait");
        let waiting = tokio::spawn(async move { wait.run(json!({}), &Context::new()).await });
        eventually("the call that waits", || mark.exists()).await;
        let error = tools.call("large", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the answer is larger than 16 MiB"));
        assert!(error.hint().is_some() && !error.is_transient(), "{error:?}");
        assert_eq!(waiting.await.unwrap().unwrap(), "waited");
        let process = client.process_id().await;
        assert_eq!(tools.call("echo", json!({})).await.unwrap(), "here");
        assert_eq!(client.process_id().await, process, "the connection is the same");
        client.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_fails_once_it_is_too_large() {
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

/// A server of HTTP whose answers to calls are said to be 17 MiB, and do not come.
async fn promises(listener: TcpListener) {
    let mut open = Vec::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = Vec::new();
        let asked = loop {
            let mut bytes = [0; 4096];
            let read = socket.read(&mut bytes).await.unwrap_or(0);
            request.extend_from_slice(&bytes[..read]);
            let text = String::from_utf8_lossy(&request);
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            match serde_json::from_str::<Value>(body) {
                Ok(asked) => break asked,
                Err(_) if read == 0 || text.starts_with("GET") || text.starts_with("DELETE") => break Value::Null,
                Err(_) => {}
            }
        };
        let result = match asked["method"].as_str() {
            Some("initialize") => Some(json!({
                "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "promises", "version": "0" },
            })),
            Some("tools/list") => Some(json!({ "tools": [{ "name": "large", "inputSchema": { "type": "object" } }] })),
            _ => None,
        };
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        };
        let answer = match (result, &asked["id"]) {
            (Some(result), id) => {
                let body = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
                head("200 OK", body.len()) + &body
            }
            (None, Value::Null) if asked.is_null() => head("405 Method Not Allowed", 0),
            (None, Value::Null) => head("202 Accepted", 0),
            (None, _) => head("200 OK", 17 << 20),
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
        open.push(socket);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_http_that_is_too_large_is_not_waited_for() {
    in_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(promises(listener));
        let (client, tools) = connected(Client::http(url)).await;
        let error = tools.call("large", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the answer is larger than 16 MiB"));
        assert!(error.hint().is_some() && !error.is_transient(), "{error:?}");
        client.close().await;
    })
    .await;
}

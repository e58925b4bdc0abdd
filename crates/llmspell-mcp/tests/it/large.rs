//! Answers that are larger than a client takes, from a server that writes them all the same.

use llmspell::{Context, Kind, Step};
use llmspell_mcp::{Client, Connect};
use serde_json::json;

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

fn server(mark: &std::path::Path) -> Connect {
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
        assert_eq!((error.kind(), error.message()), (Kind::Failed, "the answer is larger than 16 MiB"));
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

//! A flow that talks to a server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::program::{Folder, lines};

/// Answers with the path, and 503 to the first request of each path.
async fn flaky(listener: TcpListener) {
    let mut seen = std::collections::HashSet::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = [0; 2048];
        let read = socket.read(&mut request).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&request[..read]);
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let status = if seen.insert(path.clone()) { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{path}", path.len());
        let _ = socket.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn overload_is_retried_and_a_host_needs_permission() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = JoinSet::new();
    server.spawn(flaky(listener));
    let flow = "flow: f\nallow: { net: ['*'] }\nsteps:\n  - id: page\n    tool: http_get\n    with: { url: \"http://${{ inputs.host }}/${{ inputs.n }}\" }\n\
                \x20   timeout: 5s\n    retry: { max: 3, base: 10ms }\noutput: ${{ steps.page.body }}\n";
    let records: String = (0..20).map(|n| format!("{{\"n\":{n},\"host\":\"{address}\"}}\n")).collect();
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", records);

    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--allow", &format!("net={address}")]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for (n, line) in lines(&ended.out).iter().enumerate() {
        assert_eq!(line["output"], format!("/{n}"));
        assert_eq!(line["retries"], 1);
        assert!(line["causes"][0]["message"].as_str().unwrap().contains("503"), "{line}");
    }

    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--allow", "net=example.org"]).await;
    assert_eq!(ended.code, Some(3));
    assert_eq!(lines(&ended.out)[0]["error"]["kind"], "rejected");
    assert!(ended.err.contains("hint: allow it with --allow net=127.0.0.1"), "{}", ended.err);
}

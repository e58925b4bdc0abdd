//! Access control of the server over HTTP: hosts, origins and tokens.

use llmspell::{Context, ErrorKind};
use llmspell_mcp::{Client, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{HttpPeer, connected, in_time};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;

/// Sends a raw `initialize` request, and returns the status of the response.
async fn status(address: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n",
        INITIALIZE.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(INITIALIZE);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = [0; 12];
    stream.read_exact(&mut response).await.unwrap();
    std::str::from_utf8(&response[9..]).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_origins_are_rejected() {
    in_time(async {
        let peer = HttpPeer::start(&[("PEER_HOST", "tools.example.com")]).await;
        let address = peer.address();
        let own = [("host", address.as_str())];
        assert_eq!(status(&address, "/mcp", &own).await, 200);
        assert_eq!(status(&address, "/mcp", &[("host", "tools.example.com")]).await, 200);
        assert_eq!(status(&address, "/mcp", &[("host", "localhost")]).await, 200);
        for host in ["evil.example.com", "127.0.0.1.evil.example.com", "localhost.evil.example.com"] {
            assert_eq!(status(&address, "/mcp", &[("host", host)]).await, 403, "{host}");
        }
        for origin in ["http://evil.example.com", "null", "http://localhost:1", "http://127.0.0.1"] {
            let headers = [("host", address.as_str()), ("origin", origin)];
            assert_eq!(status(&address, "/mcp", &headers).await, 403, "{origin}");
        }
        let port = address.rsplit(':').next().unwrap();
        let origin = format!("http://localhost:{port}");
        assert_eq!(status(&address, "/mcp", &[("host", address.as_str()), ("origin", &origin)]).await, 200);
        assert_eq!(status(&address, "/other", &own).await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn address_beyond_loopback_requires_a_token() {
    in_time(async {
        let server = Server::new("test", "0");
        for address in ["0.0.0.0:0", "[::]:0"] {
            let error = server.clone().http(address).bind().await.err().unwrap();
            assert!(error.kind() == ErrorKind::Invalid && error.hint().is_some(), "{error:?}");
        }
        assert!(server.clone().http("0.0.0.0:0").token("").bind().await.is_err());
        let secret = format!("{:?}", server.clone().http("0.0.0.0:0").token("s3cr3t-token"));
        assert!(!secret.contains("s3cr3t"), "{secret}");

        let peer = HttpPeer::start_at("0.0.0.0:0", &[("PEER_TOKEN", "s3cr3t-token")]).await;
        let port = peer.address().rsplit(':').next().unwrap().to_owned();
        let address = format!("127.0.0.1:{port}");
        let host = ("host", address.as_str());
        assert_eq!(status(&address, "/mcp", &[host]).await, 401);
        for wrong in ["Bearer s3cr3t-tokem", "Bearer s3cr3t", "Bearer", "Basic s3cr3t-token", "Bearer s3cr3t-token2"] {
            assert_eq!(status(&address, "/mcp", &[host, ("authorization", wrong)]).await, 401, "{wrong}");
        }
        assert_eq!(status(&address, "/mcp", &[host, ("authorization", "bearer s3cr3t-token")]).await, 200);

        let url = format!("http://{address}/mcp");
        let error = Client::http(&url).token("wrong-token").connect(&Context::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!format!("{error:#}").contains("wrong-token"));
        assert!(!format!("{:?}", Client::http(&url).token("wrong-token")).contains("wrong-token"));
        let (client, tools) = connected(Client::http(&url).token("s3cr3t-token")).await;
        assert_eq!(tools.call("echo", json!({ "text": "in" })).await.unwrap(), "in");
        client.close().await;
    })
    .await;
}

//! A secret that servers and programs repeat in many encodings appears in no output of a run.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::program::{Folder, Output, wait};

const SECRET: &str = "s3cr/t+\"tok\u{f6}n\"?&>7";

/// The secret in other encodings: plain, in URLs, in JSON, in JSON within JSON, in base64, in Basic auth, in Basic auth
/// with the alphabet of URLs, and in HTML.
const WAYS: [&str; 9] = [
    SECRET,
    "s3cr%2Ft%2B%22tok%C3%B6n%22%3F%26%3E7",
    "s3cr/t+\\\"tok\u{f6}n\\\"?&>7",
    "s3cr\\/t+\\u0022tok\\u00f6n\\u0022?\\u0026\\u003e7",
    "s3cr/t+\\\\\\\"tok\u{f6}n\\\\\\\"?&>7",
    "czNjci90KyJ0b2vDtm4iPyY+Nw==",
    "dXNlcjpzM2NyL3QrInRva8O2biI/Jj43",
    "dXNlcjpzM2NyL3QrInRva8O2biI_Jj43",
    "s3cr/t+&quot;tok\u{f6}n&quot;?&amp;&gt;7",
];

/// Answers with the request and the secret in all encodings. Some paths fail the first time, some always.
async fn repeats(listener: TcpListener) {
    let mut seen = std::collections::HashSet::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let read = socket.read(&mut request).await.unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        let path = request.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let n: usize = path[1..].parse().unwrap_or(0);
        let status = match (n % 3, seen.insert(path)) {
            (0, true) => "503 Service Unavailable",
            (1, _) => "401 Unauthorized",
            _ => "200 OK",
        };
        // The padding moves the secret to every position of the answer, including the one where it is truncated.
        let body = format!("{}{}\n{request}", "x".repeat(n), WAYS.join(" "));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = socket.write_all((head + &body).as_bytes()).await;
    }
}

const FLOW: &str = r#"
flow: f
allow: { net: ['*'], command: [sh] }
secrets: [S_KEY]
steps:
  - id: page
    tool: http_get
    with:
      url: "http://${{ inputs.host }}/${{ inputs.n }}?key=${{ secrets.S_KEY }}"
    timeout: 5s
    retry: { max: 2, base: 1ms }
    fallback: { id: none, value: { body: none } }
  - id: each
    each: "[0, 1, 2]"
    on_error: skip
    do:
      id: program
      tool: command
      with:
        argv: [sh, -c, 'echo "$SAID"; cat ways.txt; echo "$FILL $SAID" >&2; cat ways.txt >&2; exit $CODE']
        env: { SAID: "${{ secrets.S_KEY }}", FILL: "${{ inputs.fill }}", CODE: "${{ '1' if item == 1 else '0' }}" }
      retry: { max: 2, base: 1ms, on: [failed] }
  - id: fails
    tool: command
    with:
      argv: [sh, -c, 'echo "$SAID" >&2; cat ways.txt >&2; exit 1']
      env: { SAID: "${{ secrets.S_KEY }}" }
    when: inputs.n % 2 == 1
"#;

#[cfg(unix)]
#[tokio::test]
async fn no_output_of_a_run_contains_a_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = JoinSet::new();
    server.spawn(repeats(listener));
    let records = (0..24).map(|n| {
        let record = serde_json::json!({ "n": n, "host": address, "fill": "y".repeat(n * 17) });
        format!("{record}\n")
    });
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", records.collect::<String>());
    // The encodings that the program of the flow prints.
    let folder = folder.with("ways.txt", WAYS.join(" "));
    let grants = ["--allow", &format!("net={address}"), "--allow", "net-private", "--allow", "command=sh"];
    let start = async |args: &[&str]| -> Output {
        let args: Vec<&str> = args.iter().chain(&grants).copied().collect();
        wait(folder.command(&args).env("S_KEY", SECRET).spawn().unwrap()).await
    };
    let first =
        start(&["run", "f.yaml", "-o", "out.jsonl", "-i", "in.jsonl", "--progress", "json", "--report", "json"]).await;
    assert_eq!(first.code, Some(3), "{}", first.err);
    let output = folder.read("out.jsonl");
    let second = start(&["resume", "f-1", "--only-failed"]).await;
    let mut reported = vec![first.out, first.err, output, second.out, second.err, folder.read("out.jsonl")];
    for args in [&["report", "f-1"][..], &["report", "f-1", "--json"], &["runs", "show", "f-1"], &["runs", "--json"]] {
        let ended = folder.run(args).await;
        reported.extend([ended.out, ended.err]);
    }
    for entry in std::fs::read_dir(folder.path(".llmspell/runs")).unwrap() {
        reported.push(String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned());
    }
    let all = reported.join("\n");
    for word in ["503", "401", "exit code 1", "\"degraded\"", "***"] {
        assert!(all.contains(word), "{word}: {}", reported[0].clone() + &reported[1] + &reported[2]);
    }
    for way in WAYS {
        assert!(!all.contains(way), "{way}: {}", around(&all, way));
        // The start of a truncated one must not appear either.
        let part: String = way.chars().take(12).collect();
        assert!(way.contains(['%', '\\', ';']) || !all.contains(&part), "{part}: {}", around(&all, &part));
    }
}

fn around<'a>(text: &'a str, found: &str) -> &'a str {
    let at = text.find(found).unwrap_or(0);
    &text[text.floor_char_boundary(at.saturating_sub(300))..text.ceil_char_boundary((at + 300).min(text.len()))]
}

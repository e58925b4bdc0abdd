//! The commands that run nothing.

use crate::program::Folder;

#[tokio::test]
async fn tools_are_listed_within_80_columns() {
    let folder = Folder::new();
    let list = folder.run(&["tools"]).await;
    assert_eq!(list.code, Some(0));
    assert!(list.out.lines().all(|line| line.chars().count() <= 80), "{}", list.out);
    let mut firsts = list.out.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    for name in ["command privileged", "http_get restricted", "json safe", "read_file restricted", "slow safe"] {
        assert!(firsts.any(|first| first == name), "{name}");
    }
    let one = folder.run(&["tools", "read_file"]).await;
    assert!(one.out.starts_with("read_file · restricted (needs --allow read=DIR)\n"), "{}", one.out);
    assert!(one.out.contains("\"max_bytes\""));
}

#[tokio::test]
async fn check_says_what_a_flow_is_and_what_it_needs() {
    let folder = Folder::new()
        .with("a.yaml", "flow: a\nallow: { command: [ls] }\nsteps: [{ id: x, tool: slow }, { id: y, tool: command, with: { argv: [ls] } }]\n")
        .with("b.yaml", "flow: b\nsteps: []\n");
    let ended = folder.run(&["check", "a.yaml"]).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.out,
        "a.yaml: the flow `a` is right; 2 steps: x → y; it asks for command=ls; to run it, give --allow command=ls\n"
    );
    let ended = folder.run(&["check", "a.yaml", "b.yaml"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("b.yaml:2:8"), "{}", ended.err);
}

#[tokio::test]
async fn help_is_there() {
    let folder = Folder::new();
    for (args, wanted) in [
        (&["help"][..], "Usage: llmspell"),
        (&["--help"], "help exit-codes"),
        (&["help", "run"], "LLMSPELL_ALLOW"),
        (&["help", "exit-codes"], "130"),
        (&["help", "exit-codes"], "SIGKILL cannot be caught"),
        (&["help", "output"], "took_ms"),
    ] {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}");
        assert!(ended.out.contains(wanted), "{args:?}: {}", ended.out);
    }
}

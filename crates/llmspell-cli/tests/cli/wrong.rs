//! Errors of users: the exit code, the message with its position, and a hint.

use crate::program::{Folder, assert_output};

const FLOW: &str = "flow: f\nsteps: [{ id: a, tool: slow }]\n";

#[tokio::test]
async fn wrong_usage_ends_with_exit_code_2_and_a_hint() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n");
    for (args, wanted) in [
        (&["run"][..], "--input <FILE>"),
        (&["rum"], "hint: did you mean `run`?"),
        (&[], "Usage: llmspell"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--limit", "0"], "--limit"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--outptu", "x"], "--output"),
        (&["run", "g.yaml", "-i", "in.jsonl"], "hint: check the path"),
        (&["run", ".", "-i", "in.jsonl"], "hint: name a file in it"),
        (&["run", "f.yaml", "-i", "out.jsonl"], "hint: check the path"),
        (&["run", "f.yaml", "-i", "."], "hint: name a file of records; `--files './*'`"),
        (&["run", "f.yaml", "--files", "*.no"], "no file matches *.no"),
        (&["run", "f.yaml", "--files", "no.md"], "hint: check the path"),
        (&["run", "f.yaml", "--files", "a["], "the pattern a[ cannot be used"),
        (&["run", "f.yaml", "--files", "."], "'./**' also"),
        (&["run", "f.yaml", "--files", "*", "-i", "in.jsonl"], "cannot be used with"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--format", "xml"], "jsonl"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--set", "x"], "FIELD=VALUE"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--sample", "0"], "--sample"),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "no/out.jsonl"], "hint: create the folder first"),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "."], "it is a folder"),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "new/"], "it names a folder"),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "f.yaml/out.jsonl"], "a part of its path is not a folder"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--errors", "no/bad.jsonl"], "error: --errors: cannot write"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--errors", "no/bad.jsonl"], "hint: create the folder first"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--errors", "new/"], "it names a folder"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--errors", "."], "it is a folder"),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "in.jsonl"], "it is the input"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--allow", "read=no"], "hint: name a folder that exists"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--allow", "raed=."], "hint: did you mean `read`?"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--allow", "tool=http_get"], "allow a built-in tool by its effect"),
        (&["check", "g.yaml"], "hint: check the path"),
        (&["tools", "nope"], "hint: the tools are"),
        (&["help", "nope"], "hint: the topics are"),
    ] {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.contains(wanted), "{args:?}: {}", ended.err);
        assert!(ended.out.is_empty(), "{args:?}: {}", ended.out);
        let last = ended.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("hint: "), "{args:?}: {}", ended.err);
    }
    assert_eq!(folder.read("in.jsonl"), "{}\n");
}

#[tokio::test]
async fn hints_correct_the_command_line() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n").with("other.yaml", "a: 1\n");
    for (args, hint) in [
        (&["rum"][..], "did you mean `run`?"),
        (&["f.yaml"], "to run a flow, write `llmspell run f.yaml --input FILE`"),
        (&["runs", "shw"], "did you mean `show`?"),
        (&["run", "--inptu", "x", "f.yaml"], "did you mean `--input`?"),
        (&["check", "f.yaml", "--josn"], "did you mean `--json`?"),
        (&["run", "f.yaml", "in.jsonl"], "name the records with `--input in.jsonl`"),
        (&["run"], "name the flow file: `llmspell run f.yaml --input in.jsonl`"),
        (&["run", "-i", "in.jsonl"], "name the flow file: `llmspell run f.yaml`"),
        (&["check"], "name the flow file: `llmspell check f.yaml`"),
        (&["plan"], "name the flow file: `llmspell plan f.yaml`"),
        (&["run", "f.yaml"], "name the records with `--input in.jsonl`, `--input -` or `--files 'docs/**/*.md'`"),
        (&["runs", "rm"], "list the runs with `llmspell runs`"),
        (&["report", "a", "b"], "see `llmspell help report`"),
        (&["run", "f.yaml", "-i", "in.jsonl", "--limit", "x"], "see `llmspell help run`"),
        (&["-x"], "see `llmspell --help` for the commands"),
    ] {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        let last = ended.err.lines().last().and_then(|last| last.strip_prefix("hint: ")).unwrap_or_default();
        assert!(last.starts_with(hint), "{args:?}: {}", ended.err);
        assert!(!ended.err.contains("tip: ") && ended.err.matches("hint: ").count() == 1, "{args:?}: {}", ended.err);
    }
    let hint = async |folder: &Folder| folder.run(&["run"]).await.err.lines().last().unwrap().to_owned();
    let folder = folder.with("g.yaml", FLOW);
    assert_eq!(hint(&folder).await, "hint: name one of the flow files in this folder: f.yaml, g.yaml");
    assert_eq!(hint(&Folder::new()).await, "hint: write a flow file with `llmspell init`; this folder has none");
    assert_eq!(
        hint(&Folder::new().with("it's my.yml", FLOW)).await,
        "hint: name the flow file: `llmspell run 'it'\\''s my.yml' --input FILE`"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_with_options_that_are_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n");
    let odd = std::ffi::OsStr::from_bytes(b"in\xFF.jsonl");
    std::fs::copy(folder.path("in.jsonl"), folder.path("").join(odd)).unwrap();
    let run = async |more: &[&str]| {
        let mut command = folder.command(&["run", "f.yaml", "-o", "out.jsonl", "-i"]);
        crate::program::wait(command.arg(odd).args(more).spawn().unwrap()).await
    };
    let ended = run(&[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("is not UTF-8") && ended.err.ends_with("or run with --no-journal\n"), "{}", ended.err);
    assert!(!folder.path(".llmspell").exists() && !folder.path("out.jsonl.partial").exists());
    assert_eq!(run(&["--no-journal"]).await.code, Some(0));
    assert_eq!(folder.read("out.jsonl").lines().count(), 1);
}

#[tokio::test]
async fn flows_and_records_cannot_control_the_terminal() {
    let flow = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs.q }}\" } }]\n";
    let record = "{\"q\":1}\n\"\u{1b}]0;title\u{7}\u{9b}2J\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", record);
    let folder = folder.with("g.yaml", "flow: g\nsteps: [{ id: a, tool: \"te\\e[2Jxt\" }]\n");
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    for (args, code) in [
        (&["check", "g.yaml"][..], 2),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"], 3),
        (&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--report", "json"], 3),
        (&["run", "f.yaml", "-i", "no\u{1b}[2J.jsonl"], 2),
        (&["run", "f.yaml", "--no\u{1b}[2J"], 2),
        (&["help", "no\u{1b}[2J"], 2),
    ] {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(!raw(&ended.err) && !raw(&ended.out), "{args:?}: {ended:?}");
    }
    assert!(folder.run(&["check", "g.yaml"]).await.err.contains("te␛[2Jxt"));
}

#[tokio::test]
async fn an_invalid_flow_is_reported_with_line_and_caret() {
    let folder = Folder::new().with("f.yaml", "flow: f\nsteps:\n  - id: a\n    tool: txet\n").with("in.jsonl", "{}\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"]).await;
    assert_eq!(ended.code, Some(2));
    assert_output("unknown_tool", &ended.err);
    assert!(!folder.path("out.jsonl").exists() && !folder.path("out.jsonl.partial").exists());
}

#[tokio::test]
async fn a_missing_permission_ends_with_exit_code_4_before_the_run() {
    let flow =
        "flow: f\nallow: { command: [touch] }\nsteps:\n  - { id: a, tool: command, with: { argv: [touch, ran] } }\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"]).await;
    assert_eq!(ended.code, Some(4));
    assert!(ended.err.ends_with("hint: allow it with --allow command=touch\n"), "{}", ended.err);
    assert!(!folder.path("ran").exists() && !folder.path("out.jsonl.partial").exists());
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "command=touch"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(folder.path("ran").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_is_reported_before_any_work() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n");
    std::fs::create_dir(folder.path("closed")).unwrap();
    std::fs::set_permissions(folder.path("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    if std::fs::write(folder.path("closed/try"), "").is_ok() {
        return; // root may write anywhere
    }
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "closed/out.jsonl"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("hint: check the permissions of its folder"), "{}", ended.err);
}

#[tokio::test]
async fn a_partial_file_is_not_overwritten() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n").with("out.jsonl.partial", "precious\n");
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];
    let ended = folder.run(&args).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("--force"), "{}", ended.err);
    assert_eq!(folder.read("out.jsonl.partial"), "precious\n");
    let ended = folder.run(&[&args[..], &["--force"]].concat()).await;
    assert_eq!(ended.code, Some(0));
    assert!(!folder.path("out.jsonl.partial").exists());
}

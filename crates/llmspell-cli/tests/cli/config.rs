//! Options in files: where they are found, which one wins, and how errors are reported.

use serde_json::Value;

use crate::program::{Folder, lines, wait};

const FLOW: &str = "flow: f\nsteps: [{ id: a, tool: json, with: { value: 1 } }]\n";

fn folder(project: &str, user: &str) -> Folder {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n{}\n");
    std::fs::create_dir_all(folder.path(".config/llmspell")).unwrap();
    std::fs::create_dir_all(folder.path("deep/er")).unwrap();
    folder.with("llmspell.toml", project).with(".config/llmspell/config.toml", user)
}

#[tokio::test]
async fn config_show_names_the_source_of_each_option() {
    let folder =
        folder("limit = 8\nkeep_going = true\n", "limit = 2\ndeadline = '10m'\nallow = ['net=a.org', 'read=.']\n");
    let mut command = folder.command(&["config", "show", "--json"]);
    command.current_dir(folder.path("deep/er")).env("LLMSPELL_RATE", "5/s");
    let shown: Value = serde_json::from_str(&wait(command.spawn().unwrap()).await.out).unwrap();
    let of = |key: &str| (shown[key]["value"].clone(), shown[key]["from"].as_str().unwrap().to_owned());
    assert_eq!((of("limit").0, of("keep_going").0), ("8".into(), "true".into()));
    assert!(of("limit").1.ends_with("llmspell.toml") && !of("limit").1.contains("config.toml"), "{shown}");
    assert!(of("deadline").0 == "10m" && of("deadline").1.ends_with("config.toml"), "{shown}");
    assert_eq!(of("allow").0, serde_json::json!(["net=a.org", "read=."]));
    assert_eq!(of("rate"), ("5/s".into(), "LLMSPELL_RATE".into()));
    assert_eq!(of("progress"), ("auto".into(), "default".into()));
    assert_eq!(of("budget"), (Value::Null, "default".into()));
    let text = folder.run(&["config", "show"]).await.out;
    let of = |key: &str| text.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap().to_owned();
    assert!(of("limit").ends_with("llmspell.toml") && of("on_error").ends_with("default"), "{text}");
}

#[tokio::test]
async fn the_nearest_setting_wins() {
    // Each wins over the one before: the user's file, the project's file, the flow, the variable, the flag.
    let folder = folder("strict = true\nsample = 1\n", "quiet = true\nsample = 2\n");
    let args = ["run", "f.yaml", "-i", "in.jsonl"];
    let ended_with = async |args: &[&str], variable: &str| {
        let mut command = folder.command(args);
        let ended = wait(command.env("LLMSPELL_SAMPLE", variable).spawn().unwrap()).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        lines(&ended.out).len()
    };
    assert_eq!(ended_with(&args, "").await, 1);
    assert_eq!(ended_with(&args, "2").await, 2);
    assert_eq!(ended_with(&[&args[..], &["--sample", "1"]].concat(), "2").await, 1);
    std::fs::write(folder.path("f.yaml"), format!("run: {{ sample: 2 }}\n{FLOW}")).unwrap();
    assert_eq!(ended_with(&args, "").await, 2);
    assert_eq!(ended_with(&args, "1").await, 1);
    std::fs::write(folder.path("other.toml"), "quiet = true").unwrap();
    std::fs::write(folder.path("f.yaml"), FLOW).unwrap();
    assert_eq!(ended_with(&[&args[..], &["--config", "other.toml"]].concat(), "").await, 2);
}

#[tokio::test]
async fn errors_in_configuration_files_are_reported_with_their_line() {
    for (project, user, wanted) in [
        ("limt = 8\n", "", "unknown option `limt`\n --> llmspell.toml:1:1"),
        ("limt = 8\n", "", "hint: did you mean `limit`?"),
        ("\nlimit = 0\n", "", "--> llmspell.toml:2:1"),
        ("limit = 0\n", "", "invalid value `0` for `limit`: 0 is not in 1..=1000000"),
        ("deadline = 5\n", "", "write 5s or 5ms"),
        ("on_error = 'rows'\n", "", "hint: use one of: row, drop, stop"),
        ("limit = [8]\n", "", "a list of strings, found integer"),
        ("limit = ['8', '9']\n", "", "takes one value, not a list"),
        ("limit = \n", "", "--> llmspell.toml:1:"),
        ("input = 'x'\n", "", "unknown option `input`"),
        ("allow = ['command']\n", "", "`allow` is not permitted in the configuration of a project"),
        ("", "[journal]\nkeepp = 1\n", "unknown option `journal_keepp`"),
    ] {
        let folder = folder(project, user);
        for args in [&["run", "f.yaml", "-i", "in.jsonl"][..], &["config", "show"]] {
            let ended = folder.run(args).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{project}{user}: {ended:?}");
            assert!(ended.err.contains(wanted), "{project}{user}: {}", ended.err);
            assert!(ended.err.lines().last().unwrap().starts_with("hint: "), "{}", ended.err);
        }
        // A command without options of files ignores them.
        assert_eq!(folder.run(&["schema"]).await.code, Some(0));
        assert_eq!(folder.run(&["help", "run"]).await.code, Some(0));
    }
    let ended = folder("", "").run(&["run", "f.yaml", "-i", "in.jsonl", "--config", "no.toml"]).await;
    assert!(ended.code == Some(2) && ended.err.contains("hint: check the path of --config"), "{ended:?}");
}

#[tokio::test]
async fn a_flow_can_set_only_options_of_flows() {
    for (run, wanted) in [
        ("{ limit: 0 }", "invalid value `0` for `limit`"),
        ("{ limit: [1] }", "must be a text, a number"),
        ("{ limti: 1 }", "did you mean `limit`?"),
        ("{ allow: command }", "unknown option `allow` of a run"),
        ("{ output: x }", "unknown option `output` of a run"),
    ] {
        let folder = folder("", "").with("f.yaml", format!("run: {run}\n{FLOW}"));
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl"]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(wanted) && ended.err.contains("--> f.yaml:1:"), "{run}: {}", ended.err);
    }
}

#[tokio::test]
async fn keys_are_redacted() {
    let folder = folder("", "allow = ['net=https://me:secret@a.org']\n");
    let shown = folder.run(&["config", "show"]).await;
    assert!(shown.out.contains("***") && !shown.out.contains("secret"), "{}", shown.out);
}

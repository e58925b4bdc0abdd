//! The first commands of a newcomer.

use crate::program::{Folder, lines};

#[tokio::test]
async fn init_writes_a_working_flow_once() {
    let folder = Folder::new();
    let ended = folder.run(&["init", "my"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("next: llmspell run my/flow.yaml --input my/records.jsonl\n"), "{}", ended.out);
    assert_eq!(folder.run(&["check", "my/flow.yaml"]).await.code, Some(0));
    let run = folder.run(&["run", "my/flow.yaml", "--input", "my/records.jsonl"]).await;
    assert_eq!((run.code, lines(&run.out).len()), (Some(0), 12), "{run:?}");
    let again = folder.run(&["init", "my"]).await;
    assert!(again.code == Some(2) && again.err.contains("my/flow.yaml exists already"), "{again:?}");
    assert!(folder.run(&["init", "--list"]).await.out.starts_with("first "));
    let wrong = folder.run(&["init", "--template", "frist"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("hint: did you mean `first`?"), "{wrong:?}");
    assert!(!folder.path("flow.yaml").exists());
}

#[tokio::test]
async fn every_template_is_a_valid_flow_with_its_schema() {
    let folder = Folder::new();
    let list = folder.run(&["init", "--list"]).await.out;
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["first", "agent", "pages"]);
    for name in names {
        assert_eq!(folder.run(&["init", name, "--template", name]).await.code, Some(0));
        let flow = folder.read(&format!("{name}/flow.yaml"));
        assert!(flow.starts_with("# yaml-language-server: $schema=flow.schema.json\n"), "{flow}");
        assert_eq!(folder.read(&format!("{name}/flow.schema.json")), folder.run(&["schema"]).await.out.trim_end());
        let checked = folder.run(&["check", "--strict", &format!("{name}/flow.yaml")]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
    let run = folder.run(&["run", "agent/flow.yaml", "--input", "agent/records.jsonl"]).await;
    assert_eq!((run.code, lines(&run.out).len()), (Some(0), 12), "{run:?}");
    let refused = folder.run(&["run", "pages/flow.yaml", "--input", "pages/records.jsonl"]).await;
    assert!(refused.code == Some(4) && refused.err.contains("--allow net=example.com"), "{refused:?}");
}

#[tokio::test]
async fn the_demo_shows_a_run() {
    let folder = Folder::new();
    let ended = folder.run(&["demo"]).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(0), 12), "{ended:?}");
    assert!(ended.err.contains("answer") && ended.err.ends_with("next: llmspell init my-flow\n"), "{}", ended.err);
}

#[tokio::test]
async fn schema_and_completions_are_printed() {
    let folder = Folder::new();
    let schema: serde_json::Value = serde_json::from_str(&folder.run(&["schema"]).await.out).unwrap();
    assert_eq!(schema["title"], "LLMSpell flow");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = folder.run(&["completions", shell]).await;
        assert!(ended.code == Some(0) && ended.out.contains("keep-going"), "{shell}");
    }
    assert_eq!(folder.run(&["completions", "tcsh"]).await.code, Some(2));
}

#[tokio::test]
async fn topics_fit_into_80_columns() {
    let folder = Folder::new();
    for (topic, wanted) in
        [("flow", "${{ x }}"), ("config", "journal_keep"), ("output", "took_ms"), ("exit-codes", "124")]
    {
        let ended = folder.run(&["help", topic]).await;
        assert!(ended.code == Some(0) && ended.out.contains(wanted), "{topic}: {}", ended.out);
        let long = ended.out.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{topic}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn bash_completes_the_names_of_runs_and_flow_files() {
    let folder = Folder::new().with("flow.yaml", "").with("in.jsonl", "");
    std::fs::create_dir_all(folder.path(".llmspell/runs")).unwrap();
    let folder = folder.with(".llmspell/runs/triage-1.db", "").with(".llmspell/runs/triage-1.db-wal", "");
    let script = folder.run(&["completions", "bash"]).await.out;
    let asked = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=(llmspell {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _llmspell_named llmspell \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let reported = std::process::Command::new("bash").args(["-c", &ask]).current_dir(folder.path("")).output();
        String::from_utf8(reported.unwrap().stdout).unwrap().trim().to_owned()
    };
    for (words, wanted) in [
        ("resume ''", "triage-1"),
        ("report tri", "triage-1"),
        ("runs show ''", "triage-1"),
        ("runs rm x-1 t", "triage-1"),
        ("resume x", ""),
        ("run ''", "flow.yaml"),
        ("check fl", "flow.yaml"),
        ("comp", "completions"),
        ("run flow.yaml --keep-g", "--keep-going"),
    ] {
        assert_eq!(asked(words), wanted, "{words}");
    }
    for (shell, wanted) in [("zsh", ":_llmspell_runs'"), ("fish", "(__llmspell_runs)")] {
        assert!(folder.run(&["completions", shell]).await.out.contains(wanted), "{shell}");
    }
}

//! The commands that run no record.

use crate::program::{Folder, assert_output};

#[tokio::test]
async fn tools_are_listed_within_80_columns() {
    let folder = Folder::new();
    let list = folder.run(&["tools"]).await;
    assert_eq!(list.code, Some(0));
    assert!(list.out.lines().all(|line| line.chars().count() <= 80), "{}", list.out);
    for line in [
        "calculator    safe",
        "command       privileged",
        "csv           safe",
        "hash          safe",
        "html_to_text  safe",
        "http_get      restricted",
        "http_request  privileged",
        "json          safe",
        "list_files    restricted",
        "read_file     restricted",
        "regex         safe",
        "slow          safe",
        "template      safe",
        "text          safe",
        "time          safe",
        "write_file    privileged",
    ] {
        assert!(list.out.lines().any(|found| found.starts_with(line)), "{line}");
    }
}

#[tokio::test]
async fn a_tool_is_shown_with_its_arguments() {
    let folder = Folder::new();
    for name in folder.run(&["tools"]).await.out.lines().filter_map(|line| line.split(' ').next()) {
        if name.is_empty() {
            continue;
        }
        let one = folder.run(&["tools", name]).await;
        assert_eq!(one.code, Some(0));
        assert!(one.out.lines().all(|line| line.chars().count() <= 80), "{}", one.out);
        let json: serde_json::Value = serde_json::from_str(&folder.run(&["tools", name, "--json"]).await.out).unwrap();
        for (argument, schema) in json["parameters"]["properties"].as_object().unwrap() {
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 5), "{name}: {argument}");
            assert!(one.out.contains(&format!("\n  {argument}: ")), "{name}: {argument}");
        }
    }
    let one = folder.run(&["tools", "read_file"]).await;
    assert!(one.out.starts_with("read_file · restricted, needs --allow read=DIR\n"), "{}", one.out);
    let one = folder.run(&["tools", "regex"]).await;
    assert!(one.out.contains("  action: find | find_all | "), "{}", one.out);
    assert!(folder.run(&["tools", "regx"]).await.err.contains("did you mean `regex`?"));
}

#[tokio::test]
async fn check_shows_the_steps_of_a_flow_and_what_it_needs() {
    let folder = Folder::new()
        .with("a.yaml", "flow: a\nallow: { command: [ls] }\nsteps: [{ id: x, tool: slow }, { id: y, tool: command, with: { argv: [ls] } }]\n")
        .with("b.yaml", "flow: b\nsteps: []\n");
    let ended = folder.run(&["check", "a.yaml"]).await;
    assert_eq!(ended.code, Some(0));
    assert_output("check", &ended.out);
    let ended = folder.run(&["check", "a.yaml", "b.yaml"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("b.yaml:2:8"), "{}", ended.err);
}

#[tokio::test]
async fn check_explains_its_rules() {
    let folder = Folder::new();
    for rule in llmspell_flow::LINT_RULES {
        let ended = folder.run(&["check", "--explain", rule.id]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let (id, explanation) = ended.out.split_once("\n\n").unwrap();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((id, words(explanation)), (rule.id, words(rule.explanation)));
        fits_into_80_columns(&ended.out);
    }
    let json = folder.run(&["check", "--explain", "unused-step", "--json"]).await.out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["id"], "unused-step");
    let ended = folder.run(&["check", "--explain", "unused-stp"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert_eq!(ended.err, "error: unknown rule `unused-stp`\n\nhint: did you mean `unused-step`?\n");
    let all = folder.run(&["check", "--explain", "all"]).await.err;
    assert!(llmspell_flow::LINT_RULES.iter().all(|rule| all.contains(rule.id)), "{all}");
}

#[tokio::test]
async fn help_explains_commands_and_topics_within_80_columns() {
    let folder = Folder::new();
    let commands = [
        "run",
        "check",
        "plan",
        "tools",
        "resume",
        "runs",
        "report",
        "config",
        "init",
        "demo",
        "schema",
        "completions",
    ];
    let topics = ["exit-codes", "output", "progress", "flow", "config"];
    for topic in commands.into_iter().chain(topics).chain(["help"]) {
        let ended = folder.run(&["help", topic]).await;
        assert_eq!(ended.code, Some(0), "{topic}");
        fits_into_80_columns(&ended.out);
        assert_output(&format!("help_{topic}"), &ended.out);
    }
    for command in commands {
        let ended = folder.run(&[command, "--help"]).await;
        assert_eq!(ended.code, Some(0), "{command}");
        fits_into_80_columns(&ended.out);
    }
    let all = folder.run(&["--help"]).await;
    assert_eq!((all.code, &all.out), (Some(0), &folder.run(&["help"]).await.out));
    assert_output("help", &all.out);
}

fn fits_into_80_columns(text: &str) {
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "{text}");
}

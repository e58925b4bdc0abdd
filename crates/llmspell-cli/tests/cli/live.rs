//! The live view on a real pseudo-terminal, which Python's standard library makes: `live.py` plays the scenes.

use std::process::Command;

use crate::program::Folder;

const FLOW: &str = "\
flow: demo
steps:
  - { id: fetch, tool: slow, with: { delay_ms: 100, failure_rate: 0.3 }, limit: 4, retry: { max: 3, base: 200ms } }
  - { id: store, tool: slow, with: { delay_ms: 20 } }
";

fn play(scene: &str) {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{}\n".repeat(120));
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/live.py");
    let mut python = Command::new("python3");
    python.args(["-B", tests, env!("CARGO_BIN_EXE_llmspell"), scene]).current_dir(folder.path(""));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LLMSPELL_") || name == "NO_COLOR") {
        python.env_remove(name);
    }
    let played = python.output().expect("these tests need python3 in the PATH");
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{said}");
}

#[test]
fn a_frame_shows_steps_and_records_and_is_removed() {
    play("frame");
}

#[test]
fn without_colour_nothing_is_coloured() {
    play("no_color");
}

#[test]
fn a_dumb_terminal_gets_sentences() {
    play("dumb");
}

#[test]
fn a_frame_follows_the_size_of_the_terminal() {
    play("resize");
}

#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    play("interrupt");
}

#[test]
fn a_continued_program_draws_below_the_output_of_others() {
    play("suspend");
}

#[test]
fn progress_as_json_is_one_object_per_line() {
    play("json");
}

//! Changes that alter the fingerprint of a flow or a step, and changes that do not.

use llmspell_test::ScriptedModel;
use llmspell_tools::Permissions;

use super::Fingerprint;

use crate::{Flow, Source, Toolbox};

fn toolbox() -> Toolbox {
    let model = || ScriptedModel::new("test");
    Toolbox::built_in(&Permissions::none()).with_model("a/b", model()).with_model("a/c", model())
}

fn print(text: &str) -> Fingerprint {
    let flow = Flow::parse(&Source::new("f.yaml", text), &toolbox());
    flow.unwrap_or_else(|wrong| panic!("{wrong}")).fingerprint()
}

#[test]
fn different_definitions_have_different_fingerprints() {
    let one = Fingerprint::of(b"one");
    assert_eq!(one, Fingerprint::of(b"one"));
    assert_ne!(one, Fingerprint::of(b"two"));
    assert_eq!(one.to_string().len(), 32);
    assert_eq!(Fingerprint::from_slice(&one.0), Some(one));
    assert_eq!(Fingerprint::from_slice(b"short"), None);
}

#[test]
fn everything_that_decides_an_answer_is_in_the_fingerprint_of_an_agent() {
    let text = "flow: f\nmodels: { m: { model: a/b, temperature: 0.0 } }\nsteps: [{ id: a, agent: { model: m, prompt: Go } }]\n";
    let same = print(text);
    assert_eq!(print(&text.replace("temperature: 0.0", "temperature: 0.0, rate: 1/s, limit: 3")), same);
    assert_eq!(print(&text.replace(" m: ", " n: ").replace("model: m,", "model: n,")), same);
    for (from, to) in [
        ("a/b", "a/c"),
        ("0.0", "0.5"),
        ("Go", "Stop"),
        ("prompt: Go", "prompt: Go, system: Be"),
        ("prompt: Go", "prompt: Go, tools: [json]"),
        ("prompt: Go", "prompt: Go, answer: { x: {} }"),
        ("prompt: Go", "prompt: Go, max_turns: 3"),
    ] {
        assert_ne!(print(&text.replacen(from, to, 1)), same, "{to}");
    }
}

#[test]
fn the_text_of_a_prompt_file_is_in_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("f.yaml", "flow: f\nsteps: [{ id: a, agent: { model: a/b, prompt: { file: ask.j2 } } }]\n");
    let print = |prompt: &str| {
        write("ask.j2", prompt);
        Flow::load(&folder.path().join("f.yaml"), &toolbox()).unwrap().fingerprint()
    };
    assert_eq!(print("Go."), print("Go."));
    assert_ne!(print("Go."), print("Go on."));
}

#[test]
fn the_words_and_arguments_of_a_command_are_in_the_fingerprint() {
    let print = |words: &str, rest: &str| {
        print(&format!(
            "flow: f\nallow: {{ command: [echo] }}\ntools: {{ say: {{ command: [echo, {words}], {rest} }} }}\n\
             steps: [{{ id: a, tool: say, with: {{}} }}]\n"
        ))
    };
    let text = "\"${{ args.text }}\"";
    let one = print(text, "args: { text: { default: a } }");
    assert_eq!(one, print(text, "args: { text: { default: a, description: b } }"));
    assert_ne!(one, print(text, "args: { text: { default: b } }"));
    assert_ne!(one, print(&format!("-n, {text}"), "args: { text: { default: a } }"));
    // It decides whether there is an output, and not which.
    assert_eq!(one, print(text, "args: { text: { default: a } }, max_bytes: 5000000"));
}

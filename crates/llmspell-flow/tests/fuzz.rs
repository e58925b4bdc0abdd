//! No text, however broken, makes the reader of flow files panic.

use llmspell_flow::{Flow, Permissions, Source, Toolbox};
use proptest::prelude::*;

const VALID: &str = include_str!("../../../flows/tool-triage.yaml");

/// Pieces that mean something in a flow file.
const PIECES: [&str; 24] = [
    "${{",
    "}}",
    "{%",
    "%}",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\t",
    "'",
    "\"",
    "|",
    ">-",
    "&a",
    "*a",
    "!!str ",
    "---\n",
    "steps.prompt",
    "timeout: ",
    "5s",
    "ä\u{feff}\u{2028}",
];

fn read(text: &str) {
    let toolbox = Toolbox::built_in(&Permissions::none());
    if let Err(problems) = Flow::parse(&Source::new("f.yaml", text), &toolbox) {
        // Showing them must not panic either, and always says something.
        assert!(problems.to_string().starts_with("error: "));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_with_other_pieces_in_it(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..80usize, 0..PIECES.len()), 1..6)) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (place, removed, piece) in edits {
            let start = place.index(text.len());
            let end = (start + removed).min(text.len());
            text.splice(start..end, PIECES[piece].chars());
        }
        read(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_text_as_a_value(value in ".{0,60}") {
        read(&format!("flow: f\nsteps:\n  - id: a\n    tool: text\n    with:\n      value: {value}\n"));
        read(&format!("flow: f\nsteps:\n  - id: a\n    tool: text\n    with:\n      value: ${{{{ {value} }}}}\n"));
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read(&text);
    }
}

#[test]
fn deep_nesting_is_refused() {
    read(&"[".repeat(100_000));
    read(&format!("flow: f\nsteps:\n  - id: a\n    tool: json\n    with:\n      value: {}", "[".repeat(5_000)));
    read(&format!("flow: f\noutput: ${{{{ {} }}}}\nsteps: []\n", "(".repeat(50_000)));
    let laughs: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    read(&format!("a0: &a0 ha\n{laughs}"));
}

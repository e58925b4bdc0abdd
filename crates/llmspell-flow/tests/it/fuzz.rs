//! No text, however broken, makes the reader of flow files panic.

use llmspell_flow::{Flow, Source, Toolbox};

use llmspell_tools::Permissions;
use proptest::prelude::*;

const VALID: &str = include_str!("../../../../flows/tool-triage.yaml");

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
    match Flow::parse(&Source::new("f.yaml", text), &toolbox) {
        // Showing them must not panic either, and always says something.
        Err(problems) => assert!(problems.to_string().starts_with("error: ")),
        // A valid flow can be compiled.
        Ok(flow) => {
            flow.warnings().for_each(|warning| assert!(warning.to_string().contains("hint: ")));
            drop(flow.into_step());
        }
    }
}

/// A modifier or another key, with a value that may be right.
fn key() -> impl Strategy<Value = String> {
    let time = prop::sample::select(vec![
        "1ms",
        "2s",
        "1.5m",
        "8760h",
        "0s",
        "5",
        "-1s",
        "x",
        "[1s, 2s]",
        "[]",
        "{ attempt: 3s, first: 1s }",
        "{ idle: 9s }",
    ]);
    let number = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "3",
        "8",
        "300",
        "1001",
        "-1",
        "4294967295",
        "99999999999",
        "1.5",
        "x",
        "true",
        "null",
    ]);
    let rate = prop::sample::select(vec![
        "1/s",
        "60/min",
        "0/s",
        "18446744073709551615/ms",
        "1/8760h",
        "{ tokens: 5/s }",
        "{}",
        "{ requests: 9/h, burst: 8760h }",
    ]);
    let flag = prop::sample::select(vec![
        "true",
        "false",
        "refusals",
        "latency",
        "{ min: 300 }",
        "{ max: 2, initial: 9 }",
        "{ min: 0 }",
        "{ share: 0 }",
        "{ share: 1, calls: 0, window: 1ms, open: 8760h }",
        "{ share: .nan }",
    ]);
    let after = prop::sample::select(vec![
        "1s",
        "p95",
        "p0",
        "p100",
        "p99.99",
        "pX",
        "{ after: p50, share: 1 }",
        "{ after: 1s, share: 2 }",
        "{ share: 1 }",
    ]);
    let when = prop::sample::select(vec![
        "inputs.x",
        "true",
        "1 / 0",
        "item",
        "last",
        "steps.a0",
        "steps",
        "'${{ x }}'",
        "range(3)",
        "[]",
    ]);
    prop_oneof![
        (prop::sample::select(vec!["timeout", "deadline"]), time).prop_map(|(key, value)| format!("{key}: {value}")),
        (prop::sample::select(vec!["retry", "limit", "max"]), number)
            .prop_map(|(key, value)| format!("{key}: {value}")),
        rate.prop_map(|value| format!("rate: {value}")),
        (prop::sample::select(vec!["adaptive", "breaker"]), flag).prop_map(|(key, value)| format!("{key}: {value}")),
        after.prop_map(|value| format!("hedge: {value}")),
        (prop::sample::select(vec!["when", "until", "from"]), when).prop_map(|(key, value)| format!("{key}: {value}")),
        prop::sample::select(vec![
            "on_error: skip",
            "first: output",
            "with: {}",
            "fallback: { value: 1 }",
            "retry: { max: 3, base: 1ms, on: [timeout] }"
        ])
        .prop_map(str::to_owned),
    ]
}

/// A step, maybe with steps in it; its ids are of its own most of the time.
fn step() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "value: 1.10",
        "value: '${{ inputs.x }}'",
        "tool: slow",
        "tool: command, with: { argv: [ls] }",
        "tool: text, with: { value: x }",
        "tool: text",
        "agent: { prompt: hi }",
        "tool: none",
    ]);
    let leaf = (leaf, prop::collection::vec(key(), 0..4));
    let leaf = leaf.prop_map(|(kind, keys)| [vec![kind.to_owned()], keys].concat().join(", "));
    leaf.prop_recursive(10, 40, 3, |inner| {
        let list = prop::collection::vec((0..40u32, inner), 0..4).prop_map(|steps| {
            let steps = steps.into_iter().map(|(id, step)| format!("{{ id: a{id}, {step} }}"));
            format!("[{}]", steps.collect::<Vec<_>>().join(", "))
        });
        let kinds =
            vec!["concurrent: ", "race: ", "pipeline: ", "repeat: ", "each: inputs.x, do: ", "value: 1, fallback: "];
        (prop::sample::select(kinds), list, prop::collection::vec(key(), 0..5))
            .prop_map(|(kind, list, keys)| [vec![format!("{kind}{list}")], keys].concat().join(", "))
    })
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
    fn steps_in_steps(steps in prop::collection::vec(step(), 1..4), defaults in prop::collection::vec(key(), 0..3)) {
        let steps = steps.iter().enumerate().map(|(n, step)| format!("  - {{ id: s{n}, {step} }}\n"));
        let steps = steps.collect::<String>();
        read(&format!("flow: f\nsteps:\n{steps}"));
        read(&format!("flow: f\ndefaults: {{ {} }}\nsteps:\n{steps}", defaults.join(", ")));
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

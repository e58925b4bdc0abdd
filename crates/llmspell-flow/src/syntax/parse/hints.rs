//! Hints for values of the wrong type.

use super::position::Position;

/// The keys that declare fields.
const FIELDS: [&str; 4] = ["inputs", "returns", "args", "answer"];

/// The keys that hold a list of steps.
const STEPS: [&str; 5] = ["steps", "concurrent", "race", "pipeline", "repeat"];

/// Other names for the types of fields.
const TYPES: [(&str, &[&str]); 6] = [
    ("string", &["string", "str", "text"]),
    ("integer", &["integer", "int"]),
    ("number", &["number", "float", "double"]),
    ("boolean", &["boolean", "bool"]),
    ("array", &["array", "list"]),
    ("object", &["object", "dict", "map", "table"]),
];

/// The keys of other workflow tools: the key, our key, and the hint.
const KEYS: [(&str, &str, &str); 15] = [
    ("name", "flow", "write the name of the flow under `flow`: `flow: triage`"),
    ("workflow", "flow", "write the name of the flow under `flow`: `flow: triage`"),
    ("tasks", "steps", "the key is called `steps`"),
    ("jobs", "steps", "the key is called `steps`"),
    ("name", "id", "write the name of the step under `id`"),
    ("if", "when", "write the condition under `when`: `when: inputs.lang == \"en\"`"),
    ("uses", "tool", "name the tool under `tool`, and write its arguments under `with`"),
    ("args", "with", "write the arguments of the tool under `with`"),
    ("input", "with", "write the arguments of the tool under `with`"),
    ("parallel", "concurrent", "write steps that run at the same time under `concurrent`"),
    ("foreach", "each", "write the step for each item under `do`: `each: inputs.urls`, `do: { tool: … }`"),
    ("for_each", "each", "write the step for each item under `do`: `each: inputs.urls`, `do: { tool: … }`"),
    ("needs", "when", "steps run in order; write steps that run at the same time under `concurrent`"),
    ("prompt", "agent", "write the call of a model under `agent`: `agent: { prompt: … }`"),
    ("model", "agent", "write the call of a model under `agent`: `agent: { model: …, prompt: … }`"),
];

/// Returns the hint for a key of another workflow tool.
pub(super) fn key(unknown: &str, known: &[&str]) -> Option<String> {
    let found = KEYS.iter().find(|(foreign, ours, _)| *foreign == unknown && known.contains(ours));
    found.map(|(_, _, hint)| (*hint).to_owned())
}

/// Returns the type with this name in another language.
pub(super) fn kind(word: &str) -> Option<&'static str> {
    TYPES.iter().find(|(_, words)| words.contains(&word.to_ascii_lowercase().as_str())).map(|(kind, _)| *kind)
}

/// Returns the hint for a place that expects a table.
pub(super) fn table(position: &Position<'_>) -> Option<String> {
    let (key, around) = position.under();
    if FIELDS.contains(&around) {
        return Some(match (kind(position.value), position.value) {
            (_, "") => format!("for any value: `{key}: {{}}`; otherwise `{key}: {{ type: string }}`"),
            (Some(kind), _) => format!("write `{key}: {{ type: {kind} }}`"),
            (None, _) => format!("write `{key}: {{ type: string }}`: a table describes the field"),
        });
    }
    let value = position.value;
    Some(match key {
        key if FIELDS.contains(&key) => {
            format!("declare each field by name: `{key}: {{ x: {{ type: string }} }}`")
        }
        key if STEPS.contains(&key) => {
            "write a step as a table: `- id: …`, and below it `tool: …` or another kind".to_owned()
        }
        "with" => format!("name the arguments: `with: {{ value: {} }}`", if position.is_many() { "…" } else { value }),
        "agent" if !position.is_many() => format!("write `agent: {{ model: …, prompt: {value} }}`"),
        "allow" => "list the permissions that the flow needs: `allow: { net: [example.org] }`".to_owned(),
        "run" => "write options of `llmspell run`: `run: { limit: 64 }`".to_owned(),
        "models" => "give each model a name: `models: { small: openai/gpt-5-mini }`".to_owned(),
        "defaults" => "write modifiers: `defaults: { timeout: 30s, retry: 3 }`".to_owned(),
        "" => "write a table: `flow: NAME`, then `steps:`; `llmspell init` writes one. Pass records with --input"
            .to_owned(),
        _ if around == "tools" => format!("write `{key}: {{ command: [program, argument] }}`"),
        _ => return None,
    })
}

/// Returns the hint for a place that expects a list.
pub(super) fn list(position: &Position<'_>) -> Option<String> {
    let (key, _) = position.under();
    if STEPS.contains(&key) {
        return Some(
            "write steps as a list: begin each with `- id: …`, and indent the rest of it below the `id`".to_owned(),
        );
    }
    (!position.is_many()).then(|| format!("write it in brackets: `{key}: [{}]`", position.value))
}

/// Returns the hint for a place that expects an expression.
pub(super) fn expression(position: &Position<'_>) -> String {
    let (key, _) = position.under();
    match position.value {
        list if list.starts_with('[') && list.ends_with(']') && !list.contains('"') => {
            format!("put the list in quotes: `{key}: \"{list}\"`, or name one: `{key}: inputs.urls`")
        }
        _ if matches!(key, "when" | "until") => format!("write a condition: `{key}: inputs.lang == \"en\"`"),
        _ => format!("name a list: `{key}: inputs.urls`; put a constant list in quotes: \"[1, 2]\""),
    }
}

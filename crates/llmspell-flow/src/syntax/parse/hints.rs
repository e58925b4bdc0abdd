//! What to do about a value that cannot stand where it does.

use super::position::Spot;

/// The keys that declare fields.
const FIELDS: [&str; 4] = ["inputs", "returns", "args", "answer"];

/// The keys that hold a list of steps.
const STEPS: [&str; 5] = ["steps", "concurrent", "race", "pipeline", "repeat"];

/// What others call the types of fields.
const TYPES: [(&str, &[&str]); 6] = [
    ("string", &["string", "str", "text"]),
    ("integer", &["integer", "int"]),
    ("number", &["number", "float", "double"]),
    ("boolean", &["boolean", "bool"]),
    ("array", &["array", "list"]),
    ("object", &["object", "dict", "map", "table"]),
];

/// What others call the keys of a flow file.
const KEYS: [(&str, &str, &str); 15] = [
    ("name", "flow", "the name of a flow stands under `flow`: `flow: triage`"),
    ("workflow", "flow", "the name of a flow stands under `flow`: `flow: triage`"),
    ("tasks", "steps", "they are called `steps`"),
    ("jobs", "steps", "they are called `steps`"),
    ("name", "id", "the name of a step stands under `id`"),
    ("if", "when", "a condition stands under `when`: `when: inputs.lang == \"en\"`"),
    ("uses", "tool", "a tool is named under `tool`, and its arguments stand under `with`"),
    ("args", "with", "the arguments of a tool stand under `with`"),
    ("input", "with", "the arguments of a tool stand under `with`"),
    ("parallel", "concurrent", "steps that run at once stand under `concurrent`"),
    ("foreach", "each", "what is done with each item stands under `do`: `each: inputs.urls`, `do: { tool: … }`"),
    ("for_each", "each", "what is done with each item stands under `do`: `each: inputs.urls`, `do: { tool: … }`"),
    ("needs", "when", "steps run in their order; those that run at once stand under `concurrent`"),
    ("prompt", "agent", "a model is asked under `agent`: `agent: { prompt: … }`"),
    ("model", "agent", "a model is asked under `agent`: `agent: { model: …, prompt: … }`"),
];

/// The key that is meant by one of another tool.
pub(super) fn key(unknown: &str, known: &[&str]) -> Option<String> {
    let found = KEYS.iter().find(|(foreign, ours, _)| *foreign == unknown && known.contains(ours));
    found.map(|(_, _, hint)| (*hint).to_owned())
}

/// The type that is meant by a word of another language.
pub(super) fn kind(word: &str) -> Option<&'static str> {
    TYPES.iter().find(|(_, words)| words.contains(&word.to_ascii_lowercase().as_str())).map(|(kind, _)| *kind)
}

/// What to write where a table is expected.
pub(super) fn table(spot: &Spot<'_>) -> Option<String> {
    let (key, around) = spot.under();
    if FIELDS.contains(&around) {
        return Some(match (kind(spot.value), spot.value) {
            (_, "") => format!("for any value: `{key}: {{}}`; otherwise `{key}: {{ type: string }}`"),
            (Some(kind), _) => format!("write `{key}: {{ type: {kind} }}`"),
            (None, _) => format!("write `{key}: {{ type: string }}`; a table says what the field is"),
        });
    }
    let value = spot.value;
    Some(match key {
        key if FIELDS.contains(&key) => {
            format!("name each field with what it is: `{key}: {{ x: {{ type: string }} }}`")
        }
        key if STEPS.contains(&key) => {
            "a step is a table: `- id: …`, and below it `tool: …` or another kind".to_owned()
        }
        "with" => format!("name the arguments: `with: {{ value: {} }}`", if spot.is_many() { "…" } else { value }),
        "agent" if !spot.is_many() => format!("write `agent: {{ model: …, prompt: {value} }}`"),
        "allow" => "say what the flow wants to touch: `allow: { net: [example.org] }`".to_owned(),
        "run" => "name options of `llmspell run`: `run: { limit: 64 }`".to_owned(),
        "models" => "give each model a name: `models: { small: openai/gpt-5-mini }`".to_owned(),
        "defaults" => "name modifiers: `defaults: { timeout: 30s, retry: 3 }`".to_owned(),
        "" => "a flow is a table: `flow: NAME`, then `steps:`; `llmspell init` writes one. Records belong into --input"
            .to_owned(),
        _ if around == "tools" => format!("write `{key}: {{ command: [program, argument] }}`"),
        _ => return None,
    })
}

/// What to write where a list is expected.
pub(super) fn list(spot: &Spot<'_>) -> Option<String> {
    let (key, _) = spot.under();
    if STEPS.contains(&key) {
        return Some(
            "steps are a list: begin each with `- id: …`, and indent the rest of it below the `id`".to_owned(),
        );
    }
    (!spot.is_many()).then(|| format!("write it in brackets: `{key}: [{}]`", spot.value))
}

/// What to write where an expression is expected.
pub(super) fn expression(spot: &Spot<'_>) -> String {
    let (key, _) = spot.under();
    match spot.value {
        list if list.starts_with('[') && list.ends_with(']') && !list.contains('"') => {
            format!("put the list in quotes: `{key}: \"{list}\"`, or name one: `{key}: inputs.urls`")
        }
        _ if matches!(key, "when" | "until") => format!("write a condition: `{key}: inputs.lang == \"en\"`"),
        _ => format!("name a list: `{key}: inputs.urls`; one that is always the same stands in quotes: \"[1, 2]\""),
    }
}

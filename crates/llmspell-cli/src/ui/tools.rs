//! Tools as text: the list of tools, and one tool with its arguments.

use llmspell::tool::ToolSpec;
use llmspell_flow::Toolbox;
use serde_json::Value;

use crate::ui::text::wrap;

/// The maximum width of a line.
const WIDTH: usize = 80;

/// Returns one entry per tool: its name, privilege and description.
pub(crate) fn list(toolbox: &Toolbox) -> String {
    let name = toolbox.specs().map(|spec| spec.name.len()).max().unwrap_or(0);
    let lines = toolbox.specs().map(|spec| {
        let before = format!("{:name$}  {:10}  ", spec.name, spec.security.as_str());
        let description = wrap(&spec.description, WIDTH - before.len(), before.len());
        format!("{before}{description}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns one tool with its arguments. `needs` is the option that permits it.
pub(crate) fn describe(spec: &ToolSpec, needs: Option<&str>) -> String {
    let permission = needs.map_or(String::new(), |option| format!(", needs {option}"));
    let description = wrap(&spec.description, WIDTH, 0);
    let mut text = format!("{} · {}{permission}\n\n{description}\n", spec.name, spec.security.as_str());
    let required: Vec<&str> =
        spec.parameters["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = spec.parameters["properties"].as_object();
    let (required, optional): (Vec<_>, Vec<_>) =
        properties.into_iter().flatten().partition(|(name, _)| required.contains(&name.as_str()));
    for (title, arguments) in [("Required arguments", required), ("Optional arguments", optional)] {
        if !arguments.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        for (name, schema) in arguments {
            text.push_str(&argument(name, schema, 2));
        }
    }
    text.push_str(&format!("\n`llmspell tools {} --json` prints its JSON Schema.", spec.name));
    text
}

/// Returns the name and type of an argument, and its description below.
fn argument(name: &str, schema: &Value, indent: usize) -> String {
    let kind = wrap(&type_name(schema), WIDTH - indent - name.len() - 2, indent + 4);
    let mut text = format!("{:indent$}{name}: {kind}\n", "");
    let indent = indent + 4;
    if let Some(description) = schema["description"].as_str() {
        text.push_str(&format!("{:indent$}{}\n", "", wrap(description, WIDTH - indent, indent)));
    }
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        if let (Some(choice), Some(description)) = (choice["const"].as_str(), choice["description"].as_str()) {
            let before = format!("{:indent$}{choice}: ", "");
            let wrapped = wrap(description, WIDTH - before.chars().count(), indent + 4);
            text.push_str(&format!("{before}{wrapped}\n"));
        }
    }
    for (name, schema) in schema["items"]["properties"].as_object().into_iter().flatten() {
        text.push_str(&argument(name, schema, indent));
    }
    text
}

/// Returns the type of an argument in words.
fn type_name(schema: &Value) -> String {
    let join = |choices: Vec<String>| choices.join(" | ");
    let choices = |key: &str| schema[key].as_array().into_iter().flatten();
    if schema["enum"].is_array() {
        return join(choices("enum").filter(|choice| !choice.is_null()).map(plain).collect());
    }
    if schema["oneOf"].is_array() {
        let name = |choice: &Value| choice.get("const").map_or_else(|| type_name(choice), plain);
        return join(choices("oneOf").map(name).collect());
    }
    if schema["anyOf"].is_array() {
        return join(choices("anyOf").filter(|choice| choice["type"] != "null").map(type_name).collect());
    }
    let types: Vec<&Value> = match &schema["type"] {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    };
    let types = types.into_iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
    let names: Vec<String> = types.map(|kind| json_type_name(kind, &schema["items"])).collect();
    if names.is_empty() { "any value".to_owned() } else { join(names) }
}

/// Returns the name of a type of JSON Schema; `items` is the schema of a list's items.
fn json_type_name(kind: &str, items: &Value) -> String {
    match kind {
        "string" => "text".to_owned(),
        "boolean" => "true | false".to_owned(),
        "integer" => "integer".to_owned(),
        "array" if items["properties"].is_object() => "list of objects".to_owned(),
        "array" if items["type"].is_string() => format!("list of {}", item_type_name(items)),
        "array" => "list".to_owned(),
        other => other.to_owned(),
    }
}

fn item_type_name(items: &Value) -> String {
    match type_name(items).as_str() {
        "text" => "texts".to_owned(),
        "integer" => "integers".to_owned(),
        other => other.to_owned(),
    }
}

fn plain(choice: &Value) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)
}

//! Checks of the arguments under `with` against the schema of the tool, as far as their values are constant.

use std::ops::Range;

use llmspell::internal::suggest;
use llmspell::tool::ToolSpec;
use serde_json::Value;

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::mapping::MappingEntry;
use crate::syntax::node::Node;
use crate::syntax::source::Source;
use crate::template::Template;

/// Compares the arguments of a step with the schema of its tool.
pub(crate) fn check(
    tool: &Range<usize>,
    with: &[MappingEntry<Node>],
    arguments: &[(String, Template)],
    spec: &ToolSpec,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) {
    let schema = &spec.parameters;
    let Some(properties) = schema["properties"].as_object() else { return };
    let open = schema["additionalProperties"].as_bool() != Some(false);
    for ((key, value), (_, template)) in with.iter().zip(arguments) {
        match properties.get(&key.value) {
            None if open => {}
            None => {
                let message = format!("the tool `{}` has no argument `{}`", spec.name, key.value);
                let names = properties.keys().map(String::as_str);
                let problem = source.diagnose(Some(key.at.clone()), message);
                problems.push(problem.with_hint(suggest::hint(&key.value, names, "its arguments are")));
            }
            Some(property) => {
                if let Some(literal) = template.literal()
                    && let Some(wanted) = mismatch(literal, property, schema)
                {
                    let message = format!("the argument `{}` must be {wanted}", key.value);
                    let problem = source.diagnose(Some(value.at.clone()), message);
                    problems.push(problem.with_hint(match in_other_case(literal, resolved(property, schema)) {
                        Some(choice) => format!("write {choice}"),
                        None => format!("`llmspell tools {}` shows the schema", spec.name),
                    }));
                }
            }
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !arguments.iter().any(|(given, _)| given == name)) {
        let message = format!("the tool `{}` needs the argument `{name}`", spec.name);
        let what = properties[name]["description"].as_str().unwrap_or("It has no description.");
        problems.push(source.diagnose(Some(tool.clone()), message).with_hint(format!("add it under `with`. {what}")));
    }
}

/// Returns the choice that equals a text when the case of letters is ignored.
fn in_other_case<'a>(value: &Value, property: &'a Value) -> Option<&'a str> {
    let mut choices = property["enum"].as_array()?.iter().filter_map(Value::as_str);
    choices.find(|choice| value.as_str().is_some_and(|value| choice.eq_ignore_ascii_case(value)))
}

/// Returns what the schema expects if a value cannot be valid. Only types and choices are checked: the tool itself
/// decides about everything else.
fn mismatch(value: &Value, property: &Value, schema: &Value) -> Option<String> {
    let property = resolved(property, schema);
    if let Some(choices) = property["enum"].as_array() {
        let listed = || choices.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        return (!choices.contains(value)).then(|| format!("one of {}", listed()));
    }
    if let Some(choice) = property.get("const") {
        return (choice != value).then(|| choice.to_string());
    }
    if let Some(branches) = property["oneOf"].as_array().or(property["anyOf"].as_array()) {
        let mut wanted = branches.iter().map(|branch| mismatch(value, branch, schema)).collect::<Option<Vec<_>>>()?;
        wanted.retain(|wanted| wanted != "null");
        return Some(wanted.join(" or "));
    }
    let types: Vec<&str> = match &property["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if types.iter().any(|kind| fits(value, kind)) {
        return None;
    }
    let named = types.into_iter().filter(|kind| *kind != "null").map(display_name).collect::<Vec<_>>();
    Some(if named.is_empty() { "null".to_owned() } else { named.join(" or ") })
}

fn resolved<'a>(property: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = property["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| schema.pointer(pointer)).unwrap_or(property)
}

fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn display_name(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

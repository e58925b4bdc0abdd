//! `llmspell tools`: what flows can call.

use llmspell::tool::ToolSpec;
use llmspell::{Registry, suggest};
use llmspell_flow::Toolbox;
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::options::allow;
use crate::options::args::ToolsArgs;
use crate::ui::show;

/// The width of the texts.
const WIDTH: usize = 80;

/// Lists the tools, or shows one.
pub(crate) fn tools(args: &ToolsArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::nothing(registry)?;
    let text = match &args.name {
        None if args.json => serde_json::to_string_pretty(&toolbox.specs().collect::<Vec<_>>()).unwrap_or_default(),
        None => list(&toolbox),
        Some(name) => match toolbox.get(name) {
            Some(tool) if args.json => serde_json::to_string_pretty(tool.spec()).unwrap_or_default(),
            Some(tool) => describe(tool.spec(), toolbox.refused(name)),
            None => {
                let hint = suggest::hint(name, toolbox.names(), "the tools are");
                return Err(Failure::invalid(format!("error: there is no tool `{name}`\n\nhint: {hint}")));
            }
        },
    };
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

fn list(toolbox: &Toolbox) -> String {
    let name = toolbox.specs().map(|spec| spec.name.len()).max().unwrap_or(0);
    let lines = toolbox.specs().map(|spec| {
        let before = format!("{:name$}  {:10}  ", spec.name, spec.security.as_str());
        let description = show::wrapped(&spec.description, WIDTH - before.len(), before.len());
        format!("{before}{description}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn describe(spec: &ToolSpec, refused: Option<&str>) -> String {
    let permission = refused.map_or(String::new(), |option| format!(", runs with {option}"));
    let description = show::wrapped(&spec.description, WIDTH, 0);
    let mut text = format!("{} · {}{permission}\n\n{description}\n", spec.name, spec.security.as_str());
    let needed: Vec<&str> =
        spec.parameters["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = spec.parameters["properties"].as_object();
    let (first, rest): (Vec<_>, Vec<_>) =
        properties.into_iter().flatten().partition(|(name, _)| needed.contains(&name.as_str()));
    for (title, arguments) in [("Arguments", first), ("Arguments that may be left out", rest)] {
        if !arguments.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        for (name, schema) in arguments {
            text.push_str(&argument(name, schema, 2));
        }
    }
    text.push_str(&format!("\n`llmspell tools {} --json` has its JSON Schema.", spec.name));
    text
}

/// One argument: its name and type, and below what it is for.
fn argument(name: &str, schema: &Value, indent: usize) -> String {
    let mut text = format!(
        "{:indent$}{name}: {}\n",
        "",
        show::wrapped(&kind(schema), WIDTH - indent - name.len() - 2, indent + 4)
    );
    let indent = indent + 4;
    if let Some(description) = schema["description"].as_str() {
        text.push_str(&format!("{:indent$}{}\n", "", show::wrapped(description, WIDTH - indent, indent)));
    }
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        if let (Some(choice), Some(description)) = (choice["const"].as_str(), choice["description"].as_str()) {
            let before = format!("{:indent$}{choice}: ", "");
            let wrapped = show::wrapped(description, WIDTH - before.chars().count(), indent + 4);
            text.push_str(&format!("{before}{wrapped}\n"));
        }
    }
    for (name, schema) in schema["items"]["properties"].as_object().into_iter().flatten() {
        text.push_str(&argument(name, schema, indent));
    }
    text
}

/// The type of an argument, in words.
fn kind(schema: &Value) -> String {
    let list = |choices: Vec<String>| choices.join(" | ");
    let choices = |key: &str| schema[key].as_array().into_iter().flatten();
    if schema["enum"].is_array() {
        return list(choices("enum").filter(|choice| !choice.is_null()).map(shown).collect());
    }
    if schema["oneOf"].is_array() {
        return list(choices("oneOf").map(|choice| choice.get("const").map_or_else(|| kind(choice), shown)).collect());
    }
    if schema["anyOf"].is_array() {
        return list(choices("anyOf").filter(|choice| choice["type"] != "null").map(kind).collect());
    }
    let types: Vec<&Value> = match &schema["type"] {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    };
    let words = types.into_iter().filter_map(Value::as_str).filter(|kind| *kind != "null").map(|kind| match kind {
        "string" => "text".to_owned(),
        "boolean" => "true | false".to_owned(),
        "integer" => "whole number".to_owned(),
        "array" if schema["items"]["properties"].is_object() => "list of tables".to_owned(),
        "array" if schema["items"]["type"].is_string() => format!("list of {}", kind_of_items(&schema["items"])),
        "array" => "list".to_owned(),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "any value".to_owned() } else { list(words) }
}

fn kind_of_items(items: &Value) -> String {
    match kind(items).as_str() {
        "text" => "texts".to_owned(),
        "whole number" => "whole numbers".to_owned(),
        other => other.to_owned(),
    }
}

fn shown(choice: &Value) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)
}

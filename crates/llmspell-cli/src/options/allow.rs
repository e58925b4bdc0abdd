//! Permissions from `--allow`.

use llmspell::internal::suggest;
use llmspell::registry::Registry;
use llmspell_flow::Toolbox;
use llmspell_tools::Permissions;

use crate::exit::{CommandError, render_error};
use crate::options::args::AllowArgs;

/// Returns the built-in tools and those of extensions, with the permissions that the user grants.
pub(crate) fn toolbox(args: &AllowArgs, registry: &Registry) -> Result<Toolbox, CommandError> {
    let variable = std::env::var("LLMSPELL_ALLOW").ok();
    let mut granted = Permissions::none();
    for grant in grants(&args.allow, variable.as_deref()) {
        if let Some(name) = grant.strip_prefix("tool=") {
            check_tool(name, registry)?;
        }
        granted = granted
            .allow(grant)
            .map_err(|error| CommandError::invalid(format!("error: --allow: {}", render_error(&error))))?;
    }
    Ok(Toolbox::built_in(&granted).with_registry(registry)?)
}

/// Returns all tools without any permission, for inspecting flows and tools.
pub(crate) fn toolbox_without_permissions(registry: &Registry) -> Result<Toolbox, CommandError> {
    Ok(Toolbox::built_in(&Permissions::none()).with_registry(registry)?)
}

/// Splits the variable, and only the variable, at commas. Empty items, which scripts leave in such lists, grant nothing.
/// An option is never split: allowing a tool called `a,command` must not allow `command`.
fn grants<'a>(values: &'a [String], variable: Option<&str>) -> Vec<&'a str> {
    match values {
        [list] if variable == Some(list) => list.split(',').map(str::trim).filter(|grant| !grant.is_empty()).collect(),
        values => values.iter().map(String::as_str).collect(),
    }
}

/// Checks that an extension has this tool. A name with a dot is accepted, because an MCP server may offer it.
fn check_tool(name: &str, registry: &Registry) -> Result<(), CommandError> {
    if registry.find_tool(name).is_ok() || name.contains('.') {
        return Ok(());
    }
    let names = registry.tools().map(|tool| tool.name.as_str()).collect::<Vec<_>>();
    let hint = match names.as_slice() {
        [] => "allow a built-in tool by its effect, such as net=HOST; this program has no extensions".to_owned(),
        names => suggest::hint(name, names.iter().copied(), "the tools of extensions are"),
    };
    Err(CommandError::invalid(format!("error: --allow: no extension has a tool `{name}`\n\nhint: {hint}")))
}

#[cfg(test)]
mod tests {
    use llmspell::step;
    use llmspell::tool::{DynTool, Privilege};

    use super::*;
    use serde_json::Value;

    #[test]
    fn a_tool_name_with_a_comma_grants_only_that_tool() {
        let mut registry = Registry::new();
        for name in ["a", "a,command", "with space"] {
            let nothing = step(|_: Value, _| async { Ok(Value::Null) });
            let tool = DynTool::from_schema(name, "", Value::Null, nothing).security(Privilege::Privileged);
            registry.tool(tool).unwrap();
        }
        let args = AllowArgs { allow: vec!["tool=a,command".to_owned()] };
        let toolbox = toolbox(&args, &registry).unwrap();
        let refused = |name| toolbox.refused(name);
        assert_eq!((refused("a,command"), refused("a")), (None, Some("--allow tool=a")));
        assert_eq!(refused("command"), Some("--allow command=PROGRAM"));
        assert_eq!(refused("with space"), Some("--allow 'tool=with space'"));
    }

    #[test]
    fn the_variable_is_split_at_commas_and_the_option_is_not() {
        let values = ["net=a.org, ,read=.,".to_owned()];
        assert_eq!(grants(&values, Some(&values[0])), ["net=a.org", "read=."]);
        assert_eq!(grants(&values, None), [values[0].as_str()]);
        assert_eq!(grants(&[], Some("net")), [""; 0]);
    }
}

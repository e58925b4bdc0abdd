//! From flags to permissions.

use llmspell::{Registry, suggest};
use llmspell_flow::Toolbox;
use llmspell_tools::Permissions;

use crate::args::AllowArgs;
use crate::exit::{Failure, story};

/// The built-in tools and those of extensions, with what the user allows.
pub(crate) fn toolbox(args: &AllowArgs, registry: &Registry) -> Result<Toolbox, Failure> {
    let variable = std::env::var("LLMSPELL_ALLOW").ok();
    let mut granted = Permissions::none();
    for grant in grants(&args.allow, variable.as_deref()) {
        if let Some(name) = grant.strip_prefix("tool=") {
            known(name, registry)?;
        }
        granted =
            granted.allow(grant).map_err(|error| Failure::invalid(format!("error: --allow: {}", story(&error))))?;
    }
    Ok(Toolbox::built_in(&granted).with_registry(registry)?)
}

/// What is granted one by one. The variable is a list, and lists that scripts put together have empty places, which
/// allow nothing; an option is never taken apart: to allow a tool that is called `a,command` is not to allow `command`.
fn grants<'a>(told: &'a [String], variable: Option<&str>) -> Vec<&'a str> {
    match told {
        [list] if variable == Some(list) => list.split(',').map(str::trim).filter(|grant| !grant.is_empty()).collect(),
        told => told.iter().map(String::as_str).collect(),
    }
}

/// Whether an extension has the tool that is named, or a server may have it: those have a dot in their names.
fn known(name: &str, registry: &Registry) -> Result<(), Failure> {
    if registry.find_tool(name).is_ok() || name.contains('.') {
        return Ok(());
    }
    let names = registry.tools().map(|tool| tool.name.as_str()).collect::<Vec<_>>();
    let hint = match names.as_slice() {
        [] => "this program has no extensions; built-in tools are allowed by what they do, such as net=HOST".to_owned(),
        names => suggest::hint(name, names.iter().copied(), "the tools of extensions are"),
    };
    Err(Failure::invalid(format!("error: --allow: no extension has a tool `{name}`\n\nhint: {hint}")))
}

/// All tools, with nothing allowed: for looking at flows and tools.
pub(crate) fn nothing(registry: &Registry) -> Result<Toolbox, Failure> {
    Ok(Toolbox::built_in(&Permissions::none()).with_registry(registry)?)
}

#[cfg(test)]
mod tests {
    use llmspell::step;
    use llmspell::tool::{DynTool, Privilege};

    use super::*;
    use serde_json::Value;

    #[test]
    fn to_allow_one_odd_name_is_not_to_allow_what_it_is_made_of() {
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
    fn the_variable_is_a_list_and_the_option_is_not() {
        let told = ["net=a.org, ,read=.,".to_owned()];
        assert_eq!(grants(&told, Some(&told[0])), ["net=a.org", "read=."]);
        assert_eq!(grants(&told, None), [told[0].as_str()]);
        assert_eq!(grants(&[], Some("net")), [""; 0]);
    }
}

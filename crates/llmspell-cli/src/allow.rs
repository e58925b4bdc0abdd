//! From flags to permissions.

use llmspell::{Registry, suggest};
use llmspell_flow::{Permissions, Toolbox};

use crate::args::AllowArgs;
use crate::exit::Failure;

/// The built-in tools and those of extensions, with what the user allows.
pub(crate) fn toolbox(args: &AllowArgs, registry: &Registry) -> Result<Toolbox, Failure> {
    let mut permissions = Permissions::none();
    // Lists that scripts put together have empty places, which allow nothing.
    for folder in args.allow_read.iter().filter(|folder| !folder.as_os_str().is_empty()) {
        permissions = permissions.allow_read(folder)?;
    }
    for host in args.allow_net.iter().map(|host| host.trim()).filter(|host| !host.is_empty()) {
        permissions = permissions.allow_net(host)?;
    }
    if args.allow_command {
        permissions = permissions.allow_command();
    }
    for name in args.allow_tool.iter().flat_map(|told| names(told, registry)) {
        if registry.find_tool(name).is_err() {
            let names = registry.tools().map(|tool| tool.name.as_str()).collect::<Vec<_>>();
            let hint = match names.as_slice() {
                [] => "this program has no extensions; built-in tools have flags of their own".to_owned(),
                names => suggest::hint(name, names.iter().copied(), "the tools of extensions are"),
            };
            return Err(Failure::invalid(format!(
                "error: --allow-tool: no extension has a tool `{name}`\n\nhint: {hint}"
            )));
        }
        permissions = permissions.allow_tool(name);
    }
    Ok(Toolbox::built_in(&permissions).with_registry(registry, &permissions)?)
}

/// The tools that are meant: one, if there is one of this very name, however odd, and otherwise all between the commas.
/// To allow `a,b` is not to allow `a`.
fn names<'a>(told: &'a str, registry: &Registry) -> Vec<&'a str> {
    if registry.find_tool(told).is_ok() {
        return vec![told];
    }
    told.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// All tools, with nothing allowed: for looking at flows and tools.
pub(crate) fn nothing(registry: &Registry) -> Result<Toolbox, Failure> {
    let none = Permissions::none();
    Ok(Toolbox::built_in(&none).with_registry(registry, &none)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmspell::step;
    use llmspell::tool::ErasedTool;
    use serde_json::Value;

    #[test]
    fn to_allow_one_odd_name_is_not_to_allow_what_it_is_made_of() {
        let mut registry = Registry::new();
        for name in ["a", "b", "a,b", "with space"] {
            let nothing = step(|_: Value, _| async { Ok(Value::Null) });
            registry.tool(ErasedTool::described(name, "", Value::Null, nothing)).unwrap();
        }
        assert_eq!(names("a,b", &registry), ["a,b"]);
        assert_eq!(names("b, a ,", &registry), ["b", "a"]);
        assert_eq!(names("with space", &registry), ["with space"]);
        assert_eq!(names(" , ", &registry), [""; 0]);
    }
}

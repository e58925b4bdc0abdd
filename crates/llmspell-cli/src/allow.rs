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
    for name in args.allow_tool.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
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

/// All tools, with nothing allowed: for looking at flows and tools.
pub(crate) fn nothing(registry: &Registry) -> Result<Toolbox, Failure> {
    let none = Permissions::none();
    Ok(Toolbox::built_in(&none).with_registry(registry, &none)?)
}

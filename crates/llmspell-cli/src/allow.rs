//! From flags to permissions.

use llmspell_flow::{Permissions, Toolbox};

use crate::args::AllowArgs;
use crate::exit::Failure;

/// The built-in tools with what the user allows.
pub(crate) fn toolbox(args: &AllowArgs) -> Result<Toolbox, Failure> {
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
    Ok(Toolbox::built_in(&permissions))
}

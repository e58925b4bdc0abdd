//! From flags to permissions.

use llmspell_flow::{Permissions, Toolbox};

use crate::args::AllowArgs;
use crate::exit::Failure;

/// The built-in tools with what the user allows.
pub(crate) fn toolbox(args: &AllowArgs) -> Result<Toolbox, Failure> {
    let mut permissions = Permissions::none();
    for folder in &args.allow_read {
        permissions = permissions.allow_read(folder)?;
    }
    for host in &args.allow_net {
        permissions = permissions.allow_net(host);
    }
    if args.allow_command {
        permissions = permissions.allow_command();
    }
    Ok(Toolbox::built_in(&permissions))
}

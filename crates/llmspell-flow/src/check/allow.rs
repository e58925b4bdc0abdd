//! The permissions that a flow requests.

use std::ops::Range;

use llmspell::{Error, Result};
use llmspell_tools::Permissions;

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// Returns the permissions under `allow`; without it, none. Reports invalid permissions.
pub(crate) fn requested(file: &FlowFile, source: &Source, problems: &mut Vec<Diagnostic>) -> Permissions {
    let mut requested = match source.folder() {
        Some(folder) => Permissions::asked_in(folder),
        None => Permissions::asked_in("."),
    };
    let Some(allow) = &file.allow else { return requested };
    let allow = &allow.value;
    let mut add = |values: &[Located<String>], add: fn(Permissions, &str) -> Result<Permissions>| {
        for Located { value, at } in values {
            match add(requested.clone(), value) {
                Ok(more) => requested = more,
                Err(error) => problems.push(wrong(source, at, &error)),
            }
        }
    };
    add(&allow.read, |requested, folder| requested.allow_read(folder));
    add(&allow.write, |requested, folder| requested.allow_write(folder));
    add(&allow.net, |requested, host| requested.allow_net(host));
    add(&allow.command, |requested, program| requested.allow_command(program));
    add(&allow.tool, |requested, name| match name {
        "*" => requested.allow("tool"),
        name => Ok(requested.allow_tool(name)),
    });
    if allow.net_private { requested.allow_private() } else { requested }
}

fn wrong(source: &Source, at: &Range<usize>, error: &Error) -> Diagnostic {
    let problem = source.diagnose(Some(at.clone()), error.message());
    match error.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

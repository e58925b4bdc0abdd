//! What a flow asks for.

use std::ops::Range;

use llmspell::{Error, Result};
use llmspell_tools::Permissions;

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::FlowFile;
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// What the flow asks for under `allow`; without it, nothing. Notes what cannot be asked for.
pub(crate) fn asked(file: &FlowFile, source: &Source, problems: &mut Vec<Diagnostic>) -> Permissions {
    let mut asked = match source.folder() {
        Some(folder) => Permissions::asked_in(folder),
        None => Permissions::asked_in("."),
    };
    let Some(allow) = &file.allow else { return asked };
    let allow = &allow.value;
    let mut add = |values: &[Located<String>], add: fn(Permissions, &str) -> Result<Permissions>| {
        for Located { value, at } in values {
            match add(asked.clone(), value) {
                Ok(more) => asked = more,
                Err(error) => problems.push(wrong(source, at, &error)),
            }
        }
    };
    add(&allow.read, |asked, folder| asked.allow_read(folder));
    add(&allow.write, |asked, folder| asked.allow_write(folder));
    add(&allow.net, |asked, host| asked.allow_net(host));
    add(&allow.command, |asked, program| asked.allow_command(program));
    add(&allow.tool, |asked, name| match name {
        "*" => asked.allow("tool"),
        name => Ok(asked.allow_tool(name)),
    });
    if allow.net_private { asked.allow_private() } else { asked }
}

fn wrong(source: &Source, at: &Range<usize>, error: &Error) -> Diagnostic {
    let problem = source.diagnose(Some(at.clone()), error.message());
    match error.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

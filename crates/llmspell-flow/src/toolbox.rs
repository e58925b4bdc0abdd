//! The tools that a flow file can name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use llmspell::tool::{ErasedTool, ToolSpec};
use llmspell::{Error, Registry, Result};
use serde_json::json;

use crate::permission::Permissions;
use crate::tools;

/// Tools by their names, and whether the user lets them run.
///
/// [Safe](llmspell::tool::Security::Safe) tools always may. What else there is needs a permission, and a flow that
/// names a tool without it is refused before any record is touched.
#[derive(Clone)]
pub struct Toolbox {
    tools: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    tool: ErasedTool,
    /// How the user can allow the tool; `None` if it may run.
    refused: Option<Cow<'static, str>>,
}

impl Toolbox {
    /// No tools.
    pub fn empty() -> Self {
        Toolbox { tools: BTreeMap::new() }
    }

    /// The tools that come with LLMSpell: `command`, `http_get`, `json`, `read_file`, `slow` and `text`.
    pub fn built_in(permissions: &Permissions) -> Self {
        let mut toolbox = Toolbox::empty();
        for tool in [tools::json(), tools::slow(), tools::text()] {
            toolbox.insert(tool, None);
        }
        let refused = |allowed: bool, flag| (!allowed).then_some(Cow::Borrowed(flag));
        let permissions = permissions.clone();
        toolbox.insert(tools::read_file(permissions.clone()), refused(permissions.reads(), "--allow-read DIR"));
        toolbox.insert(tools::http_get(permissions.clone()), refused(permissions.talks(), "--allow-net HOST"));
        toolbox.insert(tools::command(), refused(permissions.commands(), "--allow-command"));
        toolbox
    }

    /// Adds a tool, which may then run: whoever adds it allows it. One with the same name is replaced.
    pub fn with(mut self, tool: ErasedTool) -> Self {
        self.insert(tool, None);
        self
    }

    /// Adds the tools and steps of a registry. A step is called as a tool is, with whatever arguments. Steps and safe
    /// tools may run; other tools need a [permission](Permissions::allow_tool).
    ///
    /// # Errors
    /// [`Kind::Invalid`](llmspell::Kind::Invalid) if there is a tool of the same name already: no extension
    /// takes the place of a built-in tool.
    pub fn with_registry(mut self, registry: &Registry, permissions: &Permissions) -> Result<Self> {
        let tools = registry.tools().map(|spec| registry.find_tool(&spec.name).cloned());
        let steps = registry.steps().map(|(name, registered)| {
            let step = registered.step.clone();
            Ok(ErasedTool::described(name, &registered.description, json!({ "type": "object" }), step))
        });
        for tool in tools.chain(steps) {
            let tool = tool?;
            let name = &tool.spec().name;
            if self.tools.contains_key(name) {
                let error = Error::invalid(format!("there is a built-in tool `{name}` already"));
                return Err(error.with_hint("give the one of the extension another name"));
            }
            let refused = (!permissions.may_run(tool.spec())).then(|| flag_for(name).into());
            self.insert(tool, refused);
        }
        Ok(self)
    }

    fn insert(&mut self, tool: ErasedTool, refused: Option<Cow<'static, str>>) {
        self.tools.insert(tool.spec().name.clone(), Entry { tool, refused });
    }

    /// A tool by its name.
    pub fn get(&self, name: &str) -> Option<&ErasedTool> {
        self.tools.get(name).map(|entry| &entry.tool)
    }

    /// The flag that would allow a tool, if it may not run.
    pub fn refused(&self, name: &str) -> Option<&str> {
        self.tools.get(name)?.refused.as_deref()
    }

    /// Whether a tool only computes from its arguments, so that it costs nothing to call it again.
    pub(crate) fn is_pure(&self, name: &str) -> bool {
        matches!(name, "json" | "text")
    }

    /// What there is to know of each tool, by name.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(|entry| entry.tool.spec())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tools.keys().map(String::as_str)
    }
}

/// The flag that allows a tool, to be pasted into a shell: names of tools come from servers, too, and what they call
/// `x --allow-command` must not allow that.
fn flag_for(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    let between = if name.starts_with('-') { '=' } else { ' ' };
    if !name.is_empty() && name.chars().all(is_plain) {
        return format!("--allow-tool{between}{name}");
    }
    format!("--allow-tool{between}'{}'", name.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_break_out_of_the_hint() {
        assert_eq!(flag_for("files_read-all.v2"), "--allow-tool files_read-all.v2");
        assert_eq!(flag_for("x --allow-command"), "--allow-tool 'x --allow-command'");
        assert_eq!(flag_for("it's; rm"), r"--allow-tool 'it'\''s; rm'");
        assert_eq!(flag_for("--allow-command"), "--allow-tool=--allow-command");
        assert_eq!(flag_for(""), "--allow-tool ''");
    }
}

//! Checks of prompts: texts in the flow file, or separate files.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::Checker;
use super::scope::{Dependencies, NameScope};
use crate::syntax::file::{PromptDef, Short};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::syntax::source::Source;
use crate::template::Prompt;

/// The maximum size of a prompt file.
const MAX_BYTES: u64 = 256 << 10;

impl Checker<'_> {
    /// Compiles a prompt, and returns it with its definition.
    pub(super) fn prompt(
        &mut self,
        def: &Located<Short<PromptDef>>,
        scope: &NameScope,
        dependencies: &Dependencies,
    ) -> Option<(Prompt, Value)> {
        let at = &def.at;
        match &def.value.0 {
            PromptDef::Text(text) => {
                if text.trim().is_empty() {
                    let hint = "write the task of the model: `prompt: Summarize ${{ inputs.text }}`".to_owned();
                    self.problem(at.clone(), "an empty prompt".to_owned(), hint);
                }
                let node = Located { value: Node::Text(text.clone()), at: at.clone() };
                Some((Prompt::Text(self.value(&node, scope, dependencies)), json!(text)))
            }
            PromptDef::File { file } => {
                let source = self.file(file, at)?;
                let references = self.references;
                let check = |name: &str| references.check(name, scope, dependencies);
                let prompt = self.compiler.prompt_file(&source, &check)?;
                Some((Prompt::File(prompt), json!({ "file": source.text() })))
            }
        }
    }

    /// Reads a prompt file, or reports why it cannot be read.
    fn file(&mut self, file: &str, at: &Range<usize>) -> Option<Source> {
        match read(self.compiler.source.folder(), file) {
            Ok(source) => Some(source),
            Err((message, hint)) => {
                self.problem(at.clone(), format!("the prompt `{file}` {message}"), hint.to_owned());
                None
            }
        }
    }
}

fn read(folder: Option<&Path>, file: &str) -> Result<Source, (String, &'static str)> {
    let Some(folder) = folder else {
        return Err(("cannot be found: the flow itself is not in a file".to_owned(), "write the prompt into the flow"));
    };
    let unreadable = |error: std::io::Error| {
        (format!("cannot be read: {error}"), "check its path, which is relative to the flow file")
    };
    let shown = folder.join(file);
    let (root, path) = (folder.canonicalize().map_err(unreadable)?, shown.canonicalize().map_err(unreadable)?);
    if !path.starts_with(&root) {
        return Err(("is outside the folder of the flow".to_owned(), "move it into the folder of the flow"));
    }
    if !path.is_file() {
        return Err(("is not a file".to_owned(), "name a file, such as prompts/ask.md.j2"));
    }
    let mut bytes = Vec::new();
    File::open(&path).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("is larger than {} KiB", MAX_BYTES >> 10);
        return Err((message, "pass long texts in records or from steps: `{{ inputs.text }}`"));
    }
    let text = String::from_utf8(bytes).map_err(|_| ("is not UTF-8".to_owned(), "save it as UTF-8"))?;
    if text.trim().is_empty() {
        return Err(("is empty".to_owned(), "write the task of the model in it"));
    }
    // The name is relative like that of the flow file: without a leading `./`.
    let name = shown.strip_prefix(".").unwrap_or(&shown).display().to_string();
    Ok(Source::new(name, text).in_folder(folder))
}

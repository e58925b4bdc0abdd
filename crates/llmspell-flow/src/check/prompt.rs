//! Prompts: texts of the flow file, or files beside it.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::Checker;
use super::references::{Sight, Uses};
use crate::syntax::file::{PromptDef, Short};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::syntax::source::Source;
use crate::template::Prompt;

/// No file of a prompt is larger than this.
const LARGEST: u64 = 256 << 10;

impl Checker<'_> {
    /// The prompt, and what it consists of.
    pub(super) fn prompt(
        &mut self,
        def: &Located<Short<PromptDef>>,
        sight: &Sight,
        uses: &Uses,
    ) -> Option<(Prompt, Value)> {
        let at = &def.at;
        match &def.value.0 {
            PromptDef::Text(text) => {
                if text.trim().is_empty() {
                    let hint = "say what the model is to do: `prompt: Sum this up: ${{ inputs.text }}`".to_owned();
                    self.problem(at.clone(), "this text is empty".to_owned(), hint);
                }
                let node = Located { value: Node::Text(text.clone()), at: at.clone() };
                Some((Prompt::Text(self.value(&node, sight, uses)), json!(text)))
            }
            PromptDef::File { file } => {
                let source = self.file(file, at)?;
                let references = self.references;
                let check = |name: &str| references.check(name, sight, uses);
                let prompt = self.compiler.prompt_file(&source, &check)?;
                Some((Prompt::File(prompt), json!({ "file": source.text() })))
            }
        }
    }

    /// A file beside the flow; notes why there is none.
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
        return Err(("cannot be found: the flow is in no file itself".to_owned(), "write the prompt into the flow"));
    };
    let unreadable =
        |error: std::io::Error| (format!("cannot be read: {error}"), "its path is relative to the flow file");
    let shown = folder.join(file);
    let (root, path) = (folder.canonicalize().map_err(unreadable)?, shown.canonicalize().map_err(unreadable)?);
    if !path.starts_with(&root) {
        return Err(("lies outside of the folder of the flow".to_owned(), "move it beside the flow, or below"));
    }
    if !path.is_file() {
        return Err(("is no file".to_owned(), "name a file, such as prompts/ask.md.j2"));
    }
    let mut bytes = Vec::new();
    File::open(&path).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("is larger than {} KiB", LARGEST >> 10);
        return Err((message, "let records or steps bring what is long: `{{ inputs.text }}`"));
    }
    let text = String::from_utf8(bytes).map_err(|_| ("is not UTF-8".to_owned(), "save it as UTF-8"))?;
    if text.trim().is_empty() {
        return Err(("is empty".to_owned(), "say in it what the model is to do"));
    }
    // As the flow file is named: `./f.yaml` has its prompts in `./prompts`.
    let name = shown.strip_prefix(".").unwrap_or(&shown).display().to_string();
    Ok(Source::new(name, text).in_folder(folder))
}

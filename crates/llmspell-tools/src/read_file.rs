//! `read_file`: reads a file in allowed folders.

use std::io::Read;
use std::path::Path;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::Value;

use super::dir::{failed, open, resolved};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct ReadFile {
    /// The path of the file. A relative path starts at the working directory of the run.
    path: String,
    /// The format of the file. The default is text.
    #[serde(default)]
    format: FileFormat,
    /// The largest file in bytes; more is an error. The default is 1 MiB.
    #[serde(default = "one_mebibyte")]
    max_bytes: u64,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum FileFormat {
    #[default]
    Text,
    Json,
}

fn one_mebibyte() -> u64 {
    1 << 20
}

/// Returns the tool.
pub(crate) fn read_file(gate: &Gate) -> DynTool {
    let gate = gate.clone();
    let read = move |arguments: ReadFile, cx: Context| {
        let gate = gate.clone();
        async move { cx.blocking(move |_| read(&arguments, &gate)).await }
    };
    Tool::new("read_file", "Reads a file, as text or as JSON, out of the folders that were allowed.", read)
        .security(Privilege::Restricted)
        .erase()
}

fn read(arguments: &ReadFile, gate: &Gate) -> Result<Value> {
    let path = Path::new(&arguments.path);
    let failed = |error| failed(path, "read", error);
    let resolved = resolved(path, "read", |resolved| gate.read(resolved, path))?;
    let file = open(&resolved).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(arguments.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > arguments.max_bytes {
        let message = format!("{} is larger than {} bytes", path.display(), arguments.max_bytes);
        return Err(Error::failed(message).with_hint("raise `max_bytes`"));
    }
    match arguments.format {
        FileFormat::Text => String::from_utf8(bytes).map(Value::String).map_err(|error| {
            Error::failed(format!("{} is not UTF-8 text", path.display())).with_source(error.utf8_error())
        }),
        FileFormat::Json => serde_json::from_slice(&bytes)
            .map_err(|error| Error::failed(format!("{} is not JSON: {error}", path.display())).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};

    use super::*;
    use crate::permission::Permissions;
    use serde_json::json;

    struct Fixture {
        folder: tempfile::TempDir,
        tool: DynTool,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/a.json"), r#"{"a":1}"#).unwrap();
        std::fs::write(folder.path().join("out.txt"), "secret").unwrap();
        let permissions = Permissions::none().allow_read(folder.path().join("in")).unwrap();
        Fixture { tool: read_file(&Gate::of_user(&permissions)), folder }
    }

    impl Fixture {
        async fn read(&self, path: &str, more: Value) -> Result<Value> {
            let mut arguments = more;
            arguments["path"] = self.folder.path().join(path).to_str().into();
            self.tool.run(arguments, &Context::new()).await
        }
    }

    #[tokio::test]
    async fn files_are_text_or_json() {
        let files = fixture();
        assert_eq!(files.read("in/a.json", json!({})).await.unwrap(), r#"{"a":1}"#);
        assert_eq!(files.read("in/a.json", json!({ "format": "json" })).await.unwrap(), json!({ "a": 1 }));
        assert!(files.read("in/a.json", json!({ "max_bytes": 6 })).await.unwrap_err().hint().is_some());
    }

    #[tokio::test]
    async fn nothing_outside_is_read() {
        let files = fixture();
        for path in ["out.txt", "in/../out.txt", "in"] {
            assert!(files.read(path, json!({})).await.is_err(), "{path}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(files.folder.path().join("out.txt"), files.folder.path().join("in/link"))
                .unwrap();
            let error = files.read("in/link", json!({})).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected);
        }
    }
}

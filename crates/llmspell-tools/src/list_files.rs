//! `list_files`: lists the files in allowed folders.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};

use super::dir::{FileKind, Folder, failed, resolved};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct ListFiles {
    /// The folder. The default, and the start of a relative path, is the working directory of the run.
    #[serde(default = "here")]
    path: String,
    /// A glob pattern for paths relative to the folder: `*.md`, `**/*.{yaml,yml}`, `reports/20??/*`. The default is
    /// `*`: all entries of the folder itself.
    #[serde(default = "all")]
    glob: String,
    /// Whether to list folders as well.
    #[serde(default)]
    folders: bool,
    /// Whether to include names that begin with a dot, and the contents of such folders.
    #[serde(default)]
    hidden: bool,
    /// The most entries; more is an error. The default is 10,000.
    #[serde(default = "ten_thousand")]
    max_entries: usize,
}

fn here() -> String {
    ".".to_owned()
}

fn all() -> String {
    "*".to_owned()
}

fn ten_thousand() -> usize {
    10_000
}

/// A listed file or folder.
#[derive(Serialize)]
struct ListedFile {
    /// The path in the form that `read_file` takes.
    path: String,
    name: String,
    kind: &'static str,
    /// The size, for files only.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// The most names that are examined, whatever the pattern: a whole disk would take too long.
const LOOKED_AT: usize = 1_000_000;

/// The deepest nesting of folders. Deeper trees only occur as attacks.
const DEEPEST: usize = 64;

/// Returns the tool.
pub(crate) fn list_files(gate: &Gate) -> DynTool {
    let gate = gate.clone();
    let list = move |arguments: ListFiles, cx: Context| {
        let gate = gate.clone();
        async move { cx.blocking(move |cx| list(&arguments, &gate, &cx)).await }
    };
    let description = "Lists the files of a folder that match a pattern, sorted, out of the folders that were allowed. Gives \
                       a list of { path, name, kind, bytes }. Symbolic links are left out.";
    Tool::new("list_files", description, list).security(Privilege::Restricted).erase()
}

fn list(arguments: &ListFiles, gate: &Gate, cx: &Context) -> Result<Vec<ListedFile>> {
    let path = Path::new(&arguments.path);
    let matcher = matcher(&arguments.glob)?;
    let top = resolved(path, "list", |resolved| gate.read(resolved, path))?;
    let top = Folder::open(&top).map_err(|error| failed(path, "list", error))?;
    let deepest = if arguments.glob.contains("**") { DEEPEST } else { arguments.glob.split('/').count() };
    let mut found = Vec::new();
    let mut looked_at = 0;
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        if cx.is_cancelled() {
            return Err(Error::new(llmspell::ErrorKind::Cancelled, "cancelled"));
        }
        let Some((folder, names)) =
            opened(&top, &within).map_err(|error| failed(&path.join(&within), "list", error))?
        else {
            continue;
        };
        for name in names {
            looked_at += 1;
            if looked_at > LOOKED_AT {
                let message = format!("{} has more than {LOOKED_AT} files below it", path.display());
                return Err(Error::failed(message).with_hint("list a folder in it").permanent());
            }
            let below = within.join(&name);
            let shown = name.to_string_lossy();
            if shown.starts_with('.') && !arguments.hidden {
                continue;
            }
            // An entry that has disappeared meanwhile is skipped.
            let Ok(kind) = folder.kind(&name) else { continue };
            let (word, bytes) = match kind {
                FileKind::File { bytes } => ("file", Some(bytes)),
                FileKind::Folder => ("folder", None),
                FileKind::Link | FileKind::Other => continue,
            };
            if kind == FileKind::Folder && below.components().count() < deepest {
                folders.push(below.clone());
            }
            if matcher.is_match(&below) && (kind != FileKind::Folder || arguments.folders) {
                if found.len() == arguments.max_entries {
                    let message = format!("more than {} files match `{}`", arguments.max_entries, arguments.glob);
                    return Err(Error::failed(message).with_hint("raise `max_entries`, or match fewer").permanent());
                }
                let path = if arguments.path == "." { below.clone() } else { path.join(&below) };
                let path = path.to_string_lossy().into_owned();
                found.push(ListedFile { path, name: shown.into_owned(), kind: word, bytes });
            }
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Opens a subfolder and reads its names. `None` if it has disappeared or is not readable.
fn opened(top: &Folder, within: &Path) -> io::Result<Option<(Folder, Vec<OsString>)>> {
    let open = || -> io::Result<_> {
        let mut folder = top.sub(".".as_ref())?;
        for name in within {
            folder = folder.sub(name)?;
        }
        let names = folder.names()?.take(LOOKED_AT + 1).collect::<io::Result<Vec<_>>>()?;
        Ok((folder, names))
    };
    match open() {
        Ok(opened) => Ok(Some(opened)),
        // The requested folder itself must exist.
        Err(error) if within.as_os_str().is_empty() => Err(error),
        Err(_) => Ok(None),
    }
}

fn matcher(glob: &str) -> Result<GlobMatcher> {
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    Ok(built
        .map_err(|error| {
            let error = Error::invalid(format!("`{glob}` is not a pattern: {}", error.kind())).with_source(error);
            error.with_hint("write it as `*.md` or `**/*.{yaml,yml}`")
        })?
        .compile_matcher())
}

#[cfg(test)]
mod tests {
    use llmspell::Step;
    use serde_json::{Value, json};

    use super::*;
    use crate::permission::Permissions;

    #[tokio::test]
    async fn files_are_found_by_pattern_and_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["in/sub/deep", "in/.git", "out"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for path in
            ["in/a.md", "in/b.txt", "in/sub/c.md", "in/sub/deep/d.md", "in/.hidden.md", "in/.git/e.md", "out/f.md"]
        {
            std::fs::write(at(path), "abc").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("out"), at("in/link")).unwrap();
            std::os::unix::fs::symlink(at("out/f.md"), at("in/f.md")).unwrap();
        }
        let granted = Permissions::none().allow_read(at("in")).unwrap();
        let tool = list_files(&Gate::of_user(&granted));
        let list = |path: &str, mut more: Value| {
            more["path"] = at(path).to_str().into();
            let tool = &tool;
            async move { tool.run(more, &Context::new()).await }
        };
        let names = |found: Value| -> Vec<String> {
            found.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        let found = list("in", json!({})).await.unwrap();
        assert_eq!(found[0], json!({ "path": at("in/a.md"), "name": "a.md", "kind": "file", "bytes": 3 }));
        assert_eq!(names(found), ["a.md", "b.txt"]);
        for (more, wanted) in [
            (json!({ "glob": "**/*.md" }), &["a.md", "c.md", "d.md"][..]),
            (json!({ "glob": "*/*.md" }), &["c.md"]),
            (json!({ "glob": "**/*.md", "hidden": true }), &["e.md", ".hidden.md", "a.md", "c.md", "d.md"]),
            (json!({ "glob": "s*", "folders": true }), &["sub"]),
            (json!({ "glob": "*.{txt,yaml}" }), &["b.txt"]),
        ] {
            assert_eq!(names(list("in", more.clone()).await.unwrap()), wanted, "{more}");
        }
        assert_eq!(names(list("in/sub", json!({})).await.unwrap()), ["c.md"]);
        for (path, more) in [
            ("out", json!({})),
            ("in/../out", json!({})),
            ("in/link", json!({})),
            ("in/a.md", json!({})),
            ("in/none", json!({})),
            ("in", json!({ "max_entries": 1 })),
            ("in", json!({ "glob": "a[" })),
        ] {
            assert!(list(path, more.clone()).await.is_err(), "{path} {more}");
        }
        // A refusal must not reveal what exists outside the permissions.
        let [there, none] =
            [list("out", json!({})).await, list("none", json!({})).await].map(|error| error.unwrap_err());
        assert_eq!((there.kind(), none.kind()), (llmspell::ErrorKind::Rejected, llmspell::ErrorKind::Rejected));
    }
}

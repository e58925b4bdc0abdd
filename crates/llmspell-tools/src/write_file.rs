//! `write_file`: writes a file in allowed folders, completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dir::{FileKind, Folder, OpenMode, failed};
use crate::permission::{Gate, resolved_in_part};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct WriteFile {
    /// The path of the file. A relative path starts at the working directory of the run.
    path: String,
    /// The content: text as it is, other values as JSON.
    content: Value,
    /// The action if the file exists: replace it atomically (the default), fail, or append the content.
    #[serde(default)]
    mode: Mode,
    /// Whether to create missing folders on the way.
    #[serde(default)]
    parents: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Overwrite,
    CreateNew,
    Append,
}

/// The result of the call.
#[derive(Serialize)]
struct WriteResult {
    path: String,
    /// The bytes written by this call.
    bytes: usize,
}

/// Returns the tool.
pub(crate) fn write_file(gate: &Gate) -> DynTool {
    let gate = gate.clone();
    let write = move |arguments: WriteFile, cx: Context| {
        let gate = gate.clone();
        async move { cx.blocking(move |cx| write(arguments, &gate, &cx)).await }
    };
    let description = "Writes a file, whole or not at all, in the folders that were allowed. Gives { path, bytes }, when \
                       it is on the disk.";
    Tool::new("write_file", description, write).keyed("path").security(Privilege::Privileged).erase()
}

fn write(arguments: WriteFile, gate: &Gate, cx: &Context) -> Result<WriteResult> {
    let WriteFile { path, content, mode, parents } = arguments;
    let shown = Path::new(&path);
    let failed = |error: io::Error| failed(shown, "write", error);
    // Through links, to the target file: the file is replaced and the links stay.
    let resolved = resolved_in_part(shown);
    gate.write(resolved.as_deref().unwrap_or(shown), shown)?;
    let resolved = resolved.map_err(failed)?;
    if path.ends_with(['/', std::path::MAIN_SEPARATOR]) {
        return Err(Error::invalid(format!("{path} names a folder")).with_hint("name a file in it"));
    }
    let (Some(parent), Some(name)) = (resolved.parent(), resolved.file_name()) else {
        return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "is a folder")));
    };
    let folder = if parents { made(parent) } else { Folder::open(parent) };
    let folder = folder.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(error).with_hint("`parents: true` creates the missing folders"),
        _ => failed(error),
    })?;
    let bytes = match content {
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    };
    match folder.kind(name) {
        Ok(FileKind::File { .. }) if mode == Mode::CreateNew => {
            return Err(exists(shown));
        }
        Ok(FileKind::File { .. }) => {}
        Ok(_) => {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "exists and is not a file")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if mode == Mode::Append {
        append(&folder, name, &bytes).map_err(failed)?;
    } else {
        let draft = TempFile::of(&folder, name, &bytes).map_err(failed)?;
        // The caller no longer waits for the result.
        if cx.is_cancelled() {
            return Err(Error::new(llmspell::ErrorKind::Cancelled, "cancelled before the file was in place"));
        }
        draft.put(name, mode == Mode::CreateNew).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(shown),
            _ => failed(error),
        })?;
    }
    Ok(WriteResult { bytes: bytes.len(), path })
}

fn exists(shown: &Path) -> Error {
    let error = Error::failed(format!("{} exists already", shown.display())).permanent();
    error.with_hint("`mode: overwrite` replaces it, `mode: append` adds to it")
}

/// Opens a folder and creates the missing folders on the way.
fn made(path: &Path) -> io::Result<Folder> {
    let mut missing = Vec::new();
    let mut there: PathBuf = path.to_owned();
    let mut folder = loop {
        match Folder::open(&there) {
            Ok(folder) => break folder,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => missing.push(there.file_name().ok_or(error)?.to_owned()),
        }
        there.pop();
    };
    for name in missing.iter().rev() {
        folder.make(name)?;
        folder = folder.sub(name)?;
    }
    Ok(folder)
}

fn append(folder: &Folder, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let mut file = folder.file(name, OpenMode::Append)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A temporary file beside the target, removed on drop unless it was moved into place.
struct TempFile<'a> {
    folder: &'a Folder,
    name: OsString,
}

impl<'a> TempFile<'a> {
    fn of(folder: &'a Folder, name: &OsStr, bytes: &[u8]) -> io::Result<Self> {
        let draft = OsString::from(format!(".llmspell-{:016x}.tmp", fastrand::u64(..)));
        let mut file = folder.file(&draft, OpenMode::New)?;
        let draft = TempFile { folder, name: draft };
        // The permission bits of the file that it replaces, if there is one.
        if let Ok(old) = folder.file(name, OpenMode::Read).and_then(|old| old.metadata()) {
            file.set_permissions(old.permissions())?;
        }
        Write::write_all(&mut file, bytes)?;
        File::sync_all(&file)?;
        Ok(draft)
    }

    fn put(self, name: &OsStr, new: bool) -> io::Result<()> {
        if new {
            self.folder.rename_new(&self.name, name)?;
        } else {
            self.folder.rename(&self.name, name)?;
        }
        self.folder.sync()
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        // After a successful move, the file no longer exists under this name.
        let _ = self.folder.remove(&self.name);
    }
}

#[cfg(test)]
mod tests;

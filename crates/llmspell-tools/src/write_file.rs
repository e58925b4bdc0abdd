//! `write_file`: a file in the folders that are allowed, whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dir::{FileKind, Folder, How, failed};
use crate::permission::{Gate, resolved_in_part};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct WriteFile {
    /// The path of the file; a relative one begins at the folder that the run was started in.
    path: String,
    /// What is written: text as it is, anything else as JSON.
    content: Value,
    /// What becomes of a file that is there: it is replaced at once (the default), that is an error, or the content is
    /// added at its end.
    #[serde(default)]
    mode: Mode,
    /// Makes the folders that are missing on the way.
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

/// What comes out.
#[derive(Serialize)]
struct Written {
    path: String,
    /// How many bytes were written by this call.
    bytes: usize,
}

/// The tool.
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

fn write(arguments: WriteFile, gate: &Gate, cx: &Context) -> Result<Written> {
    let WriteFile { path, content, mode, parents } = arguments;
    let shown = Path::new(&path);
    let failed = |error: io::Error| failed(shown, "write", error);
    // Through links, to the file that is meant: it is replaced, and the links stay.
    let resolved = resolved_in_part(shown);
    gate.write(resolved.as_deref().unwrap_or(shown), shown)?;
    let resolved = resolved.map_err(failed)?;
    if path.ends_with(['/', std::path::MAIN_SEPARATOR]) {
        return Err(Error::invalid(format!("{path} names a folder")).with_hint("name a file in it"));
    }
    let (Some(parent), Some(name)) = (resolved.parent(), resolved.file_name()) else {
        return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
    };
    let folder = if parents { made(parent) } else { Folder::open(parent) };
    let folder = folder.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(error).with_hint("`parents: true` makes the folders that are missing"),
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
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "something is there that is not a file")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if mode == Mode::Append {
        append(&folder, name, &bytes).map_err(failed)?;
    } else {
        let draft = Draft::of(&folder, name, &bytes).map_err(failed)?;
        // Nobody waits for it any more.
        if cx.is_cancelled() {
            return Err(Error::new(llmspell::ErrorKind::Cancelled, "called off before the file was in its place"));
        }
        draft.put(name, mode == Mode::CreateNew).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(shown),
            _ => failed(error),
        })?;
    }
    Ok(Written { bytes: bytes.len(), path })
}

fn exists(shown: &Path) -> Error {
    let error = Error::failed(format!("{} exists already", shown.display())).permanent();
    error.with_hint("`mode: overwrite` replaces it, `mode: append` adds to it")
}

/// Opens a folder, and makes what is missing on the way.
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
    let mut file = folder.file(name, How::Append)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A file that is written beside its place, and gone again unless it is put there.
struct Draft<'a> {
    folder: &'a Folder,
    name: OsString,
}

impl<'a> Draft<'a> {
    fn of(folder: &'a Folder, name: &OsStr, bytes: &[u8]) -> io::Result<Self> {
        let draft = OsString::from(format!(".llmspell-{:016x}.tmp", fastrand::u64(..)));
        let mut file = folder.file(&draft, How::New)?;
        let draft = Draft { folder, name: draft };
        // The rights of the file that it replaces, if there is one.
        if let Ok(old) = folder.file(name, How::Read).and_then(|old| old.metadata()) {
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

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // It is not there any more if all went well.
        let _ = self.folder.remove(&self.name);
    }
}

#[cfg(test)]
mod tests;

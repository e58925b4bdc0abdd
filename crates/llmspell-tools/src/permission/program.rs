//! A program, by name or path.

use std::fmt;
use std::path::{Path, PathBuf};

use llmspell::{Error, Result};

use super::allow_list::Rule;

/// The name or path as written.
#[derive(Clone, Debug)]
pub(super) struct Program(String);

impl Program {
    pub(super) fn new(name: &str) -> Result<Self> {
        let is_name = !name.is_empty() && Path::new(name).file_name().is_some_and(|last| last == name);
        if is_name || Path::new(name).is_absolute() {
            return Ok(Program(name.to_owned()));
        }
        let message = format!("cannot allow running `{name}`: neither a name nor an absolute path");
        Err(Error::invalid(message).with_hint("name it as in `git` or `/usr/bin/git`"))
    }

    /// Returns whether both are the same program, however each is named. Links are not followed: a program such as
    /// busybox acts by the name it is called under.
    pub(super) fn is(&self, program: &str) -> bool {
        self.0 == program || found(&self.0).is_some_and(|path| Some(path) == found(program))
    }
}

impl Rule for Program {
    fn narrowed(&self, asked: &Self) -> Option<Self> {
        self.is(&asked.0).then(|| asked.clone())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the path of a program. Names are looked up in this process's `PATH`, whatever a call sets it to.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    let name = path.file_name().filter(|name| *name == program)?;
    let folders = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&folders).filter(|folder| folder.is_absolute());
    places.find_map(|folder| {
        let file = folder.join(name);
        let file = if cfg!(windows) && file.extension().is_none() { file.with_extension("exe") } else { file };
        is_program(&file).then_some(file)
    })
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

//! A rule for one folder or one file.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use llmspell::{Error, Result};

use super::allow_list::Rule;

/// The path, without symbolic links as far as it exists.
#[derive(Clone, Debug)]
pub(super) struct DirRule(PathBuf);

impl DirRule {
    /// A path that a flow in `folder` requests need not exist yet. A path that a user grants must exist, or it is
    /// misspelled.
    pub(super) fn new(path: &Path, folder: Option<&Path>, what: &str) -> Result<Self> {
        let wrong = |error: io::Error| {
            let message = format!("cannot allow {what} {}: {error}", path.display());
            Error::invalid(message).with_hint("name a folder that exists")
        };
        let resolved = match folder {
            None => path.canonicalize(),
            Some(folder) => resolved_in_part(&folder.join(path)),
        };
        Ok(DirRule(resolved.map_err(wrong)?))
    }

    pub(super) fn holds(&self, resolved: &Path) -> bool {
        resolved.starts_with(&self.0)
    }
}

impl Rule for DirRule {
    fn narrowed(&self, asked: &Self) -> Option<Self> {
        if asked.0.starts_with(&self.0) {
            return Some(asked.clone());
        }
        self.0.starts_with(&asked.0).then(|| self.clone())
    }
}

/// Shown relative to the working directory if the path is below it, because people paste it into a shell.
impl fmt::Display for DirRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        match here.ok().and_then(|here| Some(self.0.strip_prefix(here).ok()?.to_owned())) {
            Some(rest) if rest.as_os_str().is_empty() => f.write_str("."),
            Some(rest) => rest.display().fmt(f),
            None => self.0.display().fmt(f),
        }
    }
}

/// Resolves the existing part of a path; the rest stays as it is.
pub(crate) fn resolved_in_part(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        // A dangling link is not a free name.
        if ancestor.symlink_metadata().is_err() {
            continue;
        }
        let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
        if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "`..` behind a folder that does not exist"));
        }
        let resolved = ancestor.canonicalize()?;
        return Ok(if rest.as_os_str().is_empty() { resolved } else { resolved.join(rest) });
    }
    Ok(path)
}

//! A folder, or one file.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use llmspell::{Error, Result};

use super::allowed::Rule;

/// Its path, without symbolic links as far as it exists.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// What a flow in `folder` asks for may not exist yet; what a user grants has to: else it is misspelled.
    pub(super) fn new(path: &Path, folder: Option<&Path>, what: &str) -> Result<Self> {
        let wrong = |error: io::Error| {
            let message = format!("cannot allow {what} {}: {error}", path.display());
            Error::invalid(message).with_hint("name a folder that exists")
        };
        let resolved = match folder {
            None => path.canonicalize(),
            Some(folder) => resolved_in_part(&folder.join(path)),
        };
        Ok(Place(resolved.map_err(wrong)?))
    }

    pub(super) fn holds(&self, resolved: &Path) -> bool {
        resolved.starts_with(&self.0)
    }
}

impl Rule for Place {
    fn narrowed(&self, asked: &Self) -> Option<Self> {
        if asked.0.starts_with(&self.0) {
            return Some(asked.clone());
        }
        self.0.starts_with(&asked.0).then(|| self.clone())
    }
}

/// From the folder that the program runs in, if it lies there: what people paste should be short.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        match here.ok().and_then(|here| Some(self.0.strip_prefix(here).ok()?.to_owned())) {
            Some(rest) if rest.as_os_str().is_empty() => f.write_str("."),
            Some(rest) => rest.display().fmt(f),
            None => self.0.display().fmt(f),
        }
    }
}

/// What exists of a path without symbolic links, and the rest as it is.
pub(crate) fn resolved_in_part(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        // A link that leads nowhere is not a name that is free.
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

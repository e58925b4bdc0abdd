//! Files as records: one record per file, without its text.

use std::collections::VecDeque;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use globset::{GlobBuilder, GlobMatcher};
use llmspell::{Error, Result};
use serde_json::{Value, json};

use super::lines::InputLine;

/// The files that match patterns, in the order of the patterns and of their paths. Folders are read on demand.
pub(crate) struct Files {
    patterns: Vec<Pattern>,
    /// The index of the next pattern, and the paths of the current one that are still to be visited, the next one
    /// last.
    next_pattern: usize,
    open: Vec<PathBuf>,
    /// Files that have been read ahead.
    peeked: VecDeque<InputLine>,
    /// Files that the run writes.
    excluded: Vec<PathBuf>,
    number: u64,
    bytes: u64,
}

/// A pattern: the start of the search, and the glob.
struct Pattern {
    /// The folder that contains all matches, or the file itself.
    from: PathBuf,
    /// `None` if the pattern names one file.
    matcher: Option<GlobMatcher>,
    /// The maximum number of folders between `from` and a match.
    depth: usize,
    hidden: bool,
}

const WILD: [char; 4] = ['*', '?', '[', '{'];

impl Pattern {
    fn read(text: &str) -> Result<Self> {
        let path = Path::new(text);
        // A file may have a name that looks like a pattern.
        if !text.contains(WILD) || path.is_file() {
            return match path.metadata() {
                Ok(about) if about.is_dir() => {
                    let message = format!("--files: {text} is a folder");
                    Err(Error::invalid(message).with_hint(format!(
                        "'{0}/*' is all files in it, '{0}/**' also those in its folders",
                        text.trim_end_matches('/')
                    )))
                }
                Ok(_) => Ok(Pattern { from: path.to_owned(), matcher: None, depth: 0, hidden: true }),
                Err(error) => {
                    let message = format!("--files: cannot read {text}: {error}");
                    Err(Error::invalid(message).with_hint("check the path").with_source(error))
                }
            };
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| {
            let message = format!("--files: the pattern {text} cannot be used: {}", error.kind());
            Error::invalid(message).with_hint("`*` is any name, `**` any folders, `{a,b}` either, `[abc]` one of them")
        })?;
        let parts: Vec<Component<'_>> = Path::new(text).components().collect();
        let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(WILD);
        let fixed = parts.iter().position(is_wild).unwrap_or(parts.len());
        let depth = if text.contains("**") || text.contains('{') { usize::MAX } else { parts.len() - fixed - 1 };
        let hidden = parts[fixed..].iter().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
        let matcher = Some(glob.compile_matcher());
        Ok(Pattern { from: parts[..fixed].iter().collect(), matcher, depth, hidden })
    }

    fn matches(&self, path: &Path) -> bool {
        self.matcher.as_ref().map_or(self.from == path, |matcher| matcher.is_match(path))
    }

    /// Whether files below this folder may match.
    fn leads_through(&self, folder: &Path) -> bool {
        let sorted_entries = folder.components().count().saturating_sub(self.from.components().count());
        sorted_entries <= self.depth
    }
}

impl Files {
    pub(crate) fn matching(patterns: &[String]) -> Result<Self> {
        let patterns = patterns.iter().map(|text| Pattern::read(text)).collect::<Result<Vec<_>>>()?;
        let peeked = VecDeque::new();
        Ok(Files { patterns, next_pattern: 0, open: Vec::new(), peeked, excluded: Vec::new(), number: 0, bytes: 0 })
    }

    /// Excludes a file that the run writes, and its partial file. Restarts the search.
    pub(crate) fn exclude(&mut self, path: &Path) {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let excluded = [path, Path::new(&partial)].into_iter().filter_map(|path| path.canonicalize().ok());
        self.excluded.extend(excluded);
        (self.next_pattern, self.number, self.bytes) = (0, 0, 0);
        self.open.clear();
        self.peeked.clear();
    }

    /// Whether no file matches; reads the first one ahead.
    pub(crate) fn is_empty(&mut self) -> io::Result<bool> {
        let peeked = self.next()?;
        self.peeked.extend(peeked);
        Ok(self.peeked.is_empty())
    }

    /// Returns the number of bytes in the files so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next file as a record without its text.
    pub(crate) fn next(&mut self) -> io::Result<Option<InputLine>> {
        if let Some(line) = self.peeked.pop_front() {
            return Ok(Some(line));
        }
        loop {
            let Some(path) = self.open.pop() else {
                let Some(pattern) = self.patterns.get(self.next_pattern) else { return Ok(None) };
                self.next_pattern += 1;
                self.open.push(pattern.from.clone());
                continue;
            };
            // The path of the current folder is empty.
            let at = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let about = match at.metadata() {
                Ok(about) => about,
                // Removed since, or a broken link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(with_path(at, error)),
            };
            let pattern = &self.patterns[self.next_pattern - 1];
            if about.is_dir() {
                // Links between folders may form circles.
                let is_link = at != Path::new(".") && path != pattern.from && at.is_symlink();
                if pattern.leads_through(&path) && !is_link {
                    self.open.extend(sorted_entries(at, &path, pattern.hidden).map_err(|error| with_path(at, error))?);
                }
                continue;
            }
            let seen = self.patterns[..self.next_pattern - 1].iter().any(|earlier| earlier.matches(&path));
            if !about.is_file() || seen || !pattern.matches(&path) || self.is_excluded(&path) {
                continue;
            }
            self.number += 1;
            self.bytes += about.len();
            let text = serde_json::to_vec(&file_record(&path, &about))?;
            return Ok(Some(InputLine {
                number: self.number,
                end: self.bytes,
                text: Some(text),
                ..InputLine::default()
            }));
        }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        !self.excluded.is_empty() && path.canonicalize().is_ok_and(|path| self.excluded.contains(&path))
    }
}

fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Returns the entries of a folder, the first name last.
fn sorted_entries(at: &Path, path: &Path, hidden: bool) -> io::Result<Vec<PathBuf>> {
    let mut names = std::fs::read_dir(at)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| hidden || !name.to_string_lossy().starts_with('.'));
    names.sort_unstable();
    Ok(names.into_iter().rev().map(|name| path.join(name)).collect())
}

fn file_record(path: &Path, about: &std::fs::Metadata) -> Value {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    json!({
        "path": path.to_string_lossy(),
        "name": part(path.file_name()),
        "extension": part(path.extension()),
        "bytes": about.len(),
        "modified_ms": modified.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|one| format!("{}/{one}", folder.display())).collect();
        let mut files = Files::matching(&patterns).unwrap();
        let mut paths = Vec::new();
        while let Some(line) = files.next().unwrap() {
            let record: Value = serde_json::from_slice(&line.text.unwrap()).unwrap();
            let path = Path::new(record["path"].as_str().unwrap()).strip_prefix(folder).unwrap().to_owned();
            paths.push(path.display().to_string());
            assert_eq!(line.number, paths.len() as u64);
        }
        paths
    }

    #[test]
    fn files_come_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        std::fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in ["b/2.md", "a.md", "b/1.md", "b/c/3.md", "z.txt", ".git/x.md", ".hidden.md", "b/[1].md"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(found(folder.path(), &["*.md"]), ["a.md"]);
        assert_eq!(found(folder.path(), &["b/*.md"]), ["b/1.md", "b/2.md", "b/[1].md"]);
        assert_eq!(found(folder.path(), &["b/[1].md"]), ["b/[1].md"]);
        assert_eq!(found(folder.path(), &["**/*.md"]), ["a.md", "b/1.md", "b/2.md", "b/[1].md", "b/c/3.md"]);
        assert_eq!(found(folder.path(), &["z.txt", "b/**/3.*", "*.{md,txt}"]), ["z.txt", "b/c/3.md", "a.md"]);
        assert_eq!(found(folder.path(), &[".h*"]), [".hidden.md"]);
        assert_eq!(found(folder.path(), &["*.rs"]), [""; 0]);
    }

    #[test]
    fn invalid_patterns_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["no/such", "a[", "{a", folder.path().to_str().unwrap()] {
            assert!(Files::matching(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}

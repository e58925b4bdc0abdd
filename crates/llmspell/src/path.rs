//! The path of a step in the tree of running steps.

use std::fmt;
use std::sync::Arc;

/// A step path such as `triage.fetch`: the names of the steps around a call, outermost first.
///
/// The same string appears in errors, events and the report. Work outside any named step has the empty path,
/// which prints as `(root)`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Arc<str>);

impl Path {
    /// Returns the empty path.
    pub fn root() -> Self {
        Path(Arc::from(""))
    }

    /// Returns this path with one more name at its end.
    pub fn join(&self, name: &str) -> Self {
        if self.is_root() { Path(Arc::from(name)) } else { Path(Arc::from(format!("{self}.{name}"))) }
    }

    /// Returns whether both share one allocation: a cheap check that may miss equal paths.
    pub(crate) fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether this path is `outer` or below it.
    pub fn is_within(&self, outer: &Path) -> bool {
        let Some(rest) = self.0.strip_prefix(&*outer.0) else { return false };
        outer.is_root() || rest.is_empty() || rest.starts_with('.')
    }

    /// Returns whether the path is empty.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path as text, empty at the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Path(Arc::from(text))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "(root)" } else { &self.0 })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl serde::Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Path {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Path(Arc::from(text.as_ref())))
    }
}

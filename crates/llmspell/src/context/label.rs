//! Step names and the contexts below them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Context;
use super::node::{Node, NodeKind, RecordedCall};
use crate::observe::outcome::ProvenanceCollector;
use crate::path::Path;

/// The name of a step.
///
/// A step nearly always runs in one place, so its path is built once and not at every call. If no outer node
/// exists, its node is built once as well.
#[derive(Clone)]
pub struct Label {
    name: Arc<str>,
    path: OnceLock<(Option<Path>, Path)>,
    /// The same, below an outer label that has no node.
    nested_path: OnceLock<(Option<Path>, Path)>,
    node: OnceLock<Arc<Node>>,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}

impl Label {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Label { name, path: OnceLock::new(), nested_path: OnceLock::new(), node: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn join(&self, parent: Option<&Path>) -> Path {
        parent.map_or_else(|| Path::from(&*self.name), |parent| parent.join(&self.name))
    }
}

impl Context {
    /// Returns the path of a call of the step with this label.
    pub(crate) fn path_of(&self, label: &Label) -> Path {
        self.cached_path(&label.path, |parent| label.join(parent))
    }

    /// Returns the path of a call of the step with this label inside one with the label `outer`.
    pub(crate) fn path_below(&self, outer: &Label, label: &Label) -> Path {
        self.cached_path(&label.nested_path, |parent| label.join(Some(&outer.join(parent))))
    }

    fn cached_path(&self, cache: &OnceLock<(Option<Path>, Path)>, join: impl Fn(Option<&Path>) -> Path) -> Path {
        let parent = self.node.as_ref().and_then(|node| node.path.as_ref());
        let (known, path) = cache.get_or_init(|| (parent.cloned(), join(parent)));
        let is_cached = match (known, parent) {
            (Some(known), Some(parent)) => known.is_same(parent),
            (None, None) => true,
            _ => false,
        };
        if is_cached { path.clone() } else { join(parent) }
    }

    /// Returns a context one name further down, without a call of its own.
    pub(crate) fn below(&self, name: &str) -> Context {
        self.child_at(NodeKind::Name, self.path().join(name))
    }

    /// Returns the context of a call of the step with this label.
    pub(crate) fn named(&self, label: &Label) -> Context {
        if self.node.is_none() {
            let node = label.node.get_or_init(|| Arc::new(self.node_with(NodeKind::Name, Some(label.join(None)))));
            return Context { node: Some(node.clone()), ..*self };
        }
        let kind = match self.recorder() {
            None => NodeKind::Name,
            Some(recorder) => {
                let parent = self.call().map_or(0, |call| call.id);
                NodeKind::Call(RecordedCall {
                    id: recorder.next_call(),
                    parent,
                    collector: ProvenanceCollector::default(),
                })
            }
        };
        self.child_at(kind, self.path_of(label))
    }
}

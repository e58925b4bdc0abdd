//! Names of steps, and the contexts below them.

use std::sync::{Arc, OnceLock};

use super::Context;
use super::node::{Call, Facet, Node};
use crate::observe::outcome::ProvenanceCollector;
use crate::path::Path;

/// The name of a step.
///
/// A step nearly always runs in one place, so its path is put together once and not at every call; and if
/// nothing around it needs a node of its own, neither is its node.
#[derive(Clone)]
pub struct Label {
    name: Arc<str>,
    place: OnceLock<(Option<Path>, Path)>,
    /// The same below a name that has no node.
    deep: OnceLock<(Option<Path>, Path)>,
    node: OnceLock<Arc<Node>>,
}

impl Label {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Label { name, place: OnceLock::new(), deep: OnceLock::new(), node: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn join(&self, parent: Option<&Path>) -> Path {
        parent.map_or_else(|| Path::from(&*self.name), |parent| parent.join(&self.name))
    }
}

impl Context {
    /// The path of a call of the step with this label.
    pub(crate) fn path_of(&self, label: &Label) -> Path {
        self.known_path(&label.place, |parent| label.join(parent))
    }

    /// The path of a call of the step with this label inside of one with the label `outer`.
    pub(crate) fn path_below(&self, outer: &Label, label: &Label) -> Path {
        self.known_path(&label.deep, |parent| label.join(Some(&outer.join(parent))))
    }

    fn known_path(&self, place: &OnceLock<(Option<Path>, Path)>, join: impl Fn(Option<&Path>) -> Path) -> Path {
        let parent = self.node.as_ref().and_then(|node| node.path.as_ref());
        let (known, path) = place.get_or_init(|| (parent.cloned(), join(parent)));
        let here = match (known, parent) {
            (Some(known), Some(parent)) => known.is_same(parent),
            (None, None) => true,
            _ => false,
        };
        if here { path.clone() } else { join(parent) }
    }

    /// A context one name further down, without a call of its own.
    pub(crate) fn below(&self, name: &str) -> Context {
        self.child_at(Facet::Name, self.path().join(name))
    }

    /// A context for a call of the step with this label.
    pub(crate) fn named(&self, label: &Label) -> Context {
        if self.node.is_none() {
            let node = label.node.get_or_init(|| Arc::new(self.node_with(Facet::Name, Some(label.join(None)))));
            return Context { node: Some(node.clone()), ..*self };
        }
        let facet = match self.recorder() {
            None => Facet::Name,
            Some(recorder) => {
                let parent = self.call().map_or(0, |(call, _)| call.id);
                Facet::Call(Call { id: recorder.next_call(), parent, ledger: ProvenanceCollector::default() })
            }
        };
        self.child_at(facet, self.path_of(label))
    }
}

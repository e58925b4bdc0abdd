//! The reply of a turn that has not ended, for an agent that may have to answer with it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::context::{Chunk, ChunkData, Onlooker};
use crate::path::Path;
use crate::sync::{Mutex, MutexGuard, lock};

/// What the model has said so far in this turn.
pub(super) struct Draft {
    /// The step that asks the model.
    model: Path,
    /// By the steps inside of it, for it may be a race of several: the attempt, and what it has said.
    texts: Mutex<HashMap<Path, (u32, String)>>,
}

impl Draft {
    pub(super) fn of(model: Path) -> Arc<Self> {
        Arc::new(Draft { model, texts: Mutex::default() })
    }

    /// The turn has ended: the next one begins with nothing.
    pub(super) fn clear(&self) {
        self.texts().clear();
    }

    /// The longest of what was said, if anything was.
    pub(super) fn take(&self) -> Option<String> {
        let texts = std::mem::take(&mut *self.texts());
        let text = texts.into_values().map(|(_, text)| text).max_by_key(String::len)?;
        (!text.is_empty()).then_some(text)
    }

    fn texts(&self) -> MutexGuard<'_, HashMap<Path, (u32, String)>> {
        lock(&self.texts)
    }
}

impl Onlooker for Draft {
    fn see(&self, chunk: &Chunk) {
        if !chunk.path.is_within(&self.model) {
            return;
        }
        let mut texts = self.texts();
        let (attempt, text) = texts.entry(chunk.path.clone()).or_default();
        if *attempt != chunk.attempt || chunk.data == ChunkData::Restarted {
            *attempt = chunk.attempt;
            text.clear();
        }
        if let ChunkData::Output(data) = &chunk.data
            && let Some(more) = data["text"].as_str()
        {
            text.push_str(more);
        }
    }
}

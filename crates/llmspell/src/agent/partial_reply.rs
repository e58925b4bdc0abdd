//! The unfinished reply of the current turn, for agents that answer with it when a limit is reached.

use std::collections::HashMap;
use std::sync::Arc;

use crate::context::{Chunk, ChunkData, ChunkObserver};
use crate::path::Path;
use crate::runtime::sync::{Mutex, MutexGuard, lock};

/// The text that the model has emitted so far in this turn.
pub(super) struct PartialReply {
    /// The path of the step that calls the model.
    model: Path,
    /// The attempt and its text, by path: the step may be a race of several models.
    texts: Mutex<HashMap<Path, (u32, String)>>,
}

impl PartialReply {
    pub(super) fn of(model: Path) -> Arc<Self> {
        Arc::new(PartialReply { model, texts: Mutex::default() })
    }

    /// Discards the text when the turn has ended.
    pub(super) fn clear(&self) {
        self.texts().clear();
    }

    /// Takes the longest text, if there is any.
    pub(super) fn take(&self) -> Option<String> {
        let texts = std::mem::take(&mut *self.texts());
        let text = texts.into_values().map(|(_, text)| text).max_by_key(String::len)?;
        (!text.is_empty()).then_some(text)
    }

    fn texts(&self) -> MutexGuard<'_, HashMap<Path, (u32, String)>> {
        lock(&self.texts)
    }
}

impl ChunkObserver for PartialReply {
    fn on_chunk(&self, chunk: &Chunk) {
        if !chunk.path.is_within(&self.model) {
            return;
        }
        let mut texts = self.texts();
        let data = match &chunk.data {
            ChunkData::Output(data) => data,
            // A retry or a fallback around these paths.
            ChunkData::Restarted => return texts.retain(|path, _| !path.is_within(&chunk.path)),
        };
        let Some(more) = data["text"].as_str() else { return };
        if let Some((attempt, text)) = texts.get_mut(&chunk.path) {
            if *attempt != chunk.attempt {
                *attempt = chunk.attempt;
                text.clear();
            }
            text.push_str(more);
        } else {
            texts.insert(chunk.path.clone(), (chunk.attempt, more.to_owned()));
        }
    }
}

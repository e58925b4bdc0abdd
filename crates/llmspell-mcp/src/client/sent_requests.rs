//! The requests that were sent over one connection and have no answer yet.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::RequestId;

#[derive(Clone, Default)]
pub(crate) struct SentRequests(Arc<Mutex<HashSet<RequestId>>>);

impl SentRequests {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<RequestId>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn insert(&self, id: RequestId) {
        self.with(|ids| ids.insert(id));
    }

    /// Removes a request that no caller waits for any more.
    pub(crate) fn remove(&self, id: &RequestId) {
        self.with(|ids| {
            if !ids.remove(id)
                && let RequestId::String(text) = id
                && let Ok(number) = text.parse()
            {
                // Some servers answer the request 7 with the id "7".
                ids.remove(&RequestId::Number(number));
            }
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.with(|ids| ids.len())
    }

    pub(crate) fn ids(&self) -> Vec<RequestId> {
        self.with(|ids| ids.iter().cloned().collect())
    }
}

//! The index from requests to their recordings.

use std::collections::HashMap;

use serde_json::Value;

/// The recorded requests, in the form that is compared, each with the positions of its recordings in order.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Value, Vec<usize>>);

impl Index {
    pub(super) fn add(&mut self, request: Value, position: usize) {
        self.0.entry(request).or_default().push(position);
    }

    /// Returns the index with changed requests. The change can make requests equal, which merges their recordings.
    pub(super) fn changed(&self, change: &(dyn Fn(&mut Value) + Send + Sync)) -> Index {
        let mut index = Index::default();
        for (request, positions) in &self.0 {
            let mut request = request.clone();
            change(&mut request);
            index.0.entry(request).or_default().extend(positions);
        }
        index.0.values_mut().for_each(|positions| positions.sort_unstable());
        index
    }

    /// Returns the positions of a request's recordings.
    pub(super) fn positions(&self, request: &Value) -> &[usize] {
        self.0.get(request).map_or(&[], Vec::as_slice)
    }

    /// Returns all requests with the positions of their first recordings, in that order.
    pub(super) fn requests(&self) -> impl Iterator<Item = (usize, &Value)> {
        let mut requests: Vec<_> = self.0.iter().map(|(request, positions)| (positions[0], request)).collect();
        requests.sort_unstable_by_key(|(position, _)| *position);
        requests.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_made_equal_by_a_change_keep_their_recordings_in_order() {
        let mut index = Index::default();
        for (position, request) in
            [json!([1, "a"]), json!([2, "b"]), json!([3, "a"]), json!([1, "a"])].into_iter().enumerate()
        {
            index.add(request, position);
        }
        assert_eq!(
            (index.positions(&json!([1, "a"])), index.positions(&json!(["a"]))),
            ([0, 3].as_slice(), [].as_slice())
        );
        let changed = index.changed(&|request| request[0] = 0.into());
        assert_eq!(changed.positions(&json!([0, "a"])), [0, 2, 3]);
        let all: Vec<_> = changed.requests().collect();
        assert_eq!(all, [(0, &json!([0, "a"])), (1, &json!([0, "b"]))]);
    }
}

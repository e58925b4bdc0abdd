//! Which recordings a request has.

use std::collections::HashMap;

use serde_json::Value;

/// The requests that were recorded, as they are compared, each with the places of its recordings in their order.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Value, Vec<usize>>);

impl Index {
    pub(super) fn add(&mut self, request: Value, place: usize) {
        self.0.entry(request).or_default().push(place);
    }

    /// The same once the requests are changed, which may make some of them one.
    pub(super) fn changed(&self, change: &(dyn Fn(&mut Value) + Send + Sync)) -> Index {
        let mut index = Index::default();
        for (request, places) in &self.0 {
            let mut request = request.clone();
            change(&mut request);
            index.0.entry(request).or_default().extend(places);
        }
        index.0.values_mut().for_each(|places| places.sort_unstable());
        index
    }

    /// Where the recordings of this request are; nowhere if there are none.
    pub(super) fn places(&self, request: &Value) -> &[usize] {
        self.0.get(request).map_or(&[], Vec::as_slice)
    }

    /// All requests, in the order of their first recordings, with the places of these.
    pub(super) fn requests(&self) -> impl Iterator<Item = (usize, &Value)> {
        let mut requests: Vec<_> = self.0.iter().map(|(request, places)| (places[0], request)).collect();
        requests.sort_unstable_by_key(|(place, _)| *place);
        requests.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_that_a_change_makes_one_have_their_recordings_in_order() {
        let mut index = Index::default();
        for (place, request) in
            [json!([1, "a"]), json!([2, "b"]), json!([3, "a"]), json!([1, "a"])].into_iter().enumerate()
        {
            index.add(request, place);
        }
        assert_eq!((index.places(&json!([1, "a"])), index.places(&json!(["a"]))), ([0, 3].as_slice(), [].as_slice()));
        let changed = index.changed(&|request| request[0] = 0.into());
        assert_eq!(changed.places(&json!([0, "a"])), [0, 2, 3]);
        let all: Vec<_> = changed.requests().collect();
        assert_eq!(all, [(0, &json!([0, "a"])), (1, &json!([0, "b"]))]);
    }
}

//! Reads from the two ends of a message which request it answers.
//!
//! An oversized message is never parsed as a whole. Its id is usually a small member at the beginning or at the end.

use serde_json::{Map, Value};

/// The owner of a line, as far as one end of it shows.
pub(crate) enum LineOwner {
    /// The request with this id.
    Request(Value),
    /// None: the message is a request or a notification.
    NoRequest,
    Unknown,
}

/// Returns the owner of a message whose small members come first: `{"jsonrpc":"2.0","id":7,"result":{`.
pub(crate) fn owner_at_start(head: &[u8]) -> LineOwner {
    let head = String::from_utf8_lossy(head);
    let members = head.trim_start_matches('\u{feff}').trim_start().strip_prefix('{').unwrap_or_default();
    let small = members.split(['{', '[']).next().unwrap_or_default();
    let Some((small, _)) = small.rsplit_once(',') else { return LineOwner::Unknown };
    match object(small) {
        Some(members) if members.contains_key("method") => LineOwner::NoRequest,
        Some(mut members) => id(&mut members).map_or(LineOwner::Unknown, LineOwner::Request),
        None => LineOwner::Unknown,
    }
}

/// Returns the id of the answered request if the small members come last: `},"jsonrpc":"2.0","id":7}`.
pub(crate) fn id_at_end(tail: &[u8]) -> Option<Value> {
    let tail = String::from_utf8_lossy(tail);
    let members = tail.trim_end().strip_suffix('}')?;
    let (_, small) = members.rsplit_once(['}', ']'])?;
    id(&mut object(small.trim_start().strip_prefix(',')?)?)
}

fn object(members: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(&format!("{{{members}}}")).ok()
}

fn id(members: &mut Map<String, Value>) -> Option<Value> {
    members.remove("id").filter(|id| id.is_number() || id.is_string())
}

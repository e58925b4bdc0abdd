//! Flow files as text: YAML, the places of its values, diagnostics, and the types of a file.
//!
//! This module reads a file and says where each value stands. It knows nothing of what a flow means or does.

pub(crate) mod diagnostic;
pub(crate) mod duration;
pub(crate) mod entries;
pub(crate) mod file;
pub(crate) mod located;
pub mod lossy_int;
pub(crate) mod node;
pub mod nonblocking;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod quota;
pub(crate) mod schema;
pub(crate) mod source;

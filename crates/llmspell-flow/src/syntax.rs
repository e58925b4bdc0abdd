//! The syntax of flow files: YAML, the positions of values, diagnostics, and the types of a file.
//!
//! Parses a file and records the position of each value. It must not depend on the meaning of a flow.

pub(crate) mod diagnostic;
pub(crate) mod duration;
pub(crate) mod file;
pub(crate) mod located;
pub mod lossy_int;
pub(crate) mod mapping;
pub(crate) mod node;
pub mod nonblocking;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod quota;
pub(crate) mod schema;
pub(crate) mod source;

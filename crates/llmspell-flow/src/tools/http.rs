//! What the tools that talk HTTP share.

mod address;

pub(crate) use address::is_public;

//! What commands that start or continue a run share.

pub(crate) mod partial_file;

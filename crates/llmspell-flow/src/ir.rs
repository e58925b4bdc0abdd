//! The intermediate representation: what a checked flow is.
//!
//! Steps with their kinds and modifiers, fields and their types, the shapes of outputs, and fingerprints. The checks
//! make it, `exec` and `plan` read it; it imports neither of them.

pub(crate) mod agent;
pub(crate) mod fields;
pub(crate) mod fingerprint;
pub(crate) mod names;
pub(crate) mod repeatability;
pub(crate) mod shape;
pub(crate) mod step;

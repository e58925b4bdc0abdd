//! The intermediate representation of a checked flow.
//!
//! Owns the steps with their kinds and modifiers, the fields and their types, the shapes of outputs, and fingerprints.
//! `check` creates it; `exec` and `plan` read it. It must import none of the three.

pub(crate) mod agent;
pub(crate) mod fields;
pub(crate) mod fingerprint;
pub(crate) mod names;
pub(crate) mod repeatability;
pub(crate) mod shape;
pub(crate) mod step;

pub(crate) use step::Step;

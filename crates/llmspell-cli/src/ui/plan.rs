//! A plan as text.

pub(crate) mod estimates;

//! The tests of tools over the network, in one program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod http;

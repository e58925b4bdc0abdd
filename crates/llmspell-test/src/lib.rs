//! Test doubles for [LLMSpell](llmspell): models, tools and servers for tests and demonstrations.
//!
//! | type | use |
//! |---|---|
//! | [`ScriptedModel`] | replays scripted turns, and keeps the requests it received |
//! | [`SimulatedModel`] | has the latencies and failures of real models, without a network |
//! | [`FakeTool`] | waits, then returns its input, fails, hangs or panics |
//! | `Cassette` (feature `cassette`) | records a model into a file, and replays it |
//! | `fault_server` (feature `fault-server`) | replies over HTTP: correctly, late, in pieces, or with errors |
//!
//! Without features, the crate depends on the core alone, so a first build stays small. It must not depend on flows
//! or on the command line. The command line uses [`SimulatedModel`] for models named `simulated/…`.

#[cfg(feature = "cassette")]
mod cassette;
mod fake_tool;
#[cfg(feature = "fault-server")]
pub mod fault_server;
mod scripted;
mod simulated;

#[cfg(feature = "cassette")]
pub use cassette::Cassette;
pub use fake_tool::FakeTool;
pub use scripted::ScriptedModel;
pub use simulated::SimulatedModel;

//! Execution: turns a checked flow into steps of the core.
//!
//! Owns the scope of a record, the redaction of secrets, and [`Memo`](memo::Memo), the trait by which the results of
//! steps are kept. It must not know where they are kept.

mod agent_step;
pub(crate) mod builder;
pub(crate) mod command_tool;
pub(crate) mod compiled;
mod conditional_race;
mod items;
pub(crate) mod memo;
mod memoized;
pub(crate) mod policy;
pub(crate) mod redacted;
mod repeat;
pub(crate) mod scope;
mod scoped_step;
pub(crate) mod secrets;
pub(crate) mod template_tool;
mod tool_call;

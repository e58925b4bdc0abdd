//! Flow files for LLMSpell: steps described in YAML, templates, built-in tools, and runs over records.
//!
//! A [`Flow`] is a function of one record; it is a [`Step`](llmspell::Step) like any other. A [`Run`] maps it over a
//! file of records, with stages overlapping, and writes one line for each.

mod arguments;
mod check;
mod diagnostic;
mod duration;
mod entries;
mod file;
mod flow;
mod inputs;
mod located;
mod modifiers;
mod node;
mod parse;
mod permission;
mod run;
mod schema;
mod scope;
mod suggest;
mod template;
mod toolbox;
mod tools;

pub use diagnostic::{Diagnostic, Diagnostics, Source};
pub use flow::{Flow, LoadError};
pub use permission::Permissions;
pub use run::{Brake, Ending, FailureGroup, Failures, Input, Output, Progress, Run, Snapshot, Summary, Written};
pub use schema::schema;
pub use toolbox::Toolbox;

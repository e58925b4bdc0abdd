//! Flow files for LLMSpell: steps described in YAML, with templates, checked and made to run.
//!
//! A [`Flow`] is a function of one record; it is a [`Step`](llmspell::Step) like any other. `llmspell-run` maps it over
//! a stream of records, with stages overlapping, and writes one line for each.
//!
//! # Flow files
//!
//! ```yaml
//! # yaml-language-server: $schema=../schema/flow.v1.json
//! flow: triage                      # begins the path of every step: triage.fetch
//! version: 1
//! allow: { net: [example.org] }     # what its tools may touch, if the user grants it, too
//! models:                           # named by agents, which share what is said here
//!   quick: { model: openai/gpt-5-mini, rate: 60/min, prices: { input: 0.25, output: 2.0 } }
//! inputs:                           # what a record must have; left out, any record will do
//!   url:  { type: string }
//!   lang: { type: string, default: en }
//! steps:
//!   - id: fetch
//!     tool: http_get                # `llmspell tools` lists the tools
//!     with: { url: "${{ inputs.url }}" }
//!     timeout: [2s, 5s]             # of each attempt; or one for all: `timeout: 2s`
//!     retry: { max: 3, base: 250ms, on: [timeout, transient] }    # or `retry: 3`
//!     deadline: 10s                 # for all attempts and the waiting between them
//!     limit: 8                      # records in this step at once
//!   - id: title
//!     tool: text
//!     with: { value: "${{ steps.fetch.body }}", extract: "<title>(.*?)</title>" }
//!   - id: verdict
//!     agent:                        # a model that may call `tools` until it answers
//!       model: quick
//!       prompt: { file: verdict.md.j2 }    # or a text with `${{ }}`
//!       answer: { spam: { type: boolean } }    # left out: its words
//! output:                           # left out: the output of the last step
//!   title: ${{ steps.title }}
//!   spam: ${{ steps.verdict.spam }}
//!   lang: ${{ inputs.lang }}
//! ```
//!
//! - **Templates** are [Jinja expressions](https://docs.rs/minijinja/latest/minijinja/syntax/) over `inputs`,
//!   `steps.<id>` and `record.index`. A lone `${{ x }}` keeps its type; among other text, anything that is not text is
//!   written as JSON. Undefined is an error: `${{ x | default("") }}` says otherwise. Outputs are data and are never
//!   rendered again; statements (`{% if %}`) do not exist, nor do the filters `indent`, `format`, `slice`, `batch`,
//!   `chain` and `zip`, whose cost has no bound. An expression is at most 4 KiB long.
//! - **Modifiers** apply in one order, however they are written: `limit` around `deadline` around `retry` around
//!   `timeout`. A record that waits to retry stays in its step and counts against the limit; the deadline begins when
//!   the record is let in. `max` counts the first attempt too.
//! - **Agents** have prompts in the file, or in files in its folder: those are templates of Jinja with statements (`{% if
//!   %}`, `{% for %}`, `{% set %}`), of at most 256 KiB, and lines with nothing but a statement leave no empty line.
//!   Prompts see what templates see, without secrets. The program that loads a flow opens its models and MCP servers:
//!   see [`Declared`].
//! - **Tools of the flow's own** stand under `tools`: `jq: { command: [jq, "${{ args.filter }}"], args: { filter: {
//!   type: string } } }`, or `notes: { mcp: { command: [mcp-notes] } }`, whose tools are called `notes.<tool>`.
//! - **Permissions**: a flow asks under `allow`, and its user grants; tools work within both. What is asked for and not
//!   granted is told by [`Flow::permitted`].
//! - **What is wrong** is found before a record is touched: unknown keys, tools and arguments, references that lead
//!   nowhere, times that cannot be, tools that the user does not allow. See [`Diagnostics`].
//! - YAML is read strictly: `yes` and `NO` are text, keys stand once, a duration has a unit.

mod check;
mod exec;
mod flow;
mod ir;
mod lint;
mod plan;
mod syntax;
mod template;
mod toolbox;

pub use check::declared::{Declared, DeclaredModel, DeclaredServer, ServerWay};
pub use flow::{Flow, LoadError};
pub use lint::{RULES as LINT_RULES, Rule as LintRule};
pub use plan::{
    AgentCalls, Count, Estimate, EstimatedUse, Outline, Step as OutlineStep, Survey, Surveyor, TimeBound, TokenPrices,
};
pub use syntax::diagnostic::{Diagnostic, Diagnostics};
pub use syntax::duration::{parse_duration, written_duration};
pub use syntax::options::{RUN_OPTIONS, RunOption};
pub use syntax::quota::parse_rate;
pub use syntax::schema::schema;
pub use syntax::source::Source;
pub use toolbox::Toolbox;

/// What `llmspell-run` needs to run a flow. Not a part of the public interface: it may change in any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::exec::compiled::{Compiled, Recorded};
    pub use crate::exec::memo::{CachedResult, KeepFuture, Memo, StepKey};
    pub use crate::exec::policy::Tunable;
    pub use crate::ir::fields::Inputs;
    pub use crate::ir::fingerprint::Fingerprint;
    pub use crate::syntax::quota::Per;
    pub use crate::syntax::{lossy_int, nonblocking};
}

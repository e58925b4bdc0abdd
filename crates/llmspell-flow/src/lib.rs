//! Flow files for LLMSpell: workflows in YAML that are checked and compiled to a step.
//!
//! A [`Flow`] turns one record into one output, as a [`Step`](llmspell::Step) like any other. `llmspell-run` maps it over
//! a stream of records with overlapping stages, and writes one line for each record.
//!
//! # Flow files
//!
//! ```yaml
//! # yaml-language-server: $schema=../schema/flow.v1.json
//! flow: triage                      # the first part of every path: triage.fetch
//! version: 1
//! allow: { net: [example.org] }     # the permissions of its tools, which the user must also grant
//! models:                           # used by agents, which share the limits set here
//!   quick: { model: openai/gpt-5-mini, rate: 60/min, prices: { input: 0.25, output: 2.0 } }
//! inputs:                           # the fields of a record; by default, any record is accepted
//!   url:  { type: string }
//!   lang: { type: string, default: en }
//! steps:
//!   - id: fetch
//!     tool: http_get                # `llmspell tools` lists the tools
//!     with: { url: "${{ inputs.url }}" }
//!     timeout: [2s, 5s]             # of each attempt; or one for all: `timeout: 2s`
//!     retry: { max: 3, base: 250ms, on: [timeout, transient] }    # or `retry: 3`
//!     deadline: 10s                 # for all attempts and the delays between them
//!     limit: 8                      # at most 8 calls at a time
//!   - id: title
//!     tool: text
//!     with: { value: "${{ steps.fetch.body }}", extract: "<title>(.*?)</title>" }
//!   - id: verdict
//!     agent:                        # a model that can call `tools` before it answers
//!       model: quick
//!       prompt: { file: verdict.md.j2 }    # or a text with `${{ }}`
//!       answer: { spam: { type: boolean } }    # by default, a text
//! output:                           # by default, the output of the last step
//!   title: ${{ steps.title }}
//!   spam: ${{ steps.verdict.spam }}
//!   lang: ${{ inputs.lang }}
//! ```
//!
//! - **Templates** are [Jinja expressions](https://docs.rs/minijinja/latest/minijinja/syntax/) over `inputs`,
//!   `steps.<id>` and `record.index`. A single `${{ x }}` keeps its type; within other text, a value that is not text is
//!   written as JSON. An undefined value is an error, unless it has a default: `${{ x | default("") }}`. Outputs are data
//!   and are never rendered again. There are no statements (`{% if %}`), and no filters of unbounded cost: `indent`,
//!   `format`, `slice`, `batch`, `chain` and `zip`. An expression is at most 4 KiB long.
//! - **Modifiers** apply in a fixed order, whatever their order in the file. From the outside in: `when`, `fallback`,
//!   `deadline`, `retry`, `hedge`, `breaker`, `rate`, `limit` or `adaptive`, `timeout`. A record that waits for its next
//!   attempt does not count against the limit. `max` includes the first attempt.
//! - **Agents** have prompts in the flow file, or in files in its folder. Prompt files are Jinja templates with statements
//!   (`{% if %}`, `{% for %}`, `{% set %}`) of at most 256 KiB; a line with only a statement leaves no empty line. Prompts
//!   see the same names as templates, except secrets. The program that loads a flow opens its models and MCP servers: see
//!   [`Declarations`].
//! - **Tools** can be declared under `tools`: `jq: { command: [jq, "${{ args.filter }}"], args: { filter: { type: string
//!   } } }`, or `notes: { mcp: { command: [mcp-notes] } }`, whose tools have the names `notes.<tool>`.
//! - **Permissions**: a tool needs both, the flow's request under `allow` and the user's grant.
//!   [`Flow::check_permissions`] reports the requests that are not granted.
//! - **Problems** are found before the first record: unknown keys, tools, arguments and names, contradictory time limits,
//!   missing permissions. See [`Diagnostics`].
//! - **YAML** is read strictly: `yes` and `NO` are text, duplicate keys are errors, a duration has a unit.

mod check;
mod exec;
mod flow;
mod ir;
mod lint;
mod plan;
mod syntax;
mod template;
mod toolbox;

pub use check::declared::{Declarations, DeclaredModel, DeclaredServer, ServerTransport};
pub use flow::{Flow, LoadError};
pub use lint::{RULES as LINT_RULES, Rule as LintRule};
pub use plan::{
    AgentCalls, Count, Estimate, EstimatedUse, InputSurvey, Plan, PlanStep, Surveyor, TimeBound, TokenPrices,
};
pub use syntax::diagnostic::{Diagnostic, Diagnostics};
pub use syntax::duration::{format_duration, parse_duration};
pub use syntax::options::{RUN_OPTIONS, RunOption};
pub use syntax::quota::parse_rate;
pub use syntax::schema::schema;
pub use syntax::source::Source;
pub use toolbox::Toolbox;

/// The interface for `llmspell-run`. It is not public: it may change in any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::exec::compiled::{Compiled, Recorded};
    pub use crate::exec::memo::{KeepFuture, Kept, Memo, StepKey};
    pub use crate::exec::policy::Tunable;
    pub use crate::ir::fields::Inputs;
    pub use crate::ir::fingerprint::Fingerprint;
    pub use crate::syntax::quota::Quota;
    pub use crate::syntax::{lossy_int, nonblocking};
}

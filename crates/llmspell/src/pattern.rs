//! The five async patterns, each a [`Step`](crate::Step) made of steps.
//!
//! | pattern | waits for | cancels | bounds | fails with |
//! |---|---|---|---|---|
//! | [`concurrent`] | all, or the first failure, or everything settled | siblings, where one failure decides | branches at once | the errors, or none: every outcome |
//! | [`stream`] | each item, as finished or in order | all in flight, when dropped or ended early | pulled minus delivered | per item; the stream goes on |
//! | [`timeout`] | the step or the clock | the step, really | time, attempts, retries of a call | `timeout`, or all attempts |
//! | [`race`] | the first to succeed, to complete, or to show output | every loser, at once | contenders, share of hedged calls | all failures, none swallowed |
//! | [`pipeline`] | every stage of every record | what is behind a stopped record | calls in each stage, records in flight | per record, naming the stage |
//!
//! They nest in any order: a race of pipelines, a stream of races under one deadline, a retry around a group.
//! Each module opens with the same four headings.
//!
//! The patterns must not know agents, models or tools.

pub mod concurrent;
pub mod pipeline;
pub mod race;
pub mod stream;
pub mod timeout;

mod branch;

//! The guarantees: one file each, named after it. Each head names the hazard, public reports of it, what the common
//! alternative does, and the figure that is promised here.
//!
//! | guarantee | bound | |
//! |---|---|---|
//! | `progress` | no item waits more than 20 ms for its turn while the consumer is busy | G1 |
//! | `backpressure` | pulled minus delivered is at most limit plus window; memory is flat | G10 |
//! | `nothing_leaks` | nothing is alive 50 ms after any end | G6 |
//! | `timeout_stops_the_work` | the caller is free within 10 ms; no more than the limit is alive | G7 |
//! | `runaways_are_accounted_for` | one attempt alive at a time; the permit is taken until it ends | G7 |
//! | `deadlines_are_punctual` | never early, at most 3 ms late, nothing begins after them | G4 |
//! | `panics_are_contained` | one error at the place of the panic | G9 |
//! | `one_outcome_for_each_input` | N inputs, N outcomes | |
//! | `random_cancellation` | none of 100,000 inputs lost or doubled | G3 |
//! | `no_futurelock` | 1,000 items and their consumer share one permit | G2 |
//! | `ready_work_starves_nobody` | a timeout of 20 ms goes off within 50 ms | G8 |
//! | `many_timers` | at most 2.5 times the cost of a task for each of 100,000, and linear | G5 |
//! | `retries_are_bounded` | one budget a call; less than 5 % of a herd in any fiftieth of the window | G11, G12 |
//! | `cancellation_is_bounded_in_time` | at once, or within the grace of 50 ms | |
//! | `nothing_is_silent` | one start and one end for each call | |
//!
//! The numbers count the hazards that were measured before the first line was written; heads use them for short.
//!
//! Every guarantee is tested on a current-thread and on a multi-thread runtime, on the real clock, because schedulers are
//! what most of them are about. Where a bound is a time, it is a bound on what the library adds: tasks that do nothing but
//! beat show what the machine itself has held up (`control`). `cargo run -p hazards` shows the hazards on both sides.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test binary exports nothing, and may panic")]

#[macro_use]
mod runtime;
mod agents;
mod control;
mod every_pattern;
mod ledger;
#[path = "../it/probe.rs"]
mod probe;

mod backpressure;
mod cancellation_is_bounded_in_time;
mod deadlines_are_punctual;
mod many_timers;
mod no_futurelock;
mod nothing_is_silent;
mod nothing_leaks;
mod one_outcome_for_each_input;
mod panics_are_contained;
mod progress;
mod random_cancellation;
mod ready_work_starves_nobody;
mod retries_are_bounded;
mod runaways_are_accounted_for;
mod timeout_stops_the_work;

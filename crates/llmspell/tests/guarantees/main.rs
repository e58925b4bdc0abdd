//! The guarantees of the library, one file each, named after it. Each file head names the hazard, public
//! reports of it, the behaviour of the common alternative, and the bound promised here.
//!
//! | guarantee | bound | |
//! |---|---|---|
//! | `progress` | no item waits more than 20 ms for its next poll while the consumer is busy | G1 |
//! | `backpressure` | pulled minus delivered is at most limit plus window; memory is flat | G10 |
//! | `nothing_leaks` | nothing runs 50 ms after any end | G6 |
//! | `timeout_stops_the_work` | the caller is free within 10 ms; running calls never exceed the limit | G7 |
//! | `runaways_are_accounted_for` | one attempt runs at a time; its permit is taken until it ends | G7 |
//! | `deadlines_are_punctual` | never early, at most 3 ms late, nothing starts after them | G4 |
//! | `panics_are_contained` | one error at the index of the panic | G9 |
//! | `one_outcome_for_each_input` | N inputs, N outcomes | |
//! | `random_cancellation` | none of 100,000 inputs is lost or duplicated | G3 |
//! | `no_futurelock` | 1,000 items and their consumer share one permit | G2 |
//! | `ready_work_starves_no_task` | a timeout of 20 ms fires within 50 ms | G8 |
//! | `many_timers` | at most 2.5 times the cost of a task for each of 100,000 timers, and linear | G5 |
//! | `retries_are_bounded` | one budget per call; less than 5 % of retries in any fiftieth of the window | G11, G12 |
//! | `cancellation_is_bounded_in_time` | at once, or within the grace of 50 ms | |
//! | `nothing_is_silent` | one start and one end for each call | |
//!
//! The numbers refer to the hazards that were measured before the library was written; the file heads use them.
//!
//! Every guarantee is tested on a current-thread and on a multi-thread runtime, on the real clock, because most
//! of them are about schedulers. A bound on time is a bound on what the library adds: tasks that only record
//! heartbeats measure the delay of the machine itself (`baseline`). `cargo run -p hazards` shows the hazards on
//! both sides.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test binary exports nothing, and may panic")]

#[macro_use]
mod runtime;
mod agents;
mod baseline;
mod input_tracker;
mod pattern_cases;
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
mod ready_work_starves_no_task;
mod retries_are_bounded;
mod runaways_are_accounted_for;
mod timeout_stops_the_work;

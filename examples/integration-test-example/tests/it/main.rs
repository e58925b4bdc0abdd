//! Tests of the help desk in `src/lib.rs`, and of the flow in `flows/`. Each file is one way of testing, and says at its
//! head what to copy.

mod any_order_of_events;
mod cassette;
mod faults;
mod flow_file;
mod paused_clock;
mod scripted_model;
mod shop;

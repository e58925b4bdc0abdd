//! The behaviour of each kind of step and each modifier. The clock is paused, so times are exact.

mod concurrent;
mod defaults;
mod each;
mod fallback;
mod load;
mod nested;
mod pipeline;
mod probe;
mod race;
mod repeat;
mod secrets;
mod times;
mod when;

//! The durations of the stages of the pipeline, and the shortest time that their limits allow.

use std::time::Duration;

use crate::{RECORDS, STAGE_LIMIT};

/// The durations of a record in each stage.
pub type Stages = [Duration; 3];

const MILLIS: [u32; 3] = [100, 200, 150];

/// Returns the same durations for every record.
pub fn fixed() -> Vec<Stages> {
    vec![MILLIS.map(|millis| Duration::from_millis(millis.into())); RECORDS]
}

/// Returns durations multiplied by 0.2 to 1.8. Every program draws the same numbers.
///
/// The generator is the "minimal standard" of Park and Miller with the multiplier of 1993: its numbers fit into the
/// number types of any language.
pub fn scattered() -> Vec<Stages> {
    const MODULUS: u64 = 2_147_483_647;
    let mut seed = 42_u64;
    let mut draw = |millis: u32| {
        seed = seed * 48_271 % MODULUS;
        let share = 0.2 + 1.6 * seed as f64 / MODULUS as f64;
        Duration::from_millis((f64::from(millis) * share).floor() as u64)
    };
    (0..RECORDS).map(|_| MILLIS.map(&mut draw)).collect()
}

/// Returns the shortest time that any schedule can reach. The busiest stage must do all its work at its limit, after
/// the shortest path to it and before the shortest path to the end.
pub fn bound(records: &[Stages]) -> Duration {
    let shortest = |path: std::ops::Range<usize>| {
        records.iter().map(|record| record[path.clone()].iter().sum::<Duration>()).min().unwrap_or_default()
    };
    let stages = 0..MILLIS.len();
    let through = |stage: usize| {
        let work: Duration = records.iter().map(|record| record[stage]).sum();
        shortest(0..stage) + work / STAGE_LIMIT as u32 + shortest(stage + 1..MILLIS.len())
    };
    stages.map(through).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_is_the_busiest_stage_between_the_shortest_paths() {
        assert_eq!(bound(&fixed()), Duration::from_millis(100 + 300 * 200 / 10 + 150));
    }

    /// The figures are those of `work.py` and `work.mjs`.
    #[test]
    fn scattered_times_equal_those_of_the_other_languages() {
        let total: Duration = scattered().iter().flatten().sum();
        assert_eq!(scattered()[0].map(|stage| stage.as_millis()), [20, 222, 91]);
        assert_eq!(total.as_millis(), 135_677);
    }
}

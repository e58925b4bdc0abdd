//! The figures of a pipeline, compared with the best time that its stages allow.

use std::time::Duration;

use super::{PipelineReport, StageReport};
use crate::path::Path;

/// The stages of one pipeline over all its records.
#[derive(Debug, Default)]
pub(super) struct PipelineStages {
    stages: Vec<StageTotals>,
    records: u64,
    first: Option<Duration>,
    last: Duration,
    /// The longest work on one record, over all stages.
    longest: Duration,
}

#[derive(Debug, Default)]
struct StageTotals {
    name: String,
    limit: Option<usize>,
    records: u64,
    work: Duration,
    waited: Duration,
    /// The least work that any record needed before it could reach this stage.
    head: Option<Duration>,
    /// The least work that any record needed after this stage.
    tail: Option<Duration>,
}

impl PipelineStages {
    /// Adds a record that has passed a stage.
    pub(super) fn pass(&mut self, stage: usize, name: &str, limit: Option<usize>, waited: Duration, took: Duration) {
        if self.stages.len() <= stage {
            self.stages.resize_with(stage + 1, StageTotals::default);
        }
        let totals = &mut self.stages[stage];
        if totals.records == 0 {
            name.clone_into(&mut totals.name);
        }
        // An adaptive limit counts with its maximum.
        totals.limit = totals.limit.max(limit);
        totals.records += 1;
        totals.work += took;
        totals.waited += waited;
    }

    /// Adds a record that has left the pipeline after the given times in the stages it reached.
    pub(super) fn end_record(&mut self, times: &[Duration], began: Duration, ended: Duration) {
        self.records += 1;
        self.first = Some(self.first.map_or(began, |first| first.min(began)));
        self.last = self.last.max(ended);
        let total: Duration = times.iter().sum();
        self.longest = self.longest.max(total);
        let mut head = Duration::ZERO;
        for (totals, took) in self.stages.iter_mut().zip(times) {
            let tail = total - head - *took;
            totals.head = Some(totals.head.map_or(head, |least| least.min(head)));
            totals.tail = Some(totals.tail.map_or(tail, |least| least.min(tail)));
            head += *took;
        }
    }

    /// Returns the shortest time in which these records could have passed.
    ///
    /// No schedule can be faster than the longest record, nor than the work of a stage spread over its
    /// limit, after the least work that brings a first record to it and before the least that takes a last
    /// one from it. For stages with equal times the bound is exact; otherwise the best schedule may need a
    /// little more (the flow-shop bounds of Lageweg, Lenstra and Rinnooy Kan, 1978).
    fn best(&self) -> Duration {
        let of_stage = |stage: &StageTotals| {
            let limit = u32::try_from(stage.limit?).ok()?;
            Some(stage.head.unwrap_or_default() + stage.work / limit + stage.tail.unwrap_or_default())
        };
        self.stages.iter().filter_map(of_stage).fold(self.longest, Duration::max)
    }

    pub(super) fn report(&self, path: Path) -> PipelineReport {
        let took = self.last - self.first.unwrap_or(self.last);
        let best = self.best();
        let utilisation = |stage: &StageTotals| {
            let limit = stage.limit?;
            (!took.is_zero()).then(|| stage.work.as_secs_f64() / (took.as_secs_f64() * limit as f64))
        };
        PipelineReport {
            path,
            records: self.records,
            took,
            sequential: self.stages.iter().map(|stage| stage.work).sum(),
            best,
            efficiency: if took.is_zero() { 1.0 } else { (best.as_secs_f64() / took.as_secs_f64()).min(1.0) },
            stages: self
                .stages
                .iter()
                .map(|stage| StageReport {
                    name: stage.name.clone(),
                    limit: stage.limit,
                    records: stage.records,
                    work: stage.work,
                    waited: stage.waited,
                    utilisation: utilisation(stage),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(times: &[u64], limit: Option<usize>, records: usize) -> PipelineStages {
        let times: Vec<Duration> = times.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let mut stages = PipelineStages::default();
        for _ in 0..records {
            for (place, took) in times.iter().enumerate() {
                stages.pass(place, "stage", limit, Duration::ZERO, *took);
            }
            stages.end_record(&times, Duration::ZERO, Duration::from_secs(1));
        }
        stages
    }

    #[test]
    fn unlimited_stages_are_bounded_by_the_longest_record() {
        assert_eq!(stages(&[100, 200, 150], None, 3).best(), Duration::from_millis(450));
    }

    #[test]
    fn single_workers_are_bounded_by_the_slowest_stage() {
        assert_eq!(stages(&[100, 200, 150], Some(1), 3).best(), Duration::from_millis(850));
    }

    #[test]
    fn several_workers_share_the_work_of_a_stage() {
        // 300 records, 10 a stage: 100 + 300 × 200 / 10 + 150.
        assert_eq!(stages(&[100, 200, 150], Some(10), 300).best(), Duration::from_millis(6250));
    }

    #[test]
    fn a_record_that_stops_early_needs_no_time_behind_that() {
        let mut stages = stages(&[100, 200, 150], Some(1), 2);
        stages.pass(0, "stage", Some(1), Duration::ZERO, Duration::from_millis(100));
        stages.end_record(&[Duration::from_millis(100)], Duration::ZERO, Duration::from_secs(1));
        // Two records through all stages, one that ends after the first.
        assert_eq!(stages.best(), Duration::from_millis(100 + 2 * 200 + 150));
    }
}

//! How fast a run is, and when it will be done if it goes on like that.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What the rate is taken over, and what is looked back on to foretell the end: longer, for records differ.
const RATE: Duration = Duration::from_secs(5);
const OUTLOOK: Duration = Duration::from_secs(30);

/// Whoever looks more often than this adds no mark.
const APART: Duration = Duration::from_millis(50);

/// Nothing is foretold before this much time and so many records have passed.
const SOON: Duration = Duration::from_secs(2);
const FEW: u64 = 10;

/// How far the run was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    /// Records that are done, those replayed included.
    pub(super) done: u64,
    pub(super) replayed: u64,
    /// How much of the whole is done, in the unit of the whole.
    pub(super) amount: u64,
}

#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    marks: VecDeque<Mark>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let start = Mark { at: now, done: 0, replayed: 0, amount: 0 };
        Pace { began: now, marks: VecDeque::from([start]) }
    }

    /// Takes in how far the run is; gives the time since its beginning.
    pub(super) fn note(&mut self, mark: Mark) -> Duration {
        // The last mark is that of now; the one before stays unless it is too near to the one before that.
        let len = self.marks.len();
        if len >= 2 && mark.at - self.marks[len - 2].at < APART {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
        while self.marks.len() > 2 && mark.at - self.marks[1].at >= OUTLOOK {
            self.marks.pop_front();
        }
        mark.at - self.began
    }

    /// Records run in a second, over the last five; those replayed are not work.
    pub(super) fn rate(&self) -> f64 {
        let Some((then, now)) = self.over(RATE) else { return 0.0 };
        let run = now.done.saturating_sub(now.replayed).saturating_sub(then.done.saturating_sub(then.replayed));
        run as f64 / (now.at - then.at).as_secs_f64()
    }

    /// How long `left` will take at the pace of the last half minute; `None` as long as nothing can be said: at the
    /// beginning, while nothing moves, and while outcomes of an earlier session go by, which say nothing of those to come.
    pub(super) fn eta(&self, left: u64) -> Option<Duration> {
        let (then, now) = self.over(OUTLOOK)?;
        let replays = self.over(RATE).is_some_and(|(then, now)| now.replayed > then.replayed);
        if replays || now.at - self.began < SOON || now.done.saturating_sub(now.replayed) < FEW {
            return None;
        }
        // Begin where the last replay ended.
        let then = self.marks.iter().find(|mark| mark.at >= then.at && mark.replayed == now.replayed)?;
        let (amount, time) = (now.amount.saturating_sub(then.amount), now.at - then.at);
        if amount == 0 || time.is_zero() {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 * time.as_secs_f64() / amount as f64).ok()
    }

    /// The last mark, and the oldest that is no older than so much.
    fn over(&self, window: Duration) -> Option<(&Mark, &Mark)> {
        let now = self.marks.back()?;
        let then = self.marks.iter().find(|mark| now.at - mark.at <= window)?;
        (now.at > then.at).then_some((then, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten looks a second at a run that does so many records in each, of ten bytes.
    fn after(looks: u32, done: impl Fn(u32) -> (u64, u64)) -> Pace {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for look in 1..=looks {
            let (run, replayed) = done(look);
            let at = start + look * Duration::from_millis(100);
            pace.note(Mark { at, done: run + replayed, replayed, amount: 10 * (run + replayed) });
        }
        pace
    }

    #[test]
    fn a_steady_run_is_foretold() {
        let pace = after(100, |look| (u64::from(look) * 5, 0));
        assert!((pace.rate() - 50.0).abs() < 0.1, "{}", pace.rate());
        assert_eq!(pace.eta(5_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        // It comes to a halt after ten seconds.
        let stalled = after(160, |look| (u64::from(look.min(100)), 0));
        assert_eq!(stalled.rate(), 0.0);
        let for_good = after(450, |look| (u64::from(look.min(100)), 0));
        assert_eq!(for_good.eta(5_000), None, "nothing moves: nobody knows");
    }

    #[test]
    fn nothing_is_foretold_at_the_beginning() {
        assert_eq!(after(15, |look| (u64::from(look) * 5, 0)).eta(5_000), None, "too soon");
        assert_eq!(after(100, |look| (u64::from(look) / 20, 0)).eta(5_000), None, "too few records");
        assert_eq!(after(0, |_| (0, 0)).eta(5_000), None);
    }

    #[test]
    fn what_is_replayed_is_neither_rate_nor_outlook() {
        let replaying = after(50, |look| (20, u64::from(look) * 1_000));
        assert_eq!(replaying.eta(5_000), None, "replays tell nothing of what is to be run");
        let then_run = after(150, |look| (u64::from(look.saturating_sub(50)) * 5, u64::from(look.min(50)) * 1_000));
        assert!((then_run.rate() - 50.0).abs() < 0.1, "{}", then_run.rate());
        assert_eq!(then_run.eta(5_000), Some(Duration::from_secs(10)));
    }

    #[test]
    fn looking_often_keeps_few_marks() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for look in 0..100_000u32 {
            let at = start + look * Duration::from_millis(1);
            pace.note(Mark { at, done: u64::from(look), replayed: 0, amount: 0 });
        }
        assert!(pace.marks.len() < 700, "{}", pace.marks.len());
        assert!((pace.rate() - 1000.0).abs() < 1.0, "{}", pace.rate());
    }
}

//! The retention of old journals.

use std::collections::HashMap;
use std::path::Path;

use llmspell::Result;

use super::{folder, info};

/// The runs that [`Journals::prune`](super::Journals::prune) keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The number of complete runs kept for each flow, the latest first. The default is 20.
    pub keep: usize,
    /// The maximum size of all runs together in bytes; beyond it, more complete runs are removed. The default is 10
    /// GiB.
    pub max_size: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { keep: 20, max_size: 10 << 30 }
    }
}

/// Within a flow, the age of runs follows their numbers; between flows, the time at which they began. So a wrong clock
/// can change which complete run is removed first, and nothing else.
pub(super) fn prune(folder: &Path, retention: &Retention) -> Result<Vec<String>> {
    let names = folder::names(folder)?;
    let mut total: u64 = names.iter().map(|name| folder::size(folder, name)).sum();
    let runs: Vec<_> = names.into_iter().map(|name| info::read_summary(folder, name)).collect();
    let mut surplus: Vec<_> = runs.iter().filter(|run| run.is_unused()).map(|run| run.name.clone()).collect();
    let mut complete: Vec<_> = runs.into_iter().filter(|run| run.is_complete()).collect();
    complete.sort_by_cached_key(|run| {
        let number = folder::number(&run.name).map_or(0, |(_, number)| number);
        std::cmp::Reverse((run.record.as_ref().ok().and_then(|record| record.began.clone()), number))
    });
    let mut of_flow = HashMap::<String, usize>::new();
    let mut others = Vec::new();
    let mut by_number: Vec<_> = complete.iter().collect();
    by_number.sort_by_key(|run| std::cmp::Reverse(folder::number(&run.name).map_or(0, |(_, number)| number)));
    for run in by_number {
        let flow = folder::number(&run.name).map_or(run.name.as_str(), |(flow, _)| flow);
        let kept = of_flow.entry(flow.to_owned()).or_default();
        *kept += 1;
        if *kept > retention.keep { surplus.push(run.name.clone()) } else { others.push(run.name.clone()) }
    }
    let oldest_first = complete.iter().rev().map(|run| &run.name).filter(|name| others.contains(name));
    let mut gone = Vec::new();
    for (name, is_surplus) in surplus.iter().map(|name| (name, true)).chain(oldest_first.map(|name| (name, false))) {
        if !is_surplus && total <= retention.max_size {
            break;
        }
        // Another process may have resumed it meanwhile.
        let Some(lock) = folder::try_lock(folder, name)? else { continue };
        total = total.saturating_sub(folder::size(folder, name));
        folder::remove(folder, name, lock)?;
        gone.push(name.clone());
    }
    for name in folder::orphaned_locks(folder)? {
        let Some(lock) = folder::try_lock(folder, &name)? else { continue };
        // Another process may have begun a run of this name meanwhile.
        if !folder::db_path(folder, &name).exists() {
            folder::remove(folder, &name, lock)?;
        }
    }
    Ok(gone)
}

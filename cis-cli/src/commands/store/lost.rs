//! Losses of a damaged store, in words and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use cis_store::maintenance::{LostEvents, LostOf, NamedRun, lost_with};
use serde_json::{Value, json};

use crate::output::clean::clean;

/// Maximum number of ranges of events that are listed one by one.
const RANGES_MAX: usize = 20;

/// Returns lines that begin with a dash.
pub(super) fn human(events: &[LostEvents], end: bool, tables: &[String]) -> String {
    let mut text = String::new();
    for lost in events.iter().take(RANGES_MAX) {
        let count = lost.to - lost.from + 1;
        let offsets = match count {
            1 => format!("event {}", lost.from),
            _ => format!("{count} events, {} to {}", lost.from, lost.to),
        };
        let of = match lost.run {
            LostOf::Run(run) => format!(" of run {run}"),
            LostOf::Node => " of the node itself, or of a session without a run".to_owned(),
            LostOf::Unknown => " of an unknown run".to_owned(),
        };
        let _ = writeln!(text, "- {offsets}{of}");
    }
    if let Some(more) = events.len().checked_sub(RANGES_MAX).filter(|more| *more > 0) {
        let rest: u64 = events[RANGES_MAX..].iter().map(|lost| lost.to - lost.from + 1).sum();
        let _ = writeln!(text, "- {rest} more events at {more} places");
    }
    if end {
        text.push_str("- the newest events, if there were any after the last one that can be read\n");
    }
    for table in tables {
        let _ = writeln!(text, "- table {table}: {}", lost_with(table));
    }
    text
}

/// Returns a line for each run that had ended and lacks events.
pub(super) fn incomplete(runs: &[NamedRun]) -> String {
    let line = |run: &NamedRun| {
        let (id, dag) = (run.id, clean(&run.dag));
        format!(
            "Run {id} ({dag}) had ended. Some of its events are lost, so what `cis dag show {id}` shows may be incomplete.\n"
        )
    };
    runs.iter().map(line).collect()
}

/// Returns what to do about runs or sessions that are unknown to the store.
pub(super) fn newest(logs: &Path) -> String {
    format!(
        "`cis store rebuild` cannot restore events that are not in the store. Restore a newer backup (`cis store restore --force \
         FILE`), or start the runs again. Their logs stay in {} for 7 days.\n",
        clean(&logs.display().to_string())
    )
}

/// Returns the ids of runs.
pub(super) fn ids(runs: &[NamedRun]) -> Vec<String> {
    runs.iter().map(|run| run.id.to_string()).collect()
}

/// Returns one object per range.
pub(super) fn json(events: &[LostEvents]) -> Vec<Value> {
    let one = |lost: &LostEvents| {
        let run = match lost.run {
            LostOf::Run(run) => Some(run.to_string()),
            LostOf::Node | LostOf::Unknown => None,
        };
        json!({ "from": lost.from, "to": lost.to, "run": run, "run_known": lost.run != LostOf::Unknown })
    };
    events.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use cis_core::ids::RunId;

    use super::*;

    #[test]
    fn losses_are_listed_with_their_run() {
        let run: RunId = "01JD0V3Z8K6T9W2B5N7Q4R1XEC".parse().unwrap();
        let lost = |from, to, run| LostEvents { from, to, run };
        let mut events = vec![lost(3, 3, LostOf::Run(run)), lost(7, 9, LostOf::Node)];
        let text = human(&events, true, &["inputs".to_owned()]);
        assert_eq!(
            text,
            "- event 3 of run 01JD0V3Z8K6T9W2B5N7Q4R1XEC\n\
             - 3 events, 7 to 9 of the node itself, or of a session without a run\n\
             - the newest events, if there were any after the last one that can be read\n\
             - table inputs: which requests were already carried out: a repeated request counts as a new one\n"
        );
        events.extend((0..30).map(|n| lost(100 + 2 * n, 100 + 2 * n, LostOf::Unknown)));
        assert!(human(&events, false, &[]).ends_with("- 12 more events at 12 places\n"));
        assert_eq!(json(&events)[0]["run"], "01JD0V3Z8K6T9W2B5N7Q4R1XEC");
    }
}

//! Groups, and where time went.

use std::fmt::Write as _;

use cis_core::api::{GroupView, TimeSplit, TimeView};
use cis_core::text;

use crate::output::style::{self, ATTENTION, BOLD, DIM};
use crate::output::table::{Table, cell, plain};

/// `cis group list`.
pub(crate) fn groups(groups: &[GroupView]) -> String {
    if groups.is_empty() {
        return "No groups. `cis group set NAME --limit N` makes one.\n".to_owned();
    }
    let mut table = Table::new(&["GROUP", "RUN OR ROOM", "ACTIVE", "WAITING", "FROM", "NOTE"]);
    for group in groups {
        let full = if group.active >= group.limit { ATTENTION } else { style::PLAIN };
        table.row(vec![
            cell(&group.name, BOLD),
            plain(group.run.map(|run| run.short()).or_else(|| group.room.clone()).unwrap_or_default()),
            cell(format!("{}/{}", group.active, group.limit), full),
            plain(if group.waiting == 0 { String::new() } else { group.waiting.to_string() }),
            plain(&group.origin),
            plain(if group.frees_when_blocked { "frees when blocked" } else { "" }),
        ]);
    }
    table.render()
}

fn ms(ms: i64) -> String {
    text::duration(u64::try_from(ms).unwrap_or(0))
}

/// Nothing for none, so that a table shows where time went at a glance.
fn some(part: i64) -> String {
    if part == 0 { String::new() } else { ms(part) }
}

/// `cis dag show --time`.
pub(crate) fn times(view: &TimeView) -> String {
    if view.from_ms.is_none() {
        return "The run was not started yet.\n".to_owned();
    }
    let mut table = Table::new(&["TASK", "STATE", "QUEUE", "MACHINE", "HUMAN", "CRITICAL"]);
    for task in &view.tasks {
        let TimeSplit { queue_ms, machine_ms, human_ms } = task.split;
        table.row(vec![
            plain(task.task.as_str()),
            cell(task.state.as_str(), style::task(task.state)),
            plain(some(queue_ms)),
            plain(some(machine_ms)),
            cell(some(human_ms), if human_ms > 0 { ATTENTION } else { style::PLAIN }),
            plain(if task.critical { "yes" } else { "" }),
        ]);
    }
    let mut out = table.render();
    let _ = writeln!(out, "\n{BOLD}Critical path{BOLD:#}: {}", sum(view));
    let from = view.from_ms.unwrap_or_default();
    let mut table = Table::new(&["AT", "TASK", "QUEUE", "MACHINE", "HUMAN"]);
    for step in &view.path {
        let TimeSplit { queue_ms, machine_ms, human_ms } = step.split;
        let task = step.task.as_ref().map_or("(between tasks)", |task| task.as_str());
        table.row(vec![
            plain(format!("+{}", ms(step.from_ms - from))),
            plain(task),
            plain(some(queue_ms)),
            plain(some(machine_ms)),
            plain(some(human_ms)),
        ]);
    }
    if !view.path.is_empty() {
        out.push_str(&table.render());
    }
    out
}

/// `1m 20s = queue 8.0s + machine 1m 02s + human 10s`
pub(crate) fn sum(view: &TimeView) -> String {
    let TimeSplit { queue_ms, machine_ms, human_ms } = view.critical;
    let parts = format!("queue {} + machine {} + human {}", ms(queue_ms), ms(machine_ms), ms(human_ms));
    format!("{} {DIM}={DIM:#} {parts}", ms(view.wall_ms))
}

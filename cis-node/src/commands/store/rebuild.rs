//! `cis store rebuild`.

use std::fmt::Write as _;

use cis_core::dag;
use cis_core::event::RunCreated;
use cis_core::store::{Blobs, TaskSeed, maintenance};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Makes the store anew from the events that can be read
///
/// The old file stays beside the new one. No node may run: `cis node stop` ends it; its sessions go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node stop
  cis store rebuild")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    super::not_in_session(context, "store rebuild")?;
    let blobs = Blobs::new(&context.home.dir);
    let report = maintenance::rebuild(&context.home.database(), |facts| tasks_of(&blobs, facts))
        .map_err(|error| super::failed(&error))?;
    let lost: u64 = report.lost_events.iter().map(|(from, to)| to - from + 1).sum();
    let answer = json!({
        "events": report.events,
        "lost_events": report.lost_events,
        "end_lost": report.end_lost,
        "torn_tables": report.torn_tables,
        "kept": report.kept.display().to_string(),
    });
    output::show(context, &answer, |_| {
        let mut text = format!("The new store has {} events.\n", report.events);
        if lost > 0 {
            let _ = writeln!(text, "{lost} events could not be read.");
        }
        if report.end_lost {
            text.push_str("The newest events could not be read, either.\n");
        }
        for table in &report.torn_tables {
            let _ = writeln!(text, "Something of the table {} is lost.", clean(table));
        }
        let _ = writeln!(text, "The old store is {}", clean(&report.kept.display().to_string()));
        text
    })?;
    Ok(Exit::OK)
}

/// The tasks of a run's file, where it can still be read.
fn tasks_of(blobs: &Blobs, facts: &RunCreated) -> Option<Vec<TaskSeed>> {
    let text = blobs.get(&facts.spec).ok().flatten()?;
    let dag = dag::parse(&text, &facts.source).ok()?;
    Some(dag.tasks.into_iter().map(|task| TaskSeed { id: task.id, needs: task.needs }).collect())
}

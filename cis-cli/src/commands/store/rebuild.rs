//! `cis store rebuild`.

use std::fmt::Write as _;

use cis_core::dag;
use cis_core::event::RunCreated;
use cis_node::upkeep::{self, UnknownOwners};
use cis_store::maintenance::{self, RebuildReport};
use cis_store::{Blobs, TaskSeed};
use serde_json::json;

use super::lost;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::{clean, clean_lines};

/// Rebuild the store from the events that can be read
///
/// Lists what could not be read. Open runs that lack events end with an error. The old file stays next to the new
/// one. No node may be running: `cis node stop` stops it; its sessions continue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node stop
  cis store rebuild")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    super::not_in_session(context, "store rebuild")?;
    // An empty store in place of a lost one would look like a home in which nothing has ever run.
    upkeep::refuse_gone(&context.home).map_err(|gone| CliError::unavailable(gone.to_string()))?;
    let blobs = Blobs::new(&context.home.dir);
    let report = maintenance::rebuild(&context.home.database(), |facts| tasks_of(&blobs, facts))
        .map_err(|error| super::failed(&error))?;
    let ranges: Vec<_> = report.lost.iter().map(|lost| (lost.from, lost.to)).collect();
    let answer = json!({
        "events": report.events,
        "lost_events": ranges,
        "lost": lost::json(&report.lost),
        "end_lost": report.end_lost,
        "torn_tables": report.torn_tables,
        "ended_runs": lost::ids(&report.ended),
        "incomplete_runs": lost::ids(&report.incomplete),
        "hidden_runs": report.hidden.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kept": report.kept.display().to_string(),
    });
    // The new store is in place: that this cannot be found out is no failure.
    let unknown = UnknownOwners::after_rebuild(&context.home).unwrap_or_default();
    output::show(context.json, &answer, |_| {
        let mut text = human(&report, &unknown.findings());
        if !unknown.is_empty() {
            text.push_str(&lost::newest(&context.home.logs()));
        }
        text
    })?;
    Ok(Exit::OK)
}

/// `unknown`: runs and sessions that the old store did not know either, in words.
fn human(report: &RebuildReport, unknown: &[String]) -> String {
    let mut text = format!("The new store has {} events.\n", report.events);
    let lost = lost::human(&report.lost, report.end_lost, &report.torn_tables);
    match (lost.is_empty(), unknown.is_empty()) {
        (true, true) => text.push_str("Nothing is lost.\n"),
        (true, false) => text.push_str("Every event of the old store is saved. Lost before:\n"),
        (false, _) => text.push_str("Lost:\n"),
    }
    text.push_str(&clean_lines(&lost));
    for what in unknown {
        let _ = writeln!(text, "- {what}");
    }
    for run in &report.ended {
        let (id, dag) = (run.id, clean(&run.dag));
        let _ = writeln!(
            text,
            "Run {id} ({dag}) was open and has ended with an error: some of its events are lost. Look at it with \
             `cis dag show {id}`, then start it anew with `cis dag run`."
        );
    }
    text.push_str(&lost::incomplete(&report.incomplete));
    for run in &report.hidden {
        let _ = writeln!(text, "Run {run} is not listed any more: its first event is lost.");
    }
    let _ = writeln!(text, "The old store is {}", clean(&report.kept.display().to_string()));
    text
}

/// The tasks of a run's file, where it can still be read.
fn tasks_of(blobs: &Blobs, facts: &RunCreated) -> Option<Vec<TaskSeed>> {
    let text = blobs.get(&facts.spec).ok().flatten()?;
    let dag = dag::parse_accepted(&text, &facts.source).ok()?;
    Some(dag.tasks.into_iter().map(|task| TaskSeed { id: task.id, needs: task.needs }).collect())
}

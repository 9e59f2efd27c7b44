//! `cis store check`.

use std::fmt::Write as _;

use cis_node::upkeep::{self, UnknownOwners};
use cis_store::maintenance::{self, CheckReport, Losses, Verdict};
use serde_json::{Value, json};

use super::lost;
use super::meter::Meter;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{
    self,
    clean::{clean, clean_lines},
};

/// Check the store: the file, every event, that the tables match the events, and that all runs with logs are known
///
/// Only reads, and can run while a node is running. The exit code is 0 if the store is intact, and 3 if it is
/// damaged.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis store check
  cis store check --quick
  cis store check --deep")]
pub(crate) struct Args {
    /// Only check the structure of the file, which is fast
    #[arg(long)]
    quick: bool,
    /// Also check that every file that the store refers to exists and is unchanged
    #[arg(long, conflicts_with = "quick")]
    deep: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let path = context.home.database();
    upkeep::refuse_half_restored(&context.home).map_err(|half| CliError::unavailable(half.to_string()))?;
    let gone = upkeep::refuse_gone(&context.home).err();
    let mut report = match &gone {
        Some(gone) => CheckReport::of_nothing(&gone.to_string()),
        None => maintenance::check(&path, args.quick).map_err(|error| super::failed(&error))?,
    };
    let of_store = report.findings.len();
    let unknown = match of_store {
        0 if !args.quick => UnknownOwners::find(&context.home).map_err(super::upkeep_failed)?,
        _ => UnknownOwners::default(),
    };
    report.findings.extend(unknown.findings());
    let mut logs_left_out = 0;
    // The files that a store refers to are unknown without it.
    if args.deep && gone.is_none() {
        let mut meter = Meter::new(context, "check");
        let files = upkeep::deep_check(&context.home, &mut |at| meter.show(at));
        let files = files.map_err(super::upkeep_failed)?;
        report.findings.extend(files.findings);
        logs_left_out = files.logs_left_out;
    }
    let sound = report.findings.is_empty();
    let answer = json!({
        "path": path.display().to_string(),
        "sound": sound,
        "events": report.events,
        "unknown_events": report.unknown_events,
        "findings": report.findings,
        "node_can_start": !matches!(&report.verdict, Verdict::Damaged { node: Err(_), .. }),
        "rebuild_loses": losses(&report.verdict),
        "logs_left_out": logs_left_out,
    });
    output::show(context.json, &answer, |_| {
        let mut text = String::new();
        for finding in &report.findings {
            let _ = writeln!(text, "- {}", clean_lines(finding));
        }
        let verdict = match (sound, of_store) {
            (true, _) => "sound",
            (false, 0) if !unknown.is_empty() => "intact, but it has lost its newest events",
            (false, 0) => "sound, but files are missing or damaged: restore them from a backup",
            (false, _) => "damaged",
        };
        let _ = writeln!(text, "{} events; the store is {verdict}", report.events);
        let logs = match logs_left_out {
            0 => None,
            1 => Some("1 log is".to_owned()),
            count => Some(format!("{count} logs are")),
        };
        if let Some(logs) = logs {
            let _ = writeln!(
                text,
                "{logs} not here, of runs and sessions that had ended when the backup was made that this home was \
                 restored from: it was made without `--logs`."
            );
        }
        if !unknown.is_empty() {
            text.push_str(&lost::newest(&context.home.logs()));
        }
        if gone.is_some() {
            text.push_str("No node can start, and there is nothing that `cis store rebuild` could save.\n");
        } else if let Verdict::Damaged { node, lost } = &report.verdict {
            text.push_str(&meaning(node, lost.as_ref()));
        }
        text
    })?;
    Ok(if sound { Exit::OK } else { Exit(3) })
}

/// What a rebuild would lose, as JSON; null: nothing is damaged, or a node runs.
fn losses(verdict: &Verdict) -> Value {
    let Verdict::Damaged { lost: Some(lost), .. } = verdict else { return Value::Null };
    json!({
        "events": lost::json(&lost.events),
        "end": lost.end,
        "tables": lost.tables,
        "ended_runs": lost::ids(&lost.ended),
        "incomplete_runs": lost::ids(&lost.incomplete),
    })
}

/// Explains what the damage means and what to do.
fn meaning(node: &Result<(), String>, lost: Option<&Losses>) -> String {
    let mut text = String::new();
    let _ = match node {
        Ok(()) => writeln!(
            text,
            "A node can start with this store. Requests that need damaged pages fail, and each write can damage more."
        ),
        Err(why) => writeln!(text, "No node can start with this store: {}", clean_lines(why)),
    };
    let Some(lost) = lost else {
        text.push_str("To see what `cis store rebuild` can save, stop the node first: `cis node stop`.\n");
        return text;
    };
    if *lost == Losses::default() {
        text.push_str("`cis store rebuild` repairs the store and loses nothing: every event can be read.\n");
        return text;
    }
    text.push_str("`cis store rebuild` saves everything except:\n");
    text.push_str(&lost::human(&lost.events, lost.end, &lost.tables));
    for run in &lost.ended {
        let (id, dag) = (run.id, clean(&run.dag));
        let _ = writeln!(
            text,
            "Run {id} ({dag}) is open and would end with an error: some of its events are lost, and a finished task \
             of it might run a second time."
        );
    }
    text.push_str(&lost::incomplete(&lost.incomplete));
    text.push_str("If you need this data, restore a backup instead: `cis store restore --force FILE`.\n");
    text
}

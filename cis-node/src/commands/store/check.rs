//! `cis store check`.

use std::fmt::Write as _;

use cis_core::node::upkeep;
use cis_core::store::maintenance;
use serde_json::json;

use super::meter::Meter;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean_lines};

/// Checks the store: the file, every event, and that the tables say what the events say
///
/// It reads only, and may run beside a node. Exit code 0: sound; 3: something is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis store check
  cis store check --quick
  cis store check --deep")]
pub(crate) struct Args {
    /// Only the structure of the file, which is fast
    #[arg(long)]
    quick: bool,
    /// Also every file that the store refers to: is it there, and is it what it was?
    #[arg(long, conflicts_with = "quick")]
    deep: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let path = context.home.database();
    let mut report = maintenance::check(&path, args.quick).map_err(|error| super::failed(&error))?;
    let of_store = report.findings.len();
    if args.deep {
        let mut meter = Meter::new(context, "check");
        let files = upkeep::deep_check(&context.home, &mut |at| meter.show(at));
        report.findings.extend(files.map_err(super::upkeep_failed)?);
    }
    let sound = report.findings.is_empty();
    let answer = json!({
        "path": path.display().to_string(),
        "sound": sound,
        "events": report.events,
        "unknown_events": report.unknown_events,
        "findings": report.findings,
    });
    output::show(context, &answer, |_| {
        let mut text = String::new();
        for finding in &report.findings {
            let _ = writeln!(text, "- {}", clean_lines(finding));
        }
        let verdict = match (sound, of_store) {
            (true, _) => "sound",
            (false, 0) => "sound, but files are missing or damaged: bring them back from a backup",
            (false, _) => "damaged; `cis store rebuild` saves what can be read",
        };
        let _ = writeln!(text, "{} events; the store is {verdict}", report.events);
        text
    })?;
    Ok(if sound { Exit::OK } else { Exit(3) })
}

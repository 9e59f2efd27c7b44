//! `cis store gc`.

use std::fmt::Write as _;

use cis_core::api::{CleanReport, CleanStore};
use cis_core::event::{Actor, ActorKind, Via};
use cis_core::text;
use cis_local::ConnectError;
use cis_node::config::{Kind, Value};
use cis_node::upkeep;

use crate::commands::node::probe::{ENDING_PAUSE, Probe, probe};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::lock_holders;
use crate::output::{self, clean::clean};

/// Remove logs, artifacts and other files of ended runs, by age and size
///
/// Removes files of the oldest ended runs first. Keeps all files of open runs, and files that anything else refers
/// to. Also keeps the record of each run: its tasks, their results, its events. The node does the same once a day, as
/// `[retention]` of the configuration says; options that you do not give have their values from there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis store gc --dry-run
  cis store gc --older-than 7d
  cis store gc --max-size 2GB")]
pub(crate) struct Args {
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Remove files of runs that ended longer ago, such as `30d` or `12h`; `unlimited`: no limit by age
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<u64>,
    /// Remove files of the oldest runs until the rest is at most this large, such as `10GB`; `unlimited`: no limit by
    /// size
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
}

fn time(text: &str) -> Result<u64, String> {
    limit(Kind::TimeOrUnlimited, text)
}

fn size(text: &str) -> Result<u64, String> {
    limit(Kind::SizeOrUnlimited, text)
}

/// The largest number of the API: a JSON number that every program reads exactly (RFC 8259, section 6).
const UNLIMITED: u64 = (1 << 53) - 1;

/// No limit is one that is never reached.
fn limit(kind: Kind, text: &str) -> Result<u64, String> {
    match kind.read(text)? {
        Value::Number(number) => Ok(number.unwrap_or(UNLIMITED)),
        Value::Text(_) | Value::Flag(_) => Err(format!("must be {}", kind.form())),
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let request = CleanStore { dry_run: args.dry_run, max_age_ms: args.older_than, max_bytes: args.max_size };
    if !context.is_remote() {
        super::note_waiting(context, !args.dry_run);
    }
    let report = clean_store(context, &request)?;
    output::show(context.json, &report, human)?;
    Ok(if report.failed.is_empty() { Exit::OK } else { Exit::ERROR })
}

/// By the node, where one runs: it knows what it is about to use.
fn clean_store(context: &Context, request: &CleanStore) -> Result<CleanReport, CliError> {
    loop {
        let place = context.place();
        if context.may_start_node() && matches!(place.connect(), Err(ConnectError::Absent { .. })) {
            break;
        }
        let cleaned = context.block_on(clean_by_node(context, request))?;
        if let Some(report) = cleaned {
            return Ok(report);
        }
        // That node was ending: soon there is none.
        std::thread::sleep(ENDING_PAUSE);
    }
    super::not_in_session(context, "store gc")?;
    if !context.home.database().exists() {
        return Err(CliError::bad_input(format!("no store in {}", context.home.dir.display())));
    }
    let uid = rustix::process::getuid().as_raw();
    let actor = Actor { kind: ActorKind::Human, name: format!("uid:{uid}"), via: Via::Internal };
    let retention = context.config()?.settings.retention;
    upkeep::clean_without_node(&context.home, &retention, request, &actor).map_err(super::upkeep_failed)
}

/// Lets the node clean, which may take minutes. `None`: the node ended by itself.
async fn clean_by_node(context: &Context, request: &CleanStore) -> Result<Option<CleanReport>, CliError> {
    // A node that hangs must not hold this command.
    match probe(context).await? {
        Probe::Running(_) => context.check_overrides()?,
        Probe::Absent if context.may_start_node() => return Ok(None),
        Probe::Absent => {}
        Probe::Unresponsive(_) if was_ending(context) => return Ok(None),
        Probe::Unresponsive(node) => return Err(node.problem(&context.home)),
    }
    match context.client_of_running()?.clean_store(request).await {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.is_unprocessed() && context.may_start_node() => Ok(None),
        Err(error) if error.is_disconnected() && was_ending(context) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the node of the home, which could not be reached, has ended. Waits for one that is ending.
fn was_ending(context: &Context) -> bool {
    if !context.may_start_node() {
        return false;
    }
    // What is of interest is the end, not how it came.
    let _ = lock_holders::was_node_stopped(&context.home);
    lock_holders::is_absent(&context.home)
}

fn human(report: &CleanReport) -> String {
    let mut text = String::new();
    let verb = if report.dry_run { "Would remove" } else { "Removed" };
    let mut line = |count: u64, what: &str, bytes: u64| {
        if count > 0 || bytes > 0 {
            let s = if count == 1 { "" } else { "s" };
            let _ = writeln!(
                text,
                "{verb} {}",
                what.replace("{n}", &count.to_string()).replace("{s}", s)
                    + format!(" ({})", text::bytes(bytes)).as_str()
            );
        }
    };
    line(report.runs + report.sessions, "the logs of {n} run{s} or single session{s}", report.log_bytes);
    line(report.blobs, "{n} file{s} that nothing refers to any more", report.blob_bytes);
    line(report.leftovers, "{n} leftover{s} of crashes", report.leftover_bytes);
    if report.cache_entries > 0 {
        let _ = writeln!(text, "{verb} {} entries of the cache", report.cache_entries);
    }
    if text.is_empty() {
        text.push_str("Nothing to remove.\n");
    }
    if report.young_bytes > 0 {
        let young = text::bytes(report.young_bytes);
        let _ =
            writeln!(text, "{young} that nothing refers to are too new to be removed: again in 10 minutes");
    }
    for failed in &report.failed {
        let _ = writeln!(text, "Not removed: {}", clean(failed));
    }
    let _ = writeln!(text, "{} of logs and files are kept.", text::bytes(report.kept_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_their_units() {
        assert_eq!(time("7d"), Ok(7 * 86_400_000));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!((time("unlimited"), size("unlimited")), (Ok(UNLIMITED), Ok(UNLIMITED)));
        assert!(time("7").unwrap_err().contains("unit"));
        assert!(size("much").is_err());
    }

    #[test]
    fn a_report_says_what_went_and_what_stays() {
        let report =
            CleanReport { runs: 1, log_bytes: 2000, young_bytes: 5, kept_bytes: 7, ..CleanReport::default() };
        let text = human(&report);
        assert_eq!(
            text,
            "Removed the logs of 1 run or single session (2.0 KB)\n5 B that nothing refers to are too new to be removed: again in 10 minutes\n7 B of logs and files are kept.\n"
        );
        assert!(human(&CleanReport::default()).starts_with("Nothing to remove.\n"));
    }
}

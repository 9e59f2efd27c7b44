//! `cis store restore`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use cis_core::text;
use cis_node::upkeep;
use serde_json::json;

use super::meter::Meter;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Makes the home what it was when a backup was made
///
/// Nothing is changed before the whole backup was read and every file in it found to be what was written. No node
/// may run, and no session live: `cis node stop --kill-sessions`. Runs that had not ended go on when a node
/// starts; what ran at the time of the backup runs again, and so does what ended after it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis store restore cis.tar
  cis store restore --force cis.tar
  cis --home /tmp/look store restore cis.tar
  ssh backup 'zstd -dc cis.tar.zst' | cis store restore -")]
pub(crate) struct Args {
    /// The backup; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also where the home is not empty; what is there stays beside it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    super::not_in_session(context, "store restore")?;
    let from: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(&args.file);
        Box::new(opened.map_err(|e| {
            CliError::bad_input(format!("cannot read the backup {}: {e}", args.file.display()))
        })?)
    };
    let mut meter = Meter::new(context, "restore");
    let from = BufReader::with_capacity(1 << 20, from);
    let report = upkeep::restore(&context.home, from, args.force, &mut |at| meter.show(at));
    drop(meter);
    let report = report.map_err(super::upkeep_failed)?;
    let kept = report.kept.map(|kept| kept.display().to_string());
    let home = context.home.dir.display().to_string();
    let answer = json!({
        "home": home,
        "files": report.files,
        "bytes": report.bytes,
        "made_ms": report.made_ms,
        "kept": kept,
    });
    output::show(context.json, &answer, |_| {
        let mut text = format!("{}: {} files, {}\n", clean(&home), report.files, text::bytes(report.bytes));
        if let Some(kept) = &kept {
            text += format!("What was there before is {}\n", clean(kept)).as_str();
        }
        text += "`cis node start` (or any command) goes on with its runs.\n";
        text
    })?;
    Ok(Exit::OK)
}

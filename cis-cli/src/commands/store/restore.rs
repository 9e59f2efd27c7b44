//! `cis store restore`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use cis_core::text;
use cis_node::upkeep::{self, NotInBackup};
use serde_json::json;

use super::meter::Meter;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Restore the home from a backup
///
/// Checks the whole backup before it changes anything. No node and no session may be running: `cis node stop
/// --kill-sessions` ends them. Open runs continue when a node starts; tasks that were running at the time of the
/// backup, or ended after it, run again.
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
    /// Restore even if the home is not empty; its old contents are kept next to it
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
        "not_in_backup": report.not_in_backup,
    });
    output::show(context.json, &answer, |_| {
        let mut text = format!("{}: {} files, {}\n", clean(&home), report.files, text::bytes(report.bytes));
        if let Some(kept) = &kept {
            text += format!("The previous files are in {}\n", clean(kept)).as_str();
        }
        text.push_str(&only_there(&report.not_in_backup));
        text += "`cis node start` (or any command) continues its runs.\n";
        text
    })?;
    Ok(Exit::OK)
}

/// What to do about what was not in the backup, before the previous files are removed.
fn only_there(not_in_backup: &[NotInBackup]) -> String {
    if not_in_backup.is_empty() {
        return String::new();
    }
    let mut text =
        "The previous files contain what no backup has. Keep these files until everything in this list is \
                    replaced:\n"
            .to_owned();
    for what in not_in_backup {
        text += match what {
            NotInBackup::MatrixLogin => {
                "  the Matrix login and its room keys: `cis matrix login`, then \
                 `cis matrix verify --recovery-key-stdin`; without a recovery key, keep the old home\n"
            }
            NotInBackup::ApiTokens => "  tokens of the API: `cis node token create`\n",
            NotInBackup::ApiCertificate => {
                "  the certificate of the API: `cis node status` shows the fingerprint of the new one\n"
            }
            NotInBackup::RoomStatements => {
                "  what owners of rooms said: copy `room-statements.json` into the new home \
                 before a node starts\n"
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaces_the_login_replaces_its_room_keys_too() {
        let text = only_there(&[NotInBackup::MatrixLogin, NotInBackup::ApiTokens]);
        assert_eq!(
            text,
            "The previous files contain what no backup has. Keep these files until everything in this list is replaced:\n  \
             the Matrix login and its room keys: `cis matrix login`, then `cis matrix verify --recovery-key-stdin`; \
             without a recovery key, keep the old home\n  \
             tokens of the API: `cis node token create`\n"
        );
        assert_eq!(only_there(&[]), "");
    }
}

//! `cis dag export`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cis_core::text;

use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Write a run into a file that proves what happened
///
/// The run must be one that a room follows (--hybrid, --matrix): there, its coordinator signs each change. The file holds
/// the signed journal of the run, and what the owners of the room said about its nodes. Anybody who knows the DIDs of the
/// owners can check it with `cis dag verify`, without a node and without the room. Logs are not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag export
  cis dag export 4r1xec --output ship.jsonl
  cis dag export 4r1xec --output - | gzip > ship.jsonl.gz")]
pub(crate) struct Args {
    /// The run [default: the newest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The file to write; `-` writes to standard output [default: RUN.jsonl in the current directory]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    let (run, lines) = context.block_on(async {
        let run = run_or_newest(&client, args.run.as_deref()).await?;
        let view = client.run(&run).await?.run;
        Ok::<_, CliError>((view.id, client.run_export(&run).await?))
    })?;
    if args.output.as_deref() == Some(Path::new("-")) {
        // As it is: its last line has a digest of all.
        output::bytes(lines.as_bytes())?;
        return Ok(Exit::OK);
    }
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{run}.jsonl")));
    written(&path, lines.as_bytes())
        .map_err(|error| CliError::bad_input(format!("cannot write {}: {error}", path.display())))?;
    let written =
        Written { run: run.to_string(), file: path.display().to_string(), bytes: lines.len() as u64 };
    output::show(context.json, &written, |written| {
        let Written { file, bytes, .. } = written;
        let file = output::clean::clean(file);
        format!("Wrote {file} ({}). Check it with: cis dag verify {file} --owner DID\n", text::bytes(*bytes))
    })?;
    Ok(Exit::OK)
}

#[derive(serde::Serialize)]
struct Written {
    run: String,
    file: String,
    bytes: u64,
}

/// Writes the file whole, or not at all.
fn written(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".part-{}", std::process::id()));
    let part = path.with_file_name(name);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
    let done = made.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    if done.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&part);
    }
    done
}

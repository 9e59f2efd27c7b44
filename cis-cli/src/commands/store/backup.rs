//! `cis store backup`.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cis_core::text;
use cis_node::upkeep::{self, BackupReport};
use rustix::fs::{OFlags, fcntl_getfl, fstat};
use serde_json::json;

use super::meter::Meter;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Write a backup of the home to one file, also while the node is running
///
/// The backup contains a snapshot of the database, the files that it refers to (DAG files, environments, values of
/// outputs, artifacts), the node's keys, the configuration, and the logs of open runs. It contains secrets: everybody
/// who can read it can act as this node. Only you can read the file (0600); do not change that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis store backup cis.tar
  cis store backup --logs all.tar
  cis store backup - | zstd | ssh backup 'cat > cis.tar.zst'")]
pub(crate) struct Args {
    /// The new file; `-` writes to standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Include the logs of all runs
    #[arg(long)]
    logs: bool,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    super::not_in_session(context, "store backup")?;
    if args.file.as_os_str() == "-" {
        return to_stdout(context, args);
    }
    let folder = |of: &Path| fs::canonicalize(of).ok();
    let home = folder(&context.home.dir);
    if home.is_some_and(|home| folder(folder_of(&args.file)).is_some_and(|of| of.starts_with(home))) {
        let why = format!("cannot write the backup to {}: it is in the home", args.file.display());
        return Err(CliError::bad_input(why).hint("give a file in another directory"));
    }
    if let Ok(there) = fs::symlink_metadata(&args.file) {
        let name = args.file.display();
        if !there.is_file() && !there.is_symlink() {
            return Err(CliError::bad_input(format!("{name} is not a regular file")));
        }
        if !args.force {
            return Err(CliError::bad_input(format!("{name} already exists"))
                .hint("give another name, or --force to replace it"));
        }
    }
    let partial = Partial::make(&args.file)?;
    // Nothing is written into the home, whose disk may be full.
    let beside = folder_of(&args.file);
    let (report, out) = write(context, args, beside, BufWriter::with_capacity(1 << 20, &partial.file))?;
    drop(out);
    partial.finish(&args.file)?;
    let answer = json!({
        "file": args.file.display().to_string(),
        "files": report.files,
        "bytes": report.bytes,
        "missing": report.missing,
    });
    output::show(context.json, &answer, |_| {
        let name = args.file.display().to_string();
        let size = text::bytes(report.bytes);
        format!("{}: {} files, {size}\n", clean(&name), report.files)
    })?;
    warn(&report);
    Ok(Exit::OK)
}

fn to_stdout(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(CliError::bad_input("cannot write a backup to a terminal")
            .hint("redirect it: `cis store backup - > FILE`"));
    }
    if is_closed(&stdout) {
        return Err(CliError::bad_input("cannot write the backup: standard output is closed")
            .hint("redirect it: `cis store backup - > FILE`"));
    }
    let out = BufWriter::with_capacity(1 << 20, stdout.lock());
    let (report, _) = write(context, args, &context.home.dir, out)?;
    warn(&report);
    Ok(Exit::OK)
}

/// Whether a descriptor was closed when the program started: then the standard library opened /dev/null for reading and writing.
/// A shell opens it for writing only.
fn is_closed(fd: impl AsFd) -> bool {
    let flags = fcntl_getfl(&fd);
    let null = fs::metadata("/dev/null").map(|null| null.rdev());
    let is_null = fstat(&fd).is_ok_and(|of| null.is_ok_and(|null| of.st_rdev == null));
    is_null && flags.is_ok_and(|flags| flags.contains(OFlags::RDWR))
}

fn write<W: Write>(
    context: &Context,
    args: &Args,
    aside: &Path,
    out: W,
) -> Result<(BackupReport, W), CliError> {
    super::note_waiting(context, false);
    let mut meter = Meter::new(context, "backup");
    upkeep::backup(&context.home, aside, out, args.logs, &mut |at| meter.show(at))
        .map_err(super::upkeep_failed)
}

/// Returns the directory of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn warn(report: &BackupReport) {
    if !report.missing.is_empty() {
        let count = report.missing.len();
        output::note(&format!(
            "{count} files that the store refers to were not there: `cis store check --deep` names them.\n"
        ));
    }
}

/// What is written first, beside the place of the whole.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    fn make(target: &Path) -> Result<Self, CliError> {
        let Some(name) = target.file_name() else {
            return Err(CliError::bad_input(format!("invalid file name `{}`", target.display())));
        };
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        // In a directory of others, nobody knows the name before, and what is there is not used.
        let random = RandomState::new().hash_one(std::process::id());
        partial.push(format!(".partial-{random:016x}"));
        let path = target.with_file_name(partial);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file =
            opened.map_err(|e| CliError::bad_input(format!("cannot write {}: {e}", target.display())))?;
        Ok(Self { file, path })
    }

    /// On the disk, then in its place.
    fn finish(self, target: &Path) -> Result<(), CliError> {
        let done = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, target))
            .and_then(|()| File::open(folder_of(target)))
            .and_then(|folder| folder.sync_all());
        done.map_err(|e| CliError::unavailable(format!("cannot write {}: {e}", target.display())))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Where it has got its place it is not there any more.
        let _ = fs::remove_file(&self.path);
    }
}

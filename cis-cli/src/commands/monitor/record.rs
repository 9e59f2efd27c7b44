//! `cis monitor record`.

mod person;
mod played;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cis_core::monitor::recording::Header;
use cis_host::recorder::{RecordError, Start};
use person::End;

use crate::context::{Context, submitted_env};
use crate::error::{CliError, Exit};
use crate::output;
use crate::signals::die_by;
use crate::term::raw;

/// Record a command in this terminal, with evidence from the kernel
///
/// The command runs in its own terminal of the same size, and gets the keys that you type. The file is an asciicast
/// (version 3), which players can show. In addition to the output, it contains evidence from the kernel, four times a
/// second. Typed text that the terminal does not echo, such as passwords, is not recorded. With --scenarios, a file
/// provides the keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis monitor record -- ssh-keygen -f /tmp/key
  cis monitor record -o merge.cast --profile claude -- claude
  cis monitor record --scenarios tests/corpus/scenarios/rm.toml --scenario ask -o rm.cast
  asciinema play merge.cast")]
pub(crate) struct Args {
    /// The file of the recording, which must not exist yet [default: the program's name with `.cast`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The profile for reading its screen later
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// File with scenarios of a program: what to run, type and expect
    #[arg(long, value_name = "FILE", requires = "scenario", conflicts_with = "command")]
    scenarios: Option<PathBuf>,
    /// The scenario in that file
    #[arg(long, value_name = "NAME", requires = "scenarios")]
    scenario: Option<String>,
    /// The command
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "scenarios")]
    command: Vec<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if let (Some(file), Some(name)) = (&args.scenarios, &args.scenario) {
        return context.block_on(played::record(file, name, args.output.as_deref()));
    }
    if !raw::is_interactive() {
        return Err(CliError::bad_input("cannot record a person without a terminal")
            .hint("use --scenarios to take the keys from a file"));
    }
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    let program = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or("recording");
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{program}.cast")));
    let start = Start {
        argv: args.command.clone(),
        env: person_env(),
        directory: std::env::current_dir()
            .map_err(|error| CliError::bad_input(format!("cannot use this directory: {error}")))?,
        header: Header {
            size: raw::size(rustix::stdio::stdout()),
            started_ms: cis_local::now_ms(),
            command: args.command.join(" "),
            program: Some(program.to_owned()),
            scenario: None,
            profile: args.profile.clone(),
        },
    };
    match context.block_on(person::record(&start, create(&path)?))? {
        End::Exited(code) => {
            output::note(&format!("Recorded {} (exit code {code})\n", path.display()));
            Ok(Exit::OK)
        }
        End::Signal(number) => {
            output::note(&format!("Recorded {} (ended by signal {number})\n", path.display()));
            Ok(die_by(number))
        }
    }
}

fn person_env() -> BTreeMap<String, String> {
    submitted_env()
}

/// A new file that others cannot read: what a terminal showed may be anything.
fn create(path: &Path) -> Result<BufWriter<File>, CliError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        CliError::bad_input(format!("cannot create the recording {}: {error}", path.display()))
            .hint("name a file that does not exist yet with -o")
    })?;
    Ok(BufWriter::new(file))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: RecordError) -> CliError {
    match &error {
        RecordError::Program { .. } => CliError::bad_input(error.to_string()),
        RecordError::Io(_) => CliError::unavailable(error.to_string()),
    }
}

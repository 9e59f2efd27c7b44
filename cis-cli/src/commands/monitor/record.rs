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

use crate::context::{Context, submitted_env};
use crate::error::{CliError, Exit};
use crate::output;
use crate::term::raw;

/// Records a command in this terminal, with what the kernel shows meanwhile
///
/// The command runs in a terminal of its own, of this one's size; keys go through. The file is an asciicast
/// (version 3) that players show; beside the output it holds the kernel's evidence four times a second. What the
/// terminal does not show of what is typed, as passwords, is not in it. With --scenarios a file plays the person.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis monitor record -- ssh-keygen -f /tmp/key
  cis monitor record -o merge.cast --profile claude -- claude
  cis monitor record --scenarios tests/corpus/scenarios/rm.toml --scenario ask -o rm.cast
  asciinema play merge.cast")]
pub(crate) struct Args {
    /// The recording; it must not be there yet [default: the program's name with `.cast`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The profile that is to read its screen later
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Scenarios of a program: what to run, type and expect
    #[arg(long, value_name = "FILE", requires = "scenario", conflicts_with = "command")]
    scenarios: Option<PathBuf>,
    /// Which of them
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
        return Err(CliError::bad_input("a person is recorded at a terminal, and this is none")
            .hint("use --scenarios to have a file play the person"));
    }
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    let program = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or("recording");
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{program}.cast")));
    let start = Start {
        argv: args.command.clone(),
        env: person_env(),
        directory: std::env::current_dir()
            .map_err(|error| CliError::bad_input(format!("this directory cannot be used: {error}")))?,
        header: Header {
            size: raw::size(rustix::stdio::stdout()),
            started_ms: cis_local::now_ms(),
            command: args.command.join(" "),
            program: Some(program.to_owned()),
            scenario: None,
            profile: args.profile.clone(),
        },
    };
    let code = context.block_on(person::record(&start, create(&path)?))?;
    output::note(&format!("{} was recorded (exit code {code})\n", path.display()));
    Ok(Exit::OK)
}

fn person_env() -> BTreeMap<String, String> {
    submitted_env()
}

/// A new file that others cannot read: what a terminal showed may be anything.
fn create(path: &Path) -> Result<BufWriter<File>, CliError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        CliError::bad_input(format!("the recording {} cannot be made: {error}", path.display()))
            .hint("give the name of a file that is not there yet with -o")
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

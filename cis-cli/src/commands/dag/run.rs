//! `cis dag run`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;

use cis_client::{Client, input_id};
use cis_core::api::{CreateRun, RunView};

use super::place::{Agent, Place};
use crate::context::{Context, current_dir, submitted_env, submitted_umask};
use crate::ctrl_c::CtrlC;
use crate::dag_file::{self, DagFile};
use crate::error::{CliError, Exit};
use crate::follow::{Telling, Volume};
use crate::{follow, output};

/// Create a run of a DAG file and follow it to its end
///
/// Relative directories in the file start from the current directory. Ctrl+C cancels the run. If the terminal closes,
/// the run continues without this command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag run ship.toml
  cis dag run ship.toml --param branch=main
  cis dag run ship.toml --param notes=@CHANGES.md
  cis dag run ship.toml --param mention=@@ann
  cis dag run ship.toml --room '#builds:example.org'
  generate-dag | cis dag run - --detach
  cis dag run ship.toml --quiet
  cis dag run ship.toml --json | jq .type")]
pub(crate) struct Args {
    /// The DAG file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    how: How,
    /// Create the run without starting it, and print its id alone
    #[arg(long, conflicts_with = "detach")]
    create_only: bool,
    /// Start the run, print its id, and do not follow it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    quiet: Quiet,
}

/// The option `--quiet` of commands that follow a run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Quiet {
    /// Print only failures and what needs your attention; the exit code is the outcome
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

impl Quiet {
    /// How much is printed while a run is followed.
    pub(crate) fn volume(self) -> Volume {
        if self.quiet { Volume::Quiet } else { Volume::Normal }
    }
}

/// `--param`, wherever a file is taken.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Params {
    /// Value of a parameter of the file; may be given several times. NAME=@FILE takes the text of a file (UTF-8, at
    /// most 1 MiB), NAME=@@TEXT the text @TEXT
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Longest text of a file that becomes a parameter, bytes.
const PARAM_FILE_BYTES_MAX: u64 = 1 << 20;

/// Returns the value that `text` on the command line stands for: `@FILE` is the text of a file.
fn param_value(name: &str, text: &str) -> Result<String, CliError> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    if file.starts_with('@') {
        return Ok(file.to_owned());
    }
    let refused = |why: &dyn Display| {
        CliError::bad_input(format!("cannot read the file `{file}` of parameter `{name}`: {why}"))
            .hint(format!("to pass the text itself, double its first @: --param '{name}=@{text}'"))
    };
    if file.is_empty() {
        return Err(refused(&"the file name after @ is missing"));
    }
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(PARAM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(&error))?;
    if bytes.len() as u64 > PARAM_FILE_BYTES_MAX {
        return Err(refused(&"it is longer than 1 MiB; pass its path, and let the task read it"));
    }
    String::from_utf8(bytes).map_err(|_| refused(&"it is not UTF-8"))
}

impl Params {
    /// Returns the values by name, each name once. Reads files.
    pub(crate) fn by_name(&self) -> Result<BTreeMap<String, String>, CliError> {
        let mut all = BTreeMap::new();
        for (name, value) in &self.params {
            if all.insert(name.clone(), param_value(name, value)?).is_some() {
                return Err(CliError::bad_input(format!("duplicate parameter `{name}`")));
            }
        }
        Ok(all)
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let file = dag_file::read(&args.file)?;
    let request = request(context, file, &args.how, !args.create_only)?;
    let client = context.client()?;
    context.block_on(async {
        if args.create_only || args.detach {
            return print_id(context, &client.create_run(&request).await?);
        }
        follow_new(context, client, &request, args.quiet.volume()).await
    })
}

/// Makes a run and follows it to its end. Its first events are told as well.
pub(super) async fn follow_new(
    context: &Context,
    client: Client,
    request: &CreateRun,
    volume: Volume,
) -> Result<Exit, CliError> {
    let mut ctrl_c = CtrlC::listen()?;
    let run = ctrl_c.during(client.create_run(request)).await?;
    Box::pin(follow::follow(context, client, &run, Telling { history: 0, volume }, ctrl_c)).await
}

/// What the flags say of a new run.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    #[command(flatten)]
    pub(super) params: Params,
    /// Do not use cached results of earlier runs
    #[arg(long)]
    pub(super) no_cache: bool,
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) agent: Agent,
}

/// The request that makes a run of the file here.
pub(super) fn request(
    context: &Context,
    file: DagFile,
    how: &How,
    start: bool,
) -> Result<CreateRun, CliError> {
    let (mode, room) = how.place.of_new(context)?;
    Ok(CreateRun {
        text: file.text,
        source: file.source,
        workdir: current_dir()?,
        params: how.params.by_name()?,
        env: Some(submitted_env()),
        umask: Some(submitted_umask()),
        mode,
        room,
        use_agent: how.agent.used(),
        start,
        no_cache: how.no_cache,
        validate_only: false,
        input: input_id()?,
    })
}

/// The id alone, for scripts; as JSON the whole run.
pub(super) fn print_id(context: &Context, run: &RunView) -> Result<Exit, CliError> {
    output::show(context.json, run, |run| format!("{}\n", run.id))?;
    Ok(Exit::OK)
}

/// Follows a run that was there before, telling only what happens from now on; one that ended gives its outcome.
pub(super) async fn follow_from_here(
    context: &Context,
    client: Client,
    run: &RunView,
    volume: Volume,
) -> Result<Exit, CliError> {
    if let Some(code) = run.state.exit_code() {
        if volume == Volume::Normal {
            output::show(context.json, run, |run| {
                output::human::runs(std::slice::from_ref(run), cis_local::now_ms())
            })?;
        }
        return Ok(Exit(code));
    }
    let telling = Telling { history: run.last_offset, volume };
    Box::pin(follow::follow(context, client, run, telling, CtrlC::listen()?)).await
}

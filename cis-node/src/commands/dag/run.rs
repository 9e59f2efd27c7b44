//! `cis dag run`.

use std::collections::BTreeMap;

use cis_core::api::{CreateRun, RunView};
use cis_core::client::Client;
use cis_core::event::ExecutionMode;

use crate::context::{Context, current_dir, submitted_env, submitted_umask};
use crate::dag_file::{self, DagFile};
use crate::error::{CliError, Exit};
use crate::{follow, input_id, output};

/// Creates a run of a DAG file and follows it to its end
///
/// Relative directories of the file start from the current directory. The run goes on when this command is gone:
/// Ctrl+C cancels the run, closing the terminal only detaches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag run ship.toml
  cis dag run ship.toml --param branch=main
  generate-dag | cis dag run - --detach
  cis dag run ship.toml --json | jq .type")]
pub(crate) struct Args {
    /// The DAG file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    cache: NoCache,
    /// Create the run without starting it, and print its id alone
    #[arg(long, conflicts_with = "detach")]
    create_only: bool,
    /// Start the run, print its id, and do not follow it
    #[arg(long)]
    detach: bool,
}

/// `--param`, wherever a file is taken.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Params {
    /// Value of a parameter of the file; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,
}

/// `--no-cache`, wherever a file is taken.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct NoCache {
    /// Take no result of an earlier run from the cache
    #[arg(long)]
    no_cache: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

impl Params {
    /// By name; each once.
    pub(crate) fn by_name(&self) -> Result<BTreeMap<String, String>, CliError> {
        let mut all = BTreeMap::new();
        for (name, value) in &self.params {
            if all.insert(name.clone(), value.clone()).is_some() {
                return Err(CliError::bad_input(format!("the parameter `{name}` is given twice")));
            }
        }
        Ok(all)
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let file = dag_file::read(&args.file)?;
    let request = request(file, &args.params, args.cache, !args.create_only)?;
    let client = context.client()?;
    context.block_on(async {
        let run = client.create_run(&request).await?;
        if args.create_only || args.detach {
            return print_id(context, &run);
        }
        // Its first events are told as well.
        Box::pin(follow::follow(context, &client, &run, 0)).await
    })
}

/// The request that makes a run of the file here.
pub(super) fn request(
    file: DagFile,
    params: &Params,
    cache: NoCache,
    start: bool,
) -> Result<CreateRun, CliError> {
    Ok(CreateRun {
        text: file.text,
        source: file.source,
        workdir: current_dir()?,
        params: params.by_name()?,
        env: Some(submitted_env()),
        umask: Some(submitted_umask()),
        mode: ExecutionMode::Local,
        start,
        no_cache: cache.no_cache,
        validate_only: false,
        input: input_id::new()?,
    })
}

/// The id alone, for scripts; as JSON the whole run.
pub(super) fn print_id(context: &Context, run: &RunView) -> Result<Exit, CliError> {
    output::show(context, run, |run| format!("{}\n", run.id))?;
    Ok(Exit::OK)
}

/// Follows a run that was there before, telling only what happens from now on; one that ended gives its outcome.
pub(super) async fn follow_from_here(
    context: &Context,
    client: &Client,
    run: &RunView,
) -> Result<Exit, CliError> {
    if let Some(code) = run.state.exit_code() {
        output::show(context, run, |run| output::human::runs(std::slice::from_ref(run), input_id::now_ms()))?;
        return Ok(Exit(code));
    }
    Box::pin(follow::follow(context, client, run, run.last_offset)).await
}

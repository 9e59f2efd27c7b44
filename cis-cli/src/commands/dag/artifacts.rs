//! `cis dag artifacts`.

use std::path::{Path, PathBuf};

use cis_client::Client;
use cis_core::api::{Problem, ProblemKind, RunDetail, TaskView};
use cis_core::event::{ArtifactRecord, TaskState};
use cis_core::ids::TaskId;
use cis_core::text;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::table::{Table, plain};
use crate::place::{Folder, PlaceError};

/// List the artifacts of tasks, or copy them into a directory
///
/// When a task succeeds, the files that its key `artifacts` names are stored. The copies are those of its last
/// success, even if the original files have changed since. Nothing is written outside of DIR. Existing files are only
/// overwritten with --force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag artifacts
  cis dag artifacts build --json
  cis dag artifacts build --to /tmp/build
  cis dag artifacts --run 4r1xec --to out --force")]
pub(crate) struct Args {
    /// Only artifacts of this task [default: all tasks]
    #[arg(value_name = "TASK")]
    task: Option<String>,
    /// Copy them into this directory; without TASK, into one subdirectory per task
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long, requires = "to")]
    force: bool,
    /// The run [default: the newest]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

/// A file of a task.
#[derive(Debug, Serialize)]
struct Artifact {
    task: TaskId,
    #[serde(flatten)]
    file: ArtifactRecord,
}

#[derive(Serialize)]
struct Listing<'a> {
    items: &'a [Artifact],
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = run_or_newest(&client, args.run.as_deref()).await?;
        let detail = client.run(&run).await?;
        let unfinished = args.task.as_deref().and_then(|name| unfinished(&detail, name));
        let all = files_of(&client, &run, chosen(detail, args.task.as_deref())?).await?;
        if let Some(to) = &args.to {
            if let Some(error) = unfinished.filter(|_| all.is_empty()) {
                return Err(error);
            }
            copy(&client, &run, &all, to, args).await?;
        }
        match (&args.to, context.json) {
            (_, true) => output::json_line(&Listing { items: &all })?,
            (None, false) => output::print(&table(&all))?,
            (Some(to), false) => {
                let count = all.len();
                let files = if count == 1 { "file" } else { "files" };
                output::print(&format!("Copied {count} {files} to {}.\n", to.display()))?;
            }
        }
        Ok(Exit::OK)
    })
}

/// Why a task has no artifacts, unless it has succeeded.
fn unfinished(run: &RunDetail, name: &str) -> Option<CliError> {
    let state = run.tasks.iter().find(|task| task.id.as_str() == name)?.state;
    if matches!(state, TaskState::Succeeded | TaskState::Completed) {
        return None;
    }
    let detail = format!("task `{name}` has no artifacts: it is {state}");
    let hint = "its files are kept when it succeeds; `cis dag show` shows its state";
    Some(CliError::from(Problem::new(ProblemKind::Conflict, detail)).hint(hint))
}

/// Returns one row per file.
fn table(all: &[Artifact]) -> String {
    if all.is_empty() {
        return "No artifacts. A task with `artifacts = [\"out/**\"]` keeps files when it ends well.\n"
            .to_owned();
    }
    let mut rows = Table::new(&["TASK", "SIZE", "PATH"]);
    for one in all {
        let size = text::bytes(one.file.size);
        rows.row(vec![plain(one.task.as_str()), plain(size), plain(&one.file.path)]);
    }
    rows.render()
}

/// The task that was named with its items, or all.
fn chosen(detail: RunDetail, task: Option<&str>) -> Result<Vec<TaskView>, CliError> {
    if let Some(name) = task
        && !detail.tasks.iter().any(|known| known.id.as_str() == name)
    {
        let error = CliError::bad_input(format!("run {} has no task `{name}`", detail.run.id.short()));
        return Err(error.hint("`cis dag show` lists tasks"));
    }
    // The items of a task with foreach are what it is made of.
    let items = task.map(|name| format!("{name}."));
    let wanted = |id: &str| {
        task.is_none_or(|name| id == name)
            || items.as_ref().is_some_and(|start| id.strip_prefix(start).is_some_and(is_number))
    };
    Ok(detail.tasks.into_iter().filter(|known| wanted(known.id.as_str())).collect())
}

/// The files of tasks. Lists that did not fit into the answer about the run are read by themselves.
async fn files_of(client: &Client, run: &str, tasks: Vec<TaskView>) -> Result<Vec<Artifact>, CliError> {
    let mut all = Vec::new();
    for task in tasks {
        let files = match task.artifacts_omitted {
            true => client.all_artifacts(run, task.id.as_str()).await?,
            false => task.artifacts,
        };
        all.extend(files.into_iter().map(|file| Artifact { task: task.id.clone(), file }));
    }
    Ok(all)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Copies all, or says why not before the first is written.
async fn copy(client: &Client, run: &str, all: &[Artifact], to: &Path, args: &Args) -> Result<(), CliError> {
    let places: Vec<PathBuf> = all
        .iter()
        .map(|one| match &args.task {
            Some(name) if *name == one.task.as_str() => PathBuf::from(&one.file.path),
            _ => Path::new(one.task.as_str()).join(&one.file.path),
        })
        .collect();
    let mut folder = Folder::make(to).map_err(|error| refused(&error))?;
    for place in &places {
        folder.check(place, args.force).map_err(|error| refused(&error))?;
    }
    for (one, place) in all.iter().zip(&places) {
        // A room does not tell the contents' names: of a run of other nodes only the paths are known.
        let is_named = !one.file.blob.0.is_empty();
        let name = if is_named { &one.file.blob.0 } else { &one.file.path };
        let mut stream = client.artifact(run, one.task.as_str(), name).await?;
        let mut file = folder.create(place, one.file.mode()).map_err(|error| refused(&error))?;
        let mut hash = Sha256::new();
        while let Some(bytes) = stream.next().await? {
            hash.update(&bytes);
            file.write(&bytes).map_err(|error| refused(&error))?;
        }
        if is_named && hex::encode(hash.finalize()) != one.file.blob.0 {
            let detail =
                format!("the artifact {} of task `{}` is damaged in the store", one.file.path, one.task);
            return Err(CliError::unavailable(detail).hint("`cis dag retry` creates it again"));
        }
        file.place(args.force).map_err(|error| refused(&error))?;
    }
    Ok(())
}

fn refused(error: &PlaceError) -> CliError {
    let problem = CliError::unavailable(error.to_string());
    match error {
        PlaceError::There { .. } => problem.hint("--force overwrites existing files"),
        _ => problem,
    }
}

//! `cis dag logs`.

use std::io::IsTerminal as _;

use cis_client::{Client, ClientError, LogStream};
use cis_core::api::{ProblemKind, ReadLog};
use cis_core::ids::SessionId;
use cis_core::terminal::filter::{Scope, ViewerFilter};

use super::newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Show the output of a task or session
///
/// A file or pipe gets the bytes unchanged. A terminal gets text and colors; other escape sequences are removed.
/// Secrets are always hidden.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag logs build
  cis dag logs -f build --run 4r1xec
  cis dag logs test --attempt 1 --plain > test.log")]
pub(crate) struct Args {
    /// The task, or a session
    #[arg(value_name = "TASK")]
    task: String,
    /// Continue until the session ends
    #[arg(short, long)]
    follow: bool,
    /// Print only text, without escape sequences
    #[arg(long)]
    plain: bool,
    /// Attempt of the task [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// The run [default: the newest]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

impl Args {
    /// The command that shows the log once more.
    fn again(&self) -> String {
        let run = self.run.as_ref().map(|run| format!(" --run {run}")).unwrap_or_default();
        format!("cis dag logs --follow {}{run}", self.task)
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.follower(context.client()?);
    context.block_on(async {
        let log = open(&client, args).await?;
        if copy(context, log, args).await? == 0 && !context.json {
            let run = args.run.as_ref().map(|run| format!(" --run {run}")).unwrap_or_default();
            let is_session = args.task.parse::<SessionId>().is_ok();
            let why = format!(" To see what happened: cis dag why {}{run}", clean(&args.task));
            output::note(&format!("The log is empty.{}\n", if is_session { "" } else { &why }));
        }
        Ok(Exit::OK)
    })
}

/// The log of the task in the run; without a run, that of a session may be meant as well.
async fn open<'a>(client: &'a Client, args: &Args) -> Result<LogStream<'a>, CliError> {
    let colors = std::io::stdout().is_terminal();
    let how = ReadLog {
        follow: args.follow,
        plain: args.plain,
        colors,
        attempt: args.attempt,
        ..ReadLog::default()
    };
    if let Some(run) = &args.run {
        return Ok(client.task_log(run, &args.task, &how).await?);
    }
    if args.attempt.is_none() && args.task.parse::<SessionId>().is_ok() {
        return Ok(client.session_log(&args.task, &how).await?);
    }
    let error = match newest(client).await {
        Ok(run) => {
            let run = run.id.to_string();
            match client.task_log(&run, &args.task, &how).await {
                Ok(log) => return Ok(log),
                // The run has the task: it is what is meant, and no session of another run.
                Err(error) if args.attempt.is_some() || client.task(&run, &args.task).await.is_ok() => {
                    return Err(error.into());
                }
                Err(error) => error.into(),
            }
        }
        Err(error) => error,
    };
    if args.attempt.is_some() || !is_about_the_name(&error) {
        return Err(error);
    }
    match client.session_log(&args.task, &how).await {
        Ok(log) => Ok(log),
        // The word was more likely meant as a task.
        Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::NotFound => {
            Err(error.hint("`cis dag show` lists tasks, `cis dag sessions --all` sessions"))
        }
        Err(other) => Err(other.into()),
    }
}

fn is_about_the_name(error: &CliError) -> bool {
    matches!(error.kind(), Some(ProblemKind::NotFound | ProblemKind::BadInput))
}

/// Copies the log to standard output. Returns its length, bytes.
async fn copy(context: &Context, mut log: LogStream<'_>, args: &Args) -> Result<usize, CliError> {
    let mut length = 0;
    let plain = args.plain;
    let lost = |error| context.lost(error, &args.again());
    if !std::io::stdout().is_terminal() {
        while let Some(bytes) = log.next().await.map_err(lost)? {
            length += bytes.len();
            output::bytes(&bytes)?;
        }
        return Ok(length);
    }
    // The node has filtered it. If that is an older one, it has not.
    let mut filter = ViewerFilter::new(if plain { Scope::Text } else { Scope::Colors });
    while let Some(bytes) = log.next().await.map_err(lost)? {
        length += bytes.len();
        let shown = filter.push(&bytes);
        // Styles are left out where they are not wanted.
        if plain { output::bytes(&shown)? } else { output::print(&String::from_utf8_lossy(&shown))? }
    }
    if !plain {
        output::bytes(b"\x1b[0m")?;
    }
    Ok(length)
}

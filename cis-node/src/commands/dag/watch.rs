//! `cis dag watch`: a run on the whole terminal. The board is what is known, the view draws it, the person's
//! keys become wishes, and `live` brings them together with the node.

mod board;
mod canvas;
mod feed;
mod live;
mod ui;
mod view;

use std::io::BufRead as _;
use std::sync::Arc;

use cis_core::api::{ListRuns, RunView};
use cis_core::client::Client;

use super::newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::input_id::now_ms;
use crate::output::{self, human};
use crate::term::detach::Detach;
use crate::term::raw;

/// Shows a run on the whole terminal while it runs
///
/// The tasks as a tree, with their states and times; what waits for you; what the chosen task prints. From there you
/// attach to sessions, answer, read logs, pause, cancel and retry. Leaving the view ends nothing. Without RUN the only
/// open run is taken, or one is chosen from a list; where none is open, the newest.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: ? shows all of them, q leaves.

Examples:
  cis dag watch
  cis dag watch 4r1xec
  cis dag watch 4r1xec --exit-code")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Exit with the outcome of a run that has ended, as `dag run` does
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let keys = context.config()?.settings.attach.detach_keys;
    // Keys that cannot be are told before the view is there.
    Detach::new(&keys)?;
    if !raw::is_interactive() {
        return Err(CliError::bad_input("watch needs a terminal for input and output")
            .hint("`cis dag execute --run-id RUN` follows a run without one"));
    }
    let client = Arc::new(context.client()?);
    context.block_on(async {
        let run = match &args.run {
            Some(run) => run.clone(),
            None => choose(&client).await?,
        };
        let left = Box::pin(live::watch(context, &client, &run, &keys)).await?;
        Ok(match left {
            live::Left::Signal(number) => Exit::signal(number),
            live::Left::Quit(Some(code)) if args.exit_code => Exit(code),
            live::Left::Quit(_) => Exit::OK,
        })
    })
}

/// The only open run, the one that the person picks, or the newest.
async fn choose(client: &Client) -> Result<String, CliError> {
    let open = ListRuns { open: true, ..ListRuns::default() };
    match client.runs(&open).await?.items.as_slice() {
        [] => newest(client).await.map(|run| run.id.to_string()),
        [only] => Ok(only.id.to_string()),
        several => pick(several),
    }
}

fn pick(several: &[RunView]) -> Result<String, CliError> {
    output::note(&menu(several, now_ms()));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::bad_input(format!("no answer could be read: {error}")))?;
    chosen(several, &answer)
        .ok_or_else(|| CliError::bad_input(format!("`{}` is not in the list", answer.trim())))
}

fn menu(several: &[RunView], now: cis_core::ids::TimestampMs) -> String {
    let table = human::runs(several, now);
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        let number = if number == 0 { String::new() } else { number.to_string() };
        text.push_str(&format!("{number:>3}  {line}\n"));
    }
    text + &format!("Watch which, 1 to {}? [1] ", several.len())
}

/// The first, which is the newest, where nothing is typed.
fn chosen(several: &[RunView], answer: &str) -> Option<String> {
    let answer = answer.trim();
    let number: usize = if answer.is_empty() { 1 } else { answer.parse().ok()? };
    several.get(number.checked_sub(1)?).map(|run| run.id.to_string())
}

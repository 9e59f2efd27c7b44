//! `cis dag watch`: a run on the whole terminal. The board is what is known, the view draws it, the person's
//! keys become wishes, and `live` brings them together with the node.

mod board;
mod canvas;
mod feed;
mod live;
mod ui;
mod view;

use std::sync::Arc;

use cis_client::Client;
use cis_core::api::{ListRuns, RunView};

use super::{newest, picker};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::human;
use crate::signals::die_by;
use crate::term::detach::Detach;
use crate::term::raw;
use cis_local::now_ms;

/// Watch a run on the whole terminal
///
/// Shows the tasks as a tree with their states and times, the items that wait for you, and the output of the selected
/// task. From this view you can attach to sessions, answer, read logs, pause, cancel and retry. The run continues
/// when you leave the view. RUN defaults to the only open run; if several are open, you choose from a list; if none
/// is open, to the newest run.
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
    /// If the run has ended, exit with its outcome, as `dag run` does
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
    // Starts a node where none runs. What looks from then on does not: one that is stopped stays stopped.
    context.client()?;
    let client = Arc::new(context.client_of_running()?);
    context.block_on(async {
        let run = match &args.run {
            Some(run) => run.clone(),
            None => choose(&client).await?,
        };
        let left = Box::pin(live::watch(context, &client, &run, &keys)).await?;
        Ok(match left {
            live::Left::Signal(number) => die_by(number),
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
    let question = format!("Watch which, 1 to {}? [1] ", several.len());
    let answer = picker::ask(&picker::menu(&human::runs(several, now_ms()), &question))?;
    // The first, which is the newest, where nothing is typed.
    let number = if answer.is_empty() { "1" } else { &answer };
    let run = picker::chosen(several, number).ok_or_else(|| picker::not_in_list(&answer))?;
    Ok(run.id.to_string())
}

//! `cis inbox`: what waits for a human.

mod show;
mod watch;

use cis_core::api::{InboxItem, ListInbox, Listing};
use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// List what waits for you, oldest first: prompts and questions of sessions, approvals
///
/// Each item has an id of six letters. Answer it by this id or by its first letters.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  cis inbox
  cis inbox --watch
  cis inbox ship --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only items of this run
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Show changes until Ctrl+C
    #[arg(long)]
    watch: bool,
    /// Only the N oldest items [default: all]
    #[arg(long, value_name = "N", conflicts_with = "watch")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: Option<u32>,
    /// Start after this point: the value of `next` in the JSON of the page before
    #[arg(long, value_name = "NEXT", conflicts_with = "watch")]
    after: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if let Some(Command::Show(args)) = &args.command {
        return show::run(context, args);
    }
    let which =
        ListInbox { run: args.run.clone(), session: None, limit: args.limit, after: args.after.clone() };
    let client = context.client()?;
    context.block_on(async {
        if args.watch {
            return watch::watch(context, client, &which).await;
        }
        let listing: Listing<InboxItem> = match args.limit {
            Some(_) => client.inbox(&which).await?,
            None => Listing { items: client.whole_inbox(which).await?, next: None },
        };
        output::show(context.json, &listing, |listing| {
            let more = if listing.next.is_some() { "There are more: --limit N, or none.\n" } else { "" };
            human::inbox(&listing.items, now_ms()) + more
        })?;
        Ok(Exit::OK)
    })
}

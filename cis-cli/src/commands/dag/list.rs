//! `cis dag list`.

use cis_core::api::ListRuns;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// List runs, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag list
  cis dag list --open --json | jq -r '.items[].id'")]
pub(crate) struct Args {
    /// Maximum number of runs
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "all")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// No limit
    #[arg(long)]
    all: bool,
    /// Only runs that have not ended
    #[arg(long)]
    open: bool,
    /// Start after this point: the value of `next` in the JSON of the page before
    #[arg(long, value_name = "NEXT", conflicts_with = "all")]
    after: Option<String>,
}

const PAGE: u32 = 1000;

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let limit = if args.all { PAGE } else { args.limit };
        let mut which = ListRuns {
            open: args.open,
            limit: Some(limit),
            after: args.after.clone(),
            ..ListRuns::default()
        };
        let mut listing = client.runs(&which).await?;
        while args.all && listing.next.is_some() {
            which.after = listing.next.take();
            let mut page = client.runs(&which).await?;
            listing.items.append(&mut page.items);
            listing.next = page.next;
        }
        output::show(context.json, &listing, |listing| {
            let more = if listing.next.is_some() { "There are more: --limit N, or --all.\n" } else { "" };
            human::runs(&listing.items, now_ms()) + more
        })?;
        Ok(Exit::OK)
    })
}

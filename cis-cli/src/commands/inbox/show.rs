//! `cis inbox show`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show one item with the screen of its session and its thread
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis inbox show kqzvra")]
pub(crate) struct Args {
    /// The item: its id, or the first letters of the id
    #[arg(value_name = "ID")]
    item: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let item = client.inbox_item(&args.item).await?;
        if context.json {
            output::json_line(&item)?;
            return Ok(Exit::OK);
        }
        let thread = match &item.thread {
            Some(_) => client.thread(&item.id.0).await?.items,
            None => Vec::new(),
        };
        output::print(&human::inbox_details(&item, &thread, now_ms()))?;
        Ok(Exit::OK)
    })
}

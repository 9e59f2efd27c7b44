//! `cis dag explain`.

use super::no_session;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Explain whether a session waits for a human, with the evidence
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag explain build
  cis dag explain 4r1xec --json | jq .verdict")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let view = match client.explain(&args.session).await {
            Ok(view) => view,
            Err(error) => return Err(no_session::explain(&client, &args.session, error.into()).await),
        };
        output::show(context.json, &view, |view| human::explain(view, now_ms()))?;
        Ok(Exit::OK)
    })
}

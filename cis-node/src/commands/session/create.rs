//! `cis session create`.

use std::path::PathBuf;

use cis_core::api::CreateSession;

use crate::context::{Context, absolute, current_dir, submitted_env, submitted_umask};
use crate::error::{CliError, Exit};
use crate::term::raw;
use crate::{input_id, output};

/// Starts a command in a session of its own, and prints the session's id
///
/// It gets the environment and the directory of this command, and goes on when the terminal closes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis session create -- bash
  cis session create --name build --cwd src -- make -j2
  cis dag attach build")]
pub(crate) struct Args {
    /// A name to call it by
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Pipes instead of a terminal
    #[arg(long)]
    no_tty: bool,
    /// The program and its arguments
    #[arg(value_name = "CMD", required = true, last = true)]
    command: Vec<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let cwd = args.cwd.as_deref().map_or_else(current_dir, absolute)?;
    let request = CreateSession {
        argv: args.command,
        name: args.name,
        cwd,
        env: Some(submitted_env()),
        umask: Some(submitted_umask()),
        size: (!args.no_tty).then(|| raw::size(rustix::stdio::stdout())),
        idle_ms: None,
        lifetime_ms: None,
        input: input_id::new()?,
    };
    let client = context.client()?;
    context.block_on(async {
        let session = client.create_session(&request).await?;
        output::show(context, &session, |session| format!("{}\n", session.id))?;
        Ok(Exit::OK)
    })
}

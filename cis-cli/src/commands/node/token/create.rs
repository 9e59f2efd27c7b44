//! `cis node token create`.

use std::time::Duration;

use cis_core::api::CreateToken;
use cis_core::people::Role;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::settings;

/// Create a token for using the node over TCP, and print it once
///
/// The node only stores a hash of the token. The setting `api.listen` says where the node listens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node token create --role viewer --name board > board.token
  cis node token create --role operator --name ann@laptop --expires 30d
  cis node token create --role admin --expires 1h --json | jq -r .token")]
pub(crate) struct Args {
    /// `viewer`: read; `operator`: also run, answer and cancel; `admin`: everything except creating tokens
    #[arg(long)]
    role: RoleName,
    /// Name of the token in listings and events [default: its role and a part of its id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Time until the token expires [default: never]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
}

/// A role, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "said at the option")]
enum RoleName {
    Viewer,
    Operator,
    Admin,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let time = settings::duration(text)?;
    if time < Duration::from_secs(1) { Err("it must be a second at least".to_owned()) } else { Ok(time) }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let role = match args.role {
        RoleName::Viewer => Role::Viewer,
        RoleName::Operator => Role::Operator,
        RoleName::Admin => Role::Admin,
    };
    let lifetime_ms = args.expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let client = context.client()?;
    context.block_on(async {
        let request = CreateToken { role, name: args.name.clone(), lifetime_ms };
        let made = client.create_token(&request).await?;
        if !context.json {
            // Beside the token, so that `> FILE` holds it alone.
            output::note(&format!(
                "The token {} ({role}) is only shown once; revoke it with `cis node token revoke {0}`.\n",
                made.about.name
            ));
            if client.node().await?.remote.is_none() {
                output::note(
                    "The node does not listen on TCP: set `listen` of [api] in its configuration.\n",
                );
            }
        }
        output::show(context.json, &made, |made| format!("{}\n", made.token))?;
        Ok(Exit::OK)
    })
}

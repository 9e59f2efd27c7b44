//! `cis session create`.

use std::path::PathBuf;
use std::time::Duration;

use cis_client::input_id;
use cis_core::api::{CreateSession, StartAgent};
use cis_node::config::Timeouts;

use crate::context::{Context, absolute, current_dir, submitted_env, submitted_umask};
use crate::error::{CliError, Exit};
use crate::output;
use crate::settings;
use crate::term::raw;

/// Start a command or an agent in a new session, and print the session's id
///
/// The session gets the environment and the directory of this command, and continues when the terminal closes. The
/// profile of an agent, which is built in or in [agents.NAME] of the configuration, says what is run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis session create -- bash
  cis session create --name build --cwd src -- make -j2
  cis session create --idle 10m --lifetime 8h -- bash
  cis session create --agent gemini \"Make the tests pass.\"
  cis dag attach build")]
pub(crate) struct Args {
    /// Profile of the agent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["command", "no_tty"])]
    agent: Option<String>,
    /// Prompt for the agent [default: none; the agent waits for input]
    #[arg(value_name = "PROMPT", requires = "agent")]
    prompt: Option<String>,
    /// Name of the session
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Working directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// End the session after this time without activity: no byte in either direction, no CPU time [default of TIME:
    /// timeouts.session_idle of the configuration]
    #[arg(long, value_name = "TIME", num_args = 0..=1, value_parser = limit)]
    idle: Option<Option<Duration>>,
    /// End the session after this time [default of TIME: timeouts.session_lifetime of the configuration]
    #[arg(long, value_name = "TIME", num_args = 0..=1, value_parser = limit)]
    lifetime: Option<Option<Duration>>,
    /// Use pipes instead of a terminal
    #[arg(long)]
    no_tty: bool,
    /// The program and its arguments
    #[arg(value_name = "CMD", required_unless_present = "agent", last = true)]
    command: Vec<String>,
}

/// A limit in which something can happen.
fn limit(text: &str) -> Result<Duration, String> {
    let time = settings::duration(text)?;
    if time < Duration::from_millis(1) { Err("it must be at least 1ms".to_owned()) } else { Ok(time) }
}

/// The limit that was given, or the configured one where only the option was; ms.
fn limit_ms(given: Option<Option<Duration>>, configured_ms: u64) -> Option<u64> {
    given.map(|time| time.map_or(configured_ms, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let timeouts = match (args.idle, args.lifetime) {
        (Some(None), _) | (_, Some(None)) => context.config()?.settings.timeouts,
        _ => Timeouts::default(),
    };
    let cwd = args.cwd.as_deref().map_or_else(current_dir, absolute)?;
    let request = CreateSession {
        argv: args.command,
        agent: args.agent.map(|profile| StartAgent { profile, prompt: args.prompt }),
        name: args.name,
        cwd,
        env: Some(submitted_env()),
        umask: Some(submitted_umask()),
        size: (!args.no_tty).then(|| raw::size(rustix::stdio::stdout())),
        idle_ms: limit_ms(args.idle, timeouts.session_idle_ms),
        lifetime_ms: limit_ms(args.lifetime, timeouts.session_lifetime_ms),
        input: input_id()?,
    };
    let client = context.client()?;
    context.block_on(async {
        let session = client.create_session(&request).await?;
        output::show(context.json, &session, |session| format!("{}\n", session.id))?;
        Ok(Exit::OK)
    })
}

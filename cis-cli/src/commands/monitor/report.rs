//! `cis monitor report`.

use cis_core::api::ReportSession;
use cis_core::event::PromptKind;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;

/// Report that the monitor is wrong about a session
///
/// The node keeps a recording of what the session shows now in `reports` in its home directory, with what you say
/// about it. Secrets of the session are replaced. Nothing is sent to anybody.
///
/// `cis monitor test FILE` shows what the monitor says about a recording. Read it before you give it to others: a
/// terminal may show anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis monitor report build --not-a-prompt
  cis monitor report build --prompt
  cis monitor report build --prompt password")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
    /// It does not wait for a human: it is in the inbox
    #[arg(long, conflicts_with = "prompt", required_unless_present = "prompt")]
    not_a_prompt: bool,
    /// It waits for a human, for this: it is not in the inbox, or the kind is wrong
    #[arg(
        long,
        value_name = "KIND",
        num_args = 0..=1,
        default_missing_value = "question",
        value_parser = clap::builder::PossibleValuesParser::new(PromptKind::ALL.iter().map(|kind| kind.as_str()))
    )]
    prompt: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let report = ReportSession { waits_for: args.prompt.as_deref().and_then(PromptKind::parse) };
    let client = context.client()?;
    let reported = context
        .block_on(async { Ok::<_, CliError>(client.report_session(&args.session, &report).await?) })?;
    output::show(context.json, &reported, |reported| {
        let path = clean(&reported.path);
        format!("Kept in {path}; nothing was sent. `cis monitor test {path}` shows what the monitor says.\n")
    })?;
    Ok(Exit::OK)
}

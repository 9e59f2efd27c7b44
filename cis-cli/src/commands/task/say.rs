//! `cis task notify`, `progress`, `respond`: telling people something without waiting.

use cis_client::input_id;
use cis_core::api::Say;
use cis_core::event::{SaidKind, Urgency};
use cis_core::ids::InboxId;

use super::{urgency, word};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Notify people
///
/// With --urgency high, `notify.command` of the configuration also runs, as it does for a question.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task notify \"The old index is still there\"
  cis task notify \"The disk is nearly full\" --urgency high")]
pub(crate) struct Notify {
    /// The message
    #[arg(value_name = "TEXT")]
    text: String,
    /// Urgency
    #[arg(long, value_name = "LEVEL", value_parser = urgency(), default_value = "medium")]
    urgency: Urgency,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

/// Report progress; `cis dag show` shows it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task progress \"compiling\" --percent 40")]
pub(crate) struct Progress {
    /// Current step
    #[arg(value_name = "TEXT")]
    text: String,
    /// Part of the work that is done, 0 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: Option<u8>,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

/// Report a milestone: a part of the result that is already available
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task respond \"The schema is done; the API comes next\"")]
pub(crate) struct Respond {
    /// The message
    #[arg(value_name = "TEXT")]
    text: String,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

pub(super) fn notify(context: &Context, args: &Notify) -> Result<Exit, CliError> {
    say(context, SaidKind::Notice, &args.text, args.urgency, None, args.thread.as_deref())
}

pub(super) fn progress(context: &Context, args: &Progress) -> Result<Exit, CliError> {
    say(context, SaidKind::Progress, &args.text, Urgency::Low, args.percent, args.thread.as_deref())
}

pub(super) fn respond(context: &Context, args: &Respond) -> Result<Exit, CliError> {
    say(context, SaidKind::Response, &args.text, Urgency::Medium, None, args.thread.as_deref())
}

fn say(
    context: &Context,
    kind: SaidKind,
    text: &str,
    urgency: Urgency,
    percent: Option<u8>,
    thread: Option<&str>,
) -> Result<Exit, CliError> {
    let thread = thread.map(|thread| InboxId(thread.to_owned()));
    let say = Say { kind, text: text.to_owned(), urgency, percent, thread, input: input_id()? };
    let client = context.client()?;
    context.block_on(async {
        client.say(&say).await?;
        if context.json {
            output::json_line(&serde_json::json!({ "said": word(kind) }))?;
        }
        Ok(Exit::OK)
    })
}

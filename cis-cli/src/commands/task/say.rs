//! `cis task notify`, `progress`, `respond`: telling people something without waiting.

use cis_client::input_id;
use cis_core::api::Say;
use cis_core::event::{SaidKind, Urgency};
use cis_core::ids::InboxId;

use super::{urgency, word};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Tells people something
///
/// With --urgency high it is passed on like a question (`notify.command` of the configuration).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task notify \"The old index is still there\"
  cis task notify \"The disk is nearly full\" --urgency high")]
pub(crate) struct Notify {
    /// What
    #[arg(value_name = "TEXT")]
    text: String,
    /// How much it matters that somebody looks
    #[arg(long, value_name = "LEVEL", value_parser = urgency(), default_value = "medium")]
    urgency: Urgency,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

/// Tells how far the work is; `cis dag show` shows it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task progress \"compiling\" --percent 40")]
pub(crate) struct Progress {
    /// What is being done
    #[arg(value_name = "TEXT")]
    text: String,
    /// How much of the work is done, 0 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: Option<u8>,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

/// Tells a milestone: a part of the result that people may want to see already
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task respond \"The schema is done; the API comes next\"")]
pub(crate) struct Respond {
    /// What
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

//! `cis task request-permission`, `cis task review`: a yes or no of a human as an exit code.

use std::time::Duration;

use cis_client::input_id;
use cis_core::api::Ask;
use cis_core::event::{AskType, Urgency};
use cis_core::ids::InboxId;

use super::ask::{Answered, answer};
use super::urgency;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};
use crate::settings;

/// Ask for permission: exit code 0 if it is granted, 1 if not
///
/// The reason for a refusal is printed to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task request-permission \"Drop the table users?\"
  cis task request-permission \"Push to main?\" --urgency high --timeout 1h")]
pub(crate) struct Permission {
    #[command(flatten)]
    how: How,
}

/// Wait for a human to review the work: exit code 0 if it is approved, 1 if it is rejected
///
/// Answer it like any item of the inbox, or with `cis dag approve` and `cis dag reject`. The reason for a rejection
/// is printed to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task review \"The migration is in db/0042.sql\"")]
pub(crate) struct Review {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// What to decide
    #[arg(value_name = "TEXT")]
    text: String,
    /// Urgency
    #[arg(long, value_name = "LEVEL", value_parser = urgency(), default_value = "medium")]
    urgency: Urgency,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Maximum time to wait
    #[arg(long, value_name = "TIME", value_parser = settings::duration)]
    timeout: Option<Duration>,
}

pub(super) fn permission(context: &Context, args: &Permission) -> Result<Exit, CliError> {
    decide(context, &args.how, AskType::Permission, "allow", "denied")
}

pub(super) fn review(context: &Context, args: &Review) -> Result<Exit, CliError> {
    decide(context, &args.how, AskType::Review, "approve", "rejected")
}

/// Asks, and makes an exit code of the answer: `yes` is the option that is a yes.
fn decide(context: &Context, how: &How, ask_type: AskType, yes: &str, no: &str) -> Result<Exit, CliError> {
    let ask = Ask {
        ask_type,
        text: how.text.clone(),
        options: Vec::new(),
        urgency: how.urgency,
        thread: how.thread.clone().map(InboxId),
        waits: true,
        input: input_id()?,
    };
    let client = context.client()?;
    context.block_on(async {
        let asked = client.ask(&ask).await?;
        let view = match answer(&client, asked, how.timeout, false).await? {
            Answered::Yes(view) => view,
            Answered::Left(exit) => return Ok(exit),
        };
        if context.json {
            output::json_line(&view)?;
        }
        let Some(answer) = view.answer else { return Ok(Exit::FAILED) };
        if answer.option.as_deref() == Some(yes) {
            return Ok(Exit::OK);
        }
        if !context.json {
            let reason = answer.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            output::note(&format!("{no} by {}{}\n", clean(&answer.by), clean(&reason)));
        }
        Ok(Exit::FAILED)
    })
}

//! `cis dag unblock`.

use cis_core::api::{InboxItem, ListInbox, Problem, ProblemKind};
use cis_core::client::Client;

use crate::commands::answer::{How, give};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Answers what a session waits at now
///
/// The same as `cis answer` with the item of the session. Where it waits at nothing, nothing is typed.
///
/// Passwords do not belong here, as arguments are seen by others: type them in `cis dag attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are single characters, C-x (Ctrl), M-x (Alt), S-x (Shift), and Enter, Escape, Tab, BTab, Space,
BSpace, Up, Down, Left, Right, Home, End, PageUp, PageDown, Insert, Delete, F1 to F12.

Examples:
  cis dag unblock build allow_once
  cis dag unblock build --text yes
  cis dag unblock 4r1xec --keys \"Down Down Enter\"")]
#[command(group = clap::ArgGroup::new("words").required(true).args(["option", "text", "keys"]))]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
    #[command(flatten)]
    how: How,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let Some(with) = args.how.with()? else {
        return Err(
            CliError::bad_input("what is the answer?").hint("name an option, or give --text or --keys")
        );
    };
    let client = context.client()?;
    context.block_on(async {
        let item = waiting(&client, &args.session).await?;
        let receipt = give(&client, &item, with, None, None).await?;
        output::show(context, &receipt, |receipt| match receipt.bytes {
            // It asked by itself: nothing is typed.
            0 => format!("Answered {}: {}\n", clean(&receipt.item.0), clean(&receipt.text)),
            _ => format!("Typed into {}.\n", clean(&args.session)),
        })?;
        Ok(Exit::OK)
    })
}

/// What a session waits at now: what it asks by itself comes first.
async fn waiting(client: &Client, session: &str) -> Result<InboxItem, CliError> {
    // It says so where the session has ended, or is not there.
    let known = client.session(session).await?;
    let which = ListInbox { session: Some(known.id.to_string()), ..ListInbox::default() };
    let mut items = client.whole_inbox(which).await?;
    items.retain(|item| item.episode.is_some());
    if let Some(item) = items.pop() {
        return Ok(item);
    }
    if !known.state.is_live() {
        let detail = format!("session {} has ended", known.id);
        return Err(Problem::new(ProblemKind::Conflict, detail)
            .hint("`cis dag logs` shows what it wrote")
            .into());
    }
    if !known.tty && known.task.is_some() {
        let detail = format!("session {} takes no input (tty = false)", known.id);
        return Err(Problem::new(ProblemKind::Conflict, detail).into());
    }
    let detail =
        format!("session {} waits for nobody, as far as is known: nothing was typed", known.id.short());
    Err(Problem::new(ProblemKind::Conflict, detail)
        .hint(format!("`cis dag attach {}` types into it in any case", known.id.short()))
        .into())
}

//! `cis dag unblock`.

use cis_client::Client;
use cis_core::api::{InboxItem, ListInbox, Problem, ProblemKind};
use cis_core::event::PromptKind;

use super::no_session;
use crate::commands::answer::{How, give};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Answer the prompt at which a session is waiting
///
/// The same as `cis answer` with the session's item of the inbox. Nothing is typed if the session is not waiting. For
/// a task that waits for approval, the options are `approve` and `reject`, as with `cis dag approve` and `cis dag
/// reject`.
///
/// Do not answer with passwords, because other users can see the arguments of a command. Type them in `cis dag
/// attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are single characters, C-x (Ctrl), M-x (Alt), S-x (Shift), and Enter, Escape, Tab, BTab, Space,
BSpace, Up, Down, Left, Right, Home, End, PageUp, PageDown, Insert, Delete, F1 to F12.

Examples:
  cis dag unblock build allow_once
  cis dag unblock build --text yes
  cis dag unblock deploy approve
  cis dag unblock 4r1xec --keys \"Down Down Enter\"")]
#[command(group = clap::ArgGroup::new("words").required(true).args(["option", "text", "keys"]))]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name; or a task that waits for approval
    #[arg(value_name = "SESSION")]
    session: String,
    #[command(flatten)]
    how: How,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let Some(with) = args.how.with()? else {
        return Err(CliError::bad_input("missing answer").hint("name an option, or give --text or --keys"));
    };
    let client = context.client()?;
    context.block_on(async {
        let item = waiting(&client, &args.session).await?;
        let receipt = give(&client, &item, with, None, None).await?;
        output::show(context.json, &receipt, |receipt| match receipt.bytes {
            // It asked by itself: nothing is typed.
            0 => format!("Answered {}: {}\n", clean(&receipt.item.0), clean(&receipt.text)),
            _ => format!("Typed into {}.\n", clean(&args.session)),
        })?;
        Ok(Exit::OK)
    })
}

/// What a session waits at now: what it asks by itself comes first. A task that waits for approval has no session, or
/// one of an earlier try.
async fn waiting(client: &Client, session: &str) -> Result<InboxItem, CliError> {
    let known = match client.session(session).await.map_err(CliError::from) {
        Ok(known) => known,
        Err(missing) if missing.kind() == Some(ProblemKind::NotFound) => {
            return match held(client, session).await? {
                Some(item) => Ok(item),
                None => Err(no_session::explain(client, session, missing).await),
            };
        }
        Err(other) => return Err(other),
    };
    let which = ListInbox { session: Some(known.id.to_string()), ..ListInbox::default() };
    let mut items = client.whole_inbox(which).await?;
    items.retain(|item| item.episode.is_some());
    if let Some(item) = items.pop() {
        return Ok(item);
    }
    if !known.state.is_live() {
        let of_task = known.run.zip(known.task.as_ref()).map(|(run, task)| format!("{run}/{task}"));
        if let Some(task) = of_task
            && let Some(item) = held(client, &task).await?
        {
            return Ok(item);
        }
        let detail = format!("session {} has ended", known.id);
        let ended = Problem::new(ProblemKind::Conflict, detail).hint("`cis dag logs` shows its output");
        return Err(no_session::explain(client, session, ended.into()).await);
    }
    if !known.tty && known.task.is_some() {
        let detail = format!("session {} takes no input (tty = false)", known.id);
        return Err(Problem::new(ProblemKind::Conflict, detail).into());
    }
    let detail = format!(
        "cannot answer session {}: it does not wait for input, as far as CIS can tell; nothing was typed",
        known.id.short()
    );
    Err(Problem::new(ProblemKind::Conflict, detail)
        .hint(format!("`cis dag attach {}` types into it in any case", known.id.short()))
        .into())
}

/// The approval that this task waits for, where it does: `TASK`, or behind `/` or `:` with its run before.
async fn held(client: &Client, name: &str) -> Result<Option<InboxItem>, CliError> {
    let (run, task) = match name.split_once(['/', ':']) {
        Some((run, task)) => (Some(run.to_owned()), task),
        None => (None, name),
    };
    let Ok(items) = client.whole_inbox(ListInbox { run, ..ListInbox::default() }).await else {
        return Ok(None);
    };
    let is_it = |item: &InboxItem| {
        item.kind == PromptKind::Approval && item.task.as_ref().is_some_and(|of| of.as_str() == task)
    };
    let mut items: Vec<InboxItem> = items.into_iter().filter(is_it).collect();
    if items.len() > 1 {
        let runs = items.iter().filter_map(|item| item.run);
        let names: Vec<String> = runs.map(|run| format!("{}/{task}", run.short())).collect();
        let detail = format!("task `{}` of several runs waits for approval", clean(task));
        return Err(CliError::from(Problem::new(ProblemKind::Ambiguous, detail))
            .hint(format!("say which: {}", names.join(", "))));
    }
    Ok(items.pop())
}

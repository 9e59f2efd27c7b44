//! `cis answer`, and what `cis dag unblock`, `approve` and `reject` share with it.

use std::io::{BufRead as _, IsTerminal as _};

use cis_client::{Client, input_id};
use cis_core::api::{Answer, AnswerReceipt, AnswerWith, InboxItem, Problem, ProblemKind};
use cis_core::event::PromptKind;
use cis_core::ids::TimestampMs;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::keys;
use crate::output::clean::clean;
use crate::output::{self, human};
use cis_local::now_ms;

/// Answer an item of the inbox
///
/// Name an option by its number, by its text or the beginning of it, or by its meaning (allow_once, allow_session,
/// allow_always, deny, deny_and_say, continue, cancel). Without an answer, the command shows the item and asks you,
/// if it runs on a terminal. Only the first answer counts; a later one fails and says who answered first. Nothing is
/// typed if the screen no longer shows the prompt. If a prompt stays after its answer, `cis inbox` says so, and
/// --again answers it once more. No answer is ever typed twice automatically.
///
/// Do not answer with passwords, because other users can see the arguments of a command. Type them in `cis dag
/// attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are single characters, C-x (Ctrl), M-x (Alt), S-x (Shift), and Enter, Escape, Tab, BTab, Space,
BSpace, Up, Down, Left, Right, Home, End, PageUp, PageDown, Insert, Delete, F1 to F12.

Examples:
  cis answer kqzvra
  cis answer kqzvra allow_once
  cis answer kqz 2
  cis answer 4r1xec:build yes
  cis answer kqzvra --text \"use the staging database\"
  cis answer kqzvra --keys \"Down Enter\"
  cis answer kqzvra reject --reason \"the tests are red\"")]
#[command(group = clap::ArgGroup::new("words").args(["option", "text", "keys"]))]
pub(crate) struct Args {
    /// The item: its id or the first letters of the id; or the session or RUN:TASK that is waiting
    #[arg(value_name = "ID")]
    item: String,
    #[command(flatten)]
    how: How,
    /// Reason, stored with the answer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Answer a prompt that is still there after its answer
    #[arg(long)]
    again: bool,
}

/// What is answered.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// The option
    #[arg(value_name = "OPTION")]
    option: Option<String>,
    /// Answer with this text; at a terminal prompt it is typed, followed by Enter
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Type these keys
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true)]
    keys: Option<String>,
}

impl How {
    /// The answer, where one was given.
    pub(crate) fn with(&self) -> Result<Option<AnswerWith>, CliError> {
        let Self { option, text, keys } = self;
        Ok(match (option, text, keys) {
            (Some(option), _, _) => Some(AnswerWith::Option { option: option.clone() }),
            (_, Some(text), _) => Some(AnswerWith::Text { text: text.clone() }),
            (_, _, Some(names)) => Some(AnswerWith::Keys { data: keys::parse(names)?, names: names.clone() }),
            (None, None, None) => None,
        })
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let with = args.how.with()?;
    let client = context.client()?;
    context.block_on(async {
        let item = client.inbox_item(&args.item).await?;
        let with = match with {
            Some(with) => with,
            None => {
                check_askable(&item, args.again, now_ms())?;
                ask(&item)?
            }
        };
        let again = again(&item, args.again)?;
        let receipt = give(&client, &item, with, args.reason.clone(), again).await?;
        output::show(context.json, &receipt, |receipt| answered(&item, receipt))?;
        Ok(Exit::OK)
    })
}

/// Answers the item as it was just seen: where it shows something else by now, nothing is typed.
pub(crate) async fn give(
    client: &Client,
    item: &InboxItem,
    with: AnswerWith,
    reason: Option<String>,
    again: Option<TimestampMs>,
) -> Result<AnswerReceipt, CliError> {
    let answer = Answer { with, reason, hash: Some(item.hash.clone()), again, input: input_id()? };
    Ok(client.answer(&item.name(), &answer).await?)
}

/// The time of the answer beside which one more is given on purpose.
fn again(item: &InboxItem, wanted: bool) -> Result<Option<TimestampMs>, CliError> {
    if wanted && item.answered_ms.is_none() && item.closed.is_none() {
        let detail = format!("nobody has answered {} yet: nothing was sent", item.id);
        return Err(CliError::bad_input(detail).hint("answer without --again"));
    }
    Ok(item.answered_ms.filter(|_| wanted))
}

fn answered(item: &InboxItem, receipt: &AnswerReceipt) -> String {
    let text = clean(&receipt.text);
    let typed = if receipt.bytes == 0 { "" } else { "typed " };
    let repeated = if receipt.repeated { " (this request had counted before)" } else { "" };
    format!("Answered {}: {typed}{text}{repeated}\n", item.id)
}

/// Refuses items that take no typed answer, before it asks for one: the terminal would show a password.
fn check_askable(item: &InboxItem, again: bool, now: TimestampMs) -> Result<(), CliError> {
    if let Some(ending) = item.ending(now) {
        let problem = Problem::new(ProblemKind::Conflict, format!("{}; nothing was sent", clean(&ending)));
        return Err(CliError::from(problem).hint(format!("cis inbox show {}", item.id)));
    }
    if item.kind.needs_terminal() {
        let session = item.session.map(|session| session.short()).unwrap_or_default();
        let detail =
            format!("cannot answer {} here: a prompt of kind `{}` needs its terminal", item.id, item.kind);
        let keys = match item.kind {
            PromptKind::Pager => format!("cis answer {} --keys q, or ", item.id),
            _ => String::new(),
        };
        return Err(CliError::bad_input(detail).hint(format!("{keys}cis dag attach {session}")));
    }
    match &item.answered_by {
        Some(by) if item.answered_ms.is_some() && !again => {
            let detail = format!("{} was answered by {}: nothing was sent", item.id, clean(by));
            Err(CliError::bad_input(detail).hint("to answer once more: --again"))
        }
        _ => Ok(()),
    }
}

/// Shows the item, and reads the answer from the terminal.
fn ask(item: &InboxItem) -> Result<AnswerWith, CliError> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(CliError::bad_input("missing answer")
            .hint(format!("name an option, or give --text or --keys: cis inbox show {}", item.id)));
    }
    output::note(&human::inbox_details(item, &[], now_ms()));
    output::note("Answer: ");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::bad_input(format!("cannot read the answer: {error}")))?;
    if !line.ends_with('\n') {
        // Ctrl+D: what follows begins a line.
        output::note("\n");
    }
    let line = line.trim_end_matches(['\r', '\n']);
    if line.trim().is_empty() {
        return Err(CliError::bad_input("empty answer: nothing was sent"));
    }
    // A prompt with options wants one of them; anything else is words.
    let word = line.to_owned();
    Ok(if item.options.is_empty() {
        AnswerWith::Text { text: word }
    } else {
        AnswerWith::Option { option: word }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(changes: serde_json::Value) -> String {
        let mut item = serde_json::json!({
            "id": "kqzvra", "run": null, "task": null, "session": null, "kind": "question", "question": "Which?",
            "options": [], "since_ms": 0, "confidence": 100, "layer": null, "episode": null, "hash": "",
            "screen": "", "urgency": "medium",
        });
        let serde_json::Value::Object(changes) = changes else { panic!("no object") };
        item.as_object_mut().unwrap().extend(changes);
        let item: InboxItem = serde_json::from_value(item).unwrap();
        check_askable(&item, false, 60_000).map_or_else(|error| error.detail().to_owned(), |()| "asks".into())
    }

    #[test]
    fn an_item_that_is_over_says_what_happened_before_it_asks() {
        let closed = |how: &str, by: Option<&str>, text: Option<&str>| {
            refused(serde_json::json!({
                "kind": "password", "closed": { "at_ms": 0, "how": how, "by": by, "text": text },
            }))
        };
        assert_eq!(refused(serde_json::json!({})), "asks");
        assert!(refused(serde_json::json!({ "kind": "password" })).contains("needs its terminal"));
        assert_eq!(
            closed("answered", Some("uid:7"), Some("staging")),
            "kqzvra was answered by uid:7 1m 00s ago: staging; nothing was sent"
        );
        assert_eq!(
            closed("withdrawn", None, Some("its command has ended")),
            "kqzvra was withdrawn 1m 00s ago: its command has ended; nothing was sent"
        );
    }
}

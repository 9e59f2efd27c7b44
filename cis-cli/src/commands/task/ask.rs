//! `cis task ask`, and waiting for the answer to whatever was asked.

use std::time::Duration;

use cis_client::{Client, ClientError, input_id};
use cis_core::api::{Ask, AskView, ReadAsk};
use cis_core::event::{AskType, Urgency};
use cis_core::ids::InboxId;
use tokio::time::Instant;

use super::{ask_type, urgency};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};
use crate::settings;
use crate::signals::AnyLeaving;

/// A node that has been away for so long does not come back by itself.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// How long the node may take to learn that nobody waits any more.
const GIVE_UP_TIME_MAX: Duration = Duration::from_secs(10);

/// One look waits so long for the answer.
const LOOK: Duration = Duration::from_secs(20);

/// Ask people a question, wait for the answer, and print it
///
/// The question stays in the inbox (`cis inbox`) until somebody answers it (`cis answer`), also during a restart of
/// the node. While this command waits, the session is blocked and frees its slot. If the command ends first (timeout,
/// Ctrl+C), the question is withdrawn. A question that was asked with --no-wait stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task ask \"Which database?\" --option staging --option production
  cis task ask \"What is the release called?\" --timeout 10m
  id=$(cis task ask \"May the tests be skipped?\" --no-wait)
  cis task ask --wait-for kqzvra")]
pub(crate) struct Args {
    /// The question
    #[arg(value_name = "TEXT", required_unless_present = "wait_for")]
    text: Option<String>,
    /// Type of the question
    #[arg(long = "type", value_name = "TYPE", value_parser = ask_type(), default_value = "clarification")]
    ask_type: AskType,
    /// Possible answer; may be given several times
    #[arg(long = "option", value_name = "TEXT")]
    options: Vec<String>,
    /// Urgency
    #[arg(long, value_name = "LEVEL", value_parser = urgency(), default_value = "medium")]
    urgency: Urgency,
    /// Continue this thread: the id of its first question
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// Print the id of the question without waiting
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// Wait for the answer to a question that was asked with --no-wait
    #[arg(long, value_name = "ID", conflicts_with_all = ["text", "options", "thread", "no_wait"])]
    wait_for: Option<String>,
    /// Maximum time to wait
    #[arg(long, value_name = "TIME", value_parser = settings::duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let asked = match (&args.wait_for, &args.text) {
            (Some(id), _) => client.read_ask(id, &ReadAsk::default()).await?,
            (None, text) => {
                let ask = Ask {
                    ask_type: args.ask_type,
                    text: text.clone().unwrap_or_default(),
                    options: args.options.clone(),
                    urgency: args.urgency,
                    thread: args.thread.clone().map(InboxId),
                    waits: !args.no_wait,
                    input: input_id()?,
                };
                client.ask(&ask).await?
            }
        };
        if args.no_wait {
            output::show(context.json, &asked, |asked| format!("{}\n", asked.id))?;
            return Ok(Exit::OK);
        }
        let stays = args.wait_for.is_some();
        let view = match answer(&client, asked, args.timeout, stays).await? {
            Answered::Yes(view) => view,
            Answered::Left(exit) => return Ok(exit),
        };
        output::show(context.json, &view, |view| {
            let text = view.answer.as_ref().map(|answer| answer.text.as_str()).unwrap_or_default();
            format!("{}\n", clean(text))
        })?;
        Ok(Exit::OK)
    })
}

/// How waiting ended.
pub(super) enum Answered {
    /// There is an answer.
    Yes(Box<AskView>),
    /// A signal ended it.
    Left(Exit),
}

/// Waits until the ask is answered, over restarts of the node. When the time is over or a signal comes, the ask is
/// withdrawn, unless it `stays` for others. Another signal leaves at once.
pub(super) async fn answer(
    client: &Client,
    asked: AskView,
    timeout: Option<Duration>,
    stays: bool,
) -> Result<Answered, CliError> {
    let mut leaving = AnyLeaving::new()?;
    let until = timeout.map(|time| Instant::now() + time);
    let id = asked.id.clone();
    let waiting = wait(client, asked, until);
    let number = tokio::select! {
        // What is known is not thrown away for a signal.
        biased;
        view = waiting => match view? {
            Some(view) => return Ok(Answered::Yes(Box::new(view))),
            None => None,
        },
        number = leaving.recv() => Some(number),
    };
    let given_up = tokio::time::timeout(GIVE_UP_TIME_MAX, give_up(client, &id, stays));
    let (view, number) = match leaving.during(Box::pin(given_up)).await {
        Ok(Ok(view)) => (Some(view?), number),
        Ok(Err(_)) => (None, number),
        Err(again) => (None, Some(again)),
    };
    let hint = match view {
        // In the last moment.
        Some(view) if view.answer.is_some() => return Ok(Answered::Yes(Box::new(view))),
        _ if stays => "it stays in the inbox",
        Some(_) => "it is withdrawn",
        // The node withdraws it when it misses the command.
        None => "the node did not confirm that it is withdrawn",
    };
    match number {
        Some(number) => {
            output::note(&format!("Nobody has answered {id}: {hint}.\n"));
            Ok(Answered::Left(Exit::signal(number)))
        }
        None => {
            let detail = format!("nobody answered {id} in time");
            Err(CliError::Failed { detail, hint: hint.to_owned() })
        }
    }
}

/// Tells the node that this command waits no more. Returns how the ask stands.
async fn give_up(client: &Client, id: &InboxId, stays: bool) -> Result<AskView, ClientError> {
    if stays {
        client.read_ask(&id.0, &ReadAsk { leaves: true, ..ReadAsk::default() }).await
    } else {
        client.withdraw_ask(&id.0).await
    }
}

/// The answered ask; none where the time is over.
async fn wait(client: &Client, asked: AskView, until: Option<Instant>) -> Result<Option<AskView>, CliError> {
    let mut view = asked;
    let mut away_since: Option<Instant> = None;
    loop {
        if view.answer.is_some() {
            return Ok(Some(view));
        }
        if let Some(why) = &view.withdrawn {
            let detail = format!("nobody will answer {}: {}", view.id, clean(why));
            return Err(CliError::Failed {
                detail,
                hint: "ask again if you still need an answer".to_owned(),
            });
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let wait = left.map_or(LOOK, |left| left.min(LOOK));
        let how = ReadAsk {
            wait_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
            ..ReadAsk::default()
        };
        view = match client.read_ask(&view.id.0, &how).await {
            // However often it goes away: what was asked outlives it.
            Err(error) if error.is_away() => {
                if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
                    return Err(error.into());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            other => other?,
        };
        away_since = None;
    }
}

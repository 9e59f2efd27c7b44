//! `cis matrix verify`: whether devices are whose they say, for the node's own and for others.

use std::io;
use std::time::Duration;

use cis_client::{Client, ClientError};
use cis_core::api::{
    BeginVerification, ReadVerification, RecoverMatrix, VerificationState, VerificationView, VerificationWord,
};
use tokio::time::timeout;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, human};
use crate::settings;
use crate::signals::AnyLeaving;
use crate::term::secret;
use crate::term::typed::{Line, Typed, line};

/// The node answers within this time, also where nothing changes.
const WAIT_MS: u64 = 20_000;

/// The protocol gives up after ten minutes.
const TIMEOUT_MAX: Duration = Duration::from_secs(540);

/// How long somebody who leaves waits until the node has cancelled the comparison.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(5);

/// Show whether the node's device is verified, or verify other people and devices
///
/// In encrypted rooms, the node only obeys commands from devices that their account has signed. Without a name, this
/// command shows the state of the node's own device: its key, whether its account has signed it, and whether room
/// keys can be recovered. With a name, it compares emoji with that person: both see seven emoji and confirm that they
/// match. If they match, nobody intercepts the connection, and each account signs the other. The person accepts the
/// request in their client; the command accepts a request that the person sent first. With the name of the node's own
/// account, it verifies another device of that account.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix verify
  cis matrix verify --json | jq .signed
  cis matrix verify @ann:example.org
  cis matrix verify --new-recovery-key
  secret-tool lookup matrix recovery | cis matrix verify --recovery-key-stdin")]
#[command(group = clap::ArgGroup::new("what").args(["user", "recovery_key_stdin", "new_recovery_key"]))]
pub(crate) struct Args {
    /// The person to compare emoji with
    #[arg(value_name = "@NAME:SERVER")]
    user: Option<String>,
    /// Sign the node's device with the account's recovery key, read from standard input or the terminal
    #[arg(long)]
    recovery_key_stdin: bool,
    /// Create a recovery key for the node's account and print it once; an earlier key becomes invalid
    #[arg(long)]
    new_recovery_key: bool,
    /// Give up after this time, at most 9m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = settings::duration, requires = "user")]
    timeout: Duration,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    if let Some(user) = args.user {
        if args.timeout > TIMEOUT_MAX {
            return Err(CliError::bad_input(
                "--timeout is at most 9m, because a request expires after 10 minutes",
            ));
        }
        let client = context.client()?;
        return context.block_on(compare(context, client, user, args.timeout));
    }
    if args.recovery_key_stdin {
        let recovery_key = secret::from_stdin("recovery key")?;
        let client = context.client()?;
        return context.block_on(async {
            let standing = client.recover_matrix(&RecoverMatrix { recovery_key }).await?;
            output::show(context.json, &standing, human::standing)?;
            Ok(Exit::OK)
        });
    }
    let client = context.client()?;
    context.block_on(async {
        if args.new_recovery_key {
            let made = client.new_matrix_recovery().await?;
            output::show(context.json, &made, |made| format!("{}\n", clean(&made.recovery_key)))?;
            let backed_up = if made.standing.backs_up { " Room keys are backed up from now on." } else { "" };
            output::note(&format!(
                "Keep this key where only you find it: it opens everything that the account's devices encrypt, and nobody can \
                 show it again.{backed_up}\n",
            ));
        } else {
            output::show(context.json, &client.matrix_standing().await?, human::standing)?;
        }
        Ok(Exit::OK)
    })
}

async fn compare(
    context: &Context,
    client: Client,
    user: String,
    timeout: Duration,
) -> Result<Exit, CliError> {
    let mut leave = AnyLeaving::new()?;
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let wanted = BeginVerification { user, timeout_ms };
    let mut view = {
        let mut begun = std::pin::pin!(client.begin_verification(&wanted));
        match leave.during(&mut begun).await {
            Ok(begun) => begun?,
            Err(number) => {
                // What was begun meanwhile is ended.
                let cancel =
                    async { client.say_verification(&begun.await?.id, VerificationWord::Cancel).await };
                return cancelled(&mut leave, number, cancel).await;
            }
        }
    };
    let client = context.follower(client);
    let mut typed = tell(context, &view)?;
    loop {
        let query = ReadVerification { after: Some(view.revision), wait_ms: Some(WAIT_MS) };
        tokio::select! {
            biased;
            number = leave.recv() => {
                drop(typed);
                output::note("\n");
                let cancel = client.say_verification(&view.id, VerificationWord::Cancel);
                return cancelled(&mut leave, number, cancel).await;
            }
            line = line(&mut typed) => {
                typed = None;
                match leave.during(Box::pin(client.say_verification(&view.id, word(&line)))).await {
                    Ok(said) => drop(said?),
                    Err(number) => {
                        let cancel = client.say_verification(&view.id, VerificationWord::Cancel);
                        return cancelled(&mut leave, number, cancel).await;
                    }
                }
            }
            next = client.read_verification(&view.id, &query) => {
                let next = next.map_err(|error| context.lost(error, &format!("cis matrix verify {}", wanted.user)))?;
                if next.revision == view.revision {
                    continue;
                }
                view = next;
                if view.state.is_end() {
                    if typed.take().is_some() {
                        output::note("\n");
                    }
                    return ended(context, &view, timeout);
                }
                if let Some(asked) = tell(context, &view)? {
                    typed = Some(asked);
                }
            }
        }
    }
}

/// Waits a moment for the node to cancel the comparison, unless another signal comes.
async fn cancelled(
    leave: &mut AnyLeaving,
    number: i32,
    cancel: impl Future<Output = Result<VerificationView, ClientError>>,
) -> Result<Exit, CliError> {
    match leave.during(timeout(CANCEL_TIME_MAX, Box::pin(cancel))).await {
        Ok(Ok(view)) => {
            view?;
            output::note("Cancelled.\n");
        }
        Ok(Err(_)) | Err(_) => output::note(
            "The node has not answered: the comparison may go on until its timeout. `cis node status` tells whether the node \
             is well.\n",
        ),
    }
    Ok(Exit::signal(number))
}

/// Only a clear yes is one.
fn word(line: &Line) -> VerificationWord {
    match line {
        Line::Text(text) if ["y", "yes"].contains(&text.to_lowercase().as_str()) => VerificationWord::Match,
        Line::Text(_) => VerificationWord::Mismatch,
        Line::Cancelled | Line::Gone => VerificationWord::Cancel,
    }
}

/// Says how it stands, and asks what is to be asked.
fn tell(context: &Context, view: &VerificationView) -> Result<Option<Typed>, CliError> {
    if context.json {
        output::json_line(view)?;
    }
    let user = clean(&view.user_id);
    match view.state {
        VerificationState::Asked => output::note(&format!(
            "Waiting for {user}.\nAccept it in your client, in the direct room with the node;\n\
             with a node of your own: `cis matrix verify` there. Ctrl+C cancels.\n"
        )),
        VerificationState::Accepted => output::note(&format!("{user} accepted; exchanging keys.\n")),
        VerificationState::Compare => {
            if !context.json {
                output::print(&human::emoji(view))?;
            }
            let failed = |error: io::Error| CliError::unavailable(format!("cannot read the answer: {error}"));
            return Typed::ask("Do they match? [y/N] ").map(Some).map_err(failed);
        }
        VerificationState::Confirmed => output::note(&format!("Waiting for {user} to confirm.\n")),
        _ => {}
    }
    Ok(None)
}

fn ended(context: &Context, view: &VerificationView, timeout: Duration) -> Result<Exit, CliError> {
    if context.json {
        output::json_line(view)?;
    }
    let user = clean(&view.user_id);
    let why = view.detail.as_deref().map(clean).unwrap_or_default();
    let failed = |detail: String, hint: &str| Err(CliError::Failed { detail, hint: hint.to_owned() });
    let again = "nothing was signed; try again when both sides are ready";
    match view.state {
        VerificationState::Verified => {
            if !context.json {
                output::print(&format!(
                    "Verified: both sides see the same. This account has signed the keys of {user}.\n"
                ))?;
            }
            Ok(Exit::OK)
        }
        VerificationState::TimedOut => failed(
            format!("{user} and you did not come to an end within {}", humantime::format_duration(timeout)),
            "was it accepted in their client? Begin again, or take a longer --timeout",
        ),
        VerificationState::Cancelled if view.code.as_deref() == Some("m.mismatched_sas") => failed(
            if view.by_us == Some(true) {
                format!("you said that the emoji differ: {user} is not verified")
            } else {
                format!("{user} said that the emoji differ: they are not verified")
            },
            "somebody may stand between the two of you: do not trust what comes from there before it was cleared up",
        ),
        VerificationState::Cancelled if view.by_us == Some(true) => {
            failed(format!("the comparison with {user} was cancelled on this side: {why}"), again)
        }
        VerificationState::Cancelled => failed(format!("{user} cancelled the comparison: {why}"), again),
        _ => failed(format!("the comparison with {user} came to nothing: {why}"), again),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_confirms() {
        for yes in ["y", "Y", "yes", "YES"] {
            assert_eq!(word(&Line::Text(yes.to_owned())), VerificationWord::Match, "{yes}");
        }
        for no in ["", "n", "no", "maybe", "yy"] {
            assert_eq!(word(&Line::Text(no.to_owned())), VerificationWord::Mismatch, "{no}");
        }
        assert_eq!(word(&Line::Gone), VerificationWord::Cancel);
    }
}

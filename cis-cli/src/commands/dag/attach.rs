//! `cis dag attach`.

use cis_client::Client;
use cis_core::api::{ListSessions, SessionView};

use super::{no_session, picker};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use crate::signals::{AnyLeaving, die_by};
use crate::term::attach::{How, Left, attach};
use crate::term::detach::Detach;
use crate::term::raw;
use cis_local::now_ms;

/// Attach this terminal to a session
///
/// Several terminals can be attached at once; read-only ones do not affect the size. SESSION defaults to the only
/// live session; if there are several, you choose from a list. The session continues when you detach or the terminal
/// closes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: Ctrl-\\ then d detaches by default; press Ctrl-\\ twice to send it once. With --read-only, Ctrl-C also detaches.

Examples:
  cis dag attach
  cis dag attach build --read-only
  cis dag attach 4r1xec --detach-keys \"C-b d\"")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: Option<String>,
    /// Watch only: typed keys are not sent
    #[arg(long)]
    read_only: bool,
    /// Keys that detach [default: attach.detach_keys of the configuration]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let configured = || context.config().map(|config| config.settings.attach.detach_keys);
    let keys = args.detach_keys.clone().map_or_else(configured, Ok)?;
    let how = How { read_only: args.read_only, detach: Detach::new(&keys)? };
    if !raw::is_interactive() {
        return Err(CliError::bad_input("attach needs a terminal for input and output")
            .hint("`cis dag logs -f SESSION` follows a session without one"));
    }
    let client = context.client()?;
    context.block_on(async {
        let (id, name) = match &args.session {
            Some(name) => (name.clone(), name.clone()),
            None => choose(&client).await?,
        };
        let left = match Box::pin(attach(context, &client, &id, how)).await {
            Ok(left) => left,
            Err(error) => {
                // Attaching has taken the signals over: without this, none would end the command any more.
                let explained = Box::pin(no_session::explain(&client, &id, error));
                return match AnyLeaving::new()?.during(explained).await {
                    Ok(error) => Err(error),
                    Err(number) => Ok(die_by(number)),
                };
            }
        };
        Ok(say_goodbye(&name, &left))
    })
}

fn say_goodbye(session: &str, left: &Left) -> Exit {
    let name = output::clean::clean(session);
    let (text, exit) = match left {
        Left::Detached => (format!("[detached from {name}]\n"), Exit::OK),
        Left::Signal(number) => (format!("[detached from {name}]\n"), Exit::signal(*number)),
        Left::Ended { detail, screen } => {
            // The alternate screen is left, and the session's last output with it. So this output is printed
            // on the main screen.
            let shown = screen.as_deref().map(last_lines).unwrap_or_default();
            (format!("{shown}[ended: {}]\n", output::clean::clean(detail)), Exit::OK)
        }
        Left::NodeAway { stopped } => {
            let (how, start) =
                if *stopped { ("was stopped", "cis node start --detach, then ") } else { ("went away", "") };
            let text = format!("[the node {how}; the session lives on: {start}cis dag attach {name}]\n");
            (text, Exit::ERROR)
        }
    };
    output::note(&text);
    if let Left::Signal(number) = left { die_by(*number) } else { exit }
}

/// Returns the lines of a screen, without empty lines at its top.
fn last_lines(screen: &str) -> String {
    let lines = screen.lines().skip_while(|line| line.trim().is_empty());
    lines.map(|line| format!("{}\n", output::clean::clean(line))).collect()
}

/// The only live session, or the one that the person picks: its id, and what to call it.
async fn choose(client: &Client) -> Result<(String, String), CliError> {
    let mut live = client.all_sessions(&ListSessions::default()).await?.items;
    live.retain(|session| session.tty);
    match live.as_slice() {
        [] => Err(CliError::bad_input("no live session with a terminal")
            .hint("`cis dag sessions --all` lists ended ones too")),
        [only] => Ok(id_and_name(only)),
        several => pick(several),
    }
}

fn id_and_name(session: &SessionView) -> (String, String) {
    (session.id.to_string(), session.id.short())
}

fn pick(several: &[SessionView]) -> Result<(String, String), CliError> {
    let answer = picker::ask(&menu(several, now_ms()))?;
    chosen(several, &answer).ok_or_else(|| picker::not_in_list(&answer))
}

fn menu(several: &[SessionView], now: cis_core::ids::TimestampMs) -> String {
    let question = format!("Attach to which, 1 to {}? ", several.len());
    picker::menu(&human::sessions(several, now), &question)
}

fn chosen(several: &[SessionView], answer: &str) -> Option<(String, String)> {
    picker::chosen(several, answer).map(id_and_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_list_is_taken_and_nothing_else() {
        let session = |n: u128| -> SessionView {
            serde_json::from_value(serde_json::json!({
                "id": cis_core::ids::SessionId::from_parts(0, n).to_string(), "run": null, "task": null,
                "attempt": null, "name": format!("s{n}"), "state": "ready", "pid": 7, "tty": true, "size": null,
                "command": "bash", "created_ms": 0, "ended_ms": null, "exit_code": null,
            }))
            .unwrap()
        };
        let several = [session(1), session(2)];
        assert_eq!(chosen(&several, " 2\n").unwrap().0, several[1].id.to_string());
        for bad in ["", "0", "3", "x", "-1"] {
            assert!(chosen(&several, bad).is_none(), "{bad}");
        }
        insta::assert_snapshot!(anstream::adapter::strip_str(&menu(&several, 5000)).to_string(), @r"
             SESSION  TASK  RUN  STATE  PID  AGE   COMMAND
          1  000001   s1         ready  7    5.0s  bash
          2  000002   s2         ready  7    5.0s  bash
        Attach to which, 1 to 2?
        ");
    }
}

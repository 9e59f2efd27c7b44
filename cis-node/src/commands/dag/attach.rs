//! `cis dag attach`.

use std::io::BufRead as _;

use cis_core::api::{ListSessions, SessionView};
use cis_core::client::Client;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::input_id::now_ms;
use crate::output::{self, human};
use crate::term::attach::{How, Left, attach};
use crate::term::detach::Detach;
use crate::term::raw;

/// Shows a session in this terminal, and types into it
///
/// Several terminals may be attached at once; a read-only one does not decide the size. Without SESSION the only
/// live one is taken, or one is chosen from a list. The session goes on when you detach or the terminal closes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: Ctrl-\\ then d detaches; Ctrl-\\ twice sends it once. With --read-only, Ctrl-C detaches as well.

Examples:
  cis dag attach
  cis dag attach build --read-only
  cis dag attach 4r1xec --detach-keys \"C-b d\"")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: Option<String>,
    /// Look, do not type
    #[arg(long)]
    read_only: bool,
    /// Names of the keys that detach [default: C-\ d]
    #[arg(
        long,
        value_name = "KEYS",
        default_value = "C-\\ d",
        env = "CIS_DETACH_KEYS",
        hide_env_values = true
    )]
    detach_keys: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let how = How { read_only: args.read_only, detach: Detach::new(&args.detach_keys)? };
    if !raw::is_interactive() {
        return Err(CliError::bad_input("attach needs a terminal for input and output")
            .hint("`cis dag logs -f SESSION` follows a session without one"));
    }
    let client = context.client()?;
    context.block_on(async {
        let session = match &args.session {
            Some(name) => name.clone(),
            None => choose(&client).await?,
        };
        let left = Box::pin(attach(context, &client, &session, how)).await?;
        Ok(say_goodbye(&session, &left))
    })
}

fn say_goodbye(session: &str, left: &Left) -> Exit {
    let name = output::clean::clean(session);
    let (text, exit) = match left {
        Left::Detached => (format!("[detached from {name}]\n"), Exit::OK),
        Left::Signal(number) => (format!("[detached from {name}]\n"), Exit::signal(*number)),
        Left::Ended(detail) => (format!("[ended: {}]\n", output::clean::clean(detail)), Exit::OK),
        Left::NodeAway => {
            (format!("[the node went away; the session lives on: cis dag attach {name}]\n"), Exit::ERROR)
        }
    };
    output::note(&text);
    exit
}

/// The only live session, or the one that the person picks.
async fn choose(client: &Client) -> Result<String, CliError> {
    let mut live = client.sessions(&ListSessions::default()).await?.items;
    live.retain(|session| session.tty);
    match live.as_slice() {
        [] => Err(CliError::bad_input("there is no live session with a terminal")
            .hint("`cis dag sessions --all` lists ended ones too")),
        [only] => Ok(only.id.to_string()),
        several => pick(several),
    }
}

fn pick(several: &[SessionView]) -> Result<String, CliError> {
    output::note(&menu(several, now_ms()));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::bad_input(format!("no answer could be read: {error}")))?;
    chosen(several, &answer)
        .ok_or_else(|| CliError::bad_input(format!("`{}` is not in the list", answer.trim())))
}

fn menu(several: &[SessionView], now: cis_core::ids::TimestampMs) -> String {
    let table = human::sessions(several, now);
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        let number = if number == 0 { String::new() } else { number.to_string() };
        text.push_str(&format!("{number:>3}  {line}\n"));
    }
    text + &format!("Attach to which, 1 to {}? ", several.len())
}

fn chosen(several: &[SessionView], answer: &str) -> Option<String> {
    let number: usize = answer.trim().parse().ok()?;
    several.get(number.checked_sub(1)?).map(|session| session.id.to_string())
}

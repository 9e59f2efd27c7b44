//! `cis dag unblock`.

use cis_core::api::SendInput;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};
use crate::{input_id, keys};

/// Types an answer into a session
///
/// Passwords do not belong here, as arguments are seen by others: type them in `cis dag attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are single characters, C-x (Ctrl), M-x (Alt), S-x (Shift), and Enter, Escape, Tab, BTab, Space,
BSpace, Up, Down, Left, Right, Home, End, PageUp, PageDown, Insert, Delete, F1 to F12.

Examples:
  cis dag unblock build --text yes
  cis dag unblock 4r1xec --keys \"Down Down Enter\"")]
#[command(group = clap::ArgGroup::new("answer").required(true).args(["text", "keys"]))]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its task, or its name
    #[arg(value_name = "SESSION")]
    session: String,
    /// Type this and Enter
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Type these keys
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true)]
    keys: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let data = match (&args.text, &args.keys) {
        (Some(text), _) => [text.as_bytes(), b"\r"].concat(),
        (None, keys) => keys::parse(keys.as_deref().unwrap_or_default())?,
    };
    let input = SendInput { data, input: input_id::new()? };
    let client = context.client()?;
    context.block_on(async {
        let receipt = client.send_input(&args.session, &input).await?;
        output::show(context, &receipt, |_| format!("Typed into {}.\n", clean(&args.session)))?;
        Ok(Exit::OK)
    })
}

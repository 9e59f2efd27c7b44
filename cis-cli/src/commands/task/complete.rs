//! `cis task complete`.

use std::io::Read as _;

use cis_client::input_id;
use cis_core::api::HandIn;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Longer results are refused anyway.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Hand in the result of the task: the session ends and the task succeeds
///
/// For programs that keep running when their work is done, such as agents. Write the outputs that the task declares
/// first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task complete
  cis task complete --text \"12 of 12 tests pass\"
  cis task complete --text -")]
pub(crate) struct Args {
    /// Text of the result, which tasks that need this one get; `-` reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let text = match args.text.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(TEXT_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(|error| CliError::bad_input(format!("cannot read the text: {error}")))?;
            Some(text)
        }
        text => text.map(str::to_owned),
    };
    let client = context.client()?;
    context.block_on(async {
        client.hand_in(&HandIn { text, input: input_id()? }).await?;
        if context.json {
            output::json_line(&serde_json::json!({ "handed_in": true }))?;
        }
        Ok(Exit::OK)
    })
}

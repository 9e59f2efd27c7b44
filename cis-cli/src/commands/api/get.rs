//! `cis api get`.

use std::io::IsTerminal as _;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean_lines;

/// Send a GET request to the API and print the response
///
/// On a terminal, JSON is indented. Everything else is printed unchanged: logs, screens, files, and JSON that goes
/// elsewhere. Problems go to standard error and set the exit code. WebSocket paths are not supported; `cis dag events
/// --follow --json` streams events.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis api get /v1/node
  cis api get '/v1/runs?open=true&limit=5' | jq -r '.items[].id'
  cis api get /v1/sessions/build/screen
  cis --url https://node.example.org:7443 --token-file ann.token api get /v1/inbox")]
pub(crate) struct Args {
    /// The path, with its query if it has one
    #[arg(value_name = "PATH", value_parser = path)]
    path: String,
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic();
    if !text.starts_with('/') || !text.bytes().all(is_plain) || text.contains('#') {
        return Err("it begins with `/` and has no blanks; other characters are percent-encoded".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let mut answer = client.get_raw(&args.path).await?;
        let on_terminal = std::io::stdout().is_terminal();
        if !on_terminal || (context.json && !answer.is_json()) {
            let mut last = None;
            while let Some(bytes) = answer.next().await? {
                last = bytes.last().copied();
                output::bytes(&bytes)?;
            }
            if answer.is_json() && last != Some(b'\n') {
                output::bytes(b"\n")?;
            }
            return Ok(Exit::OK);
        }
        let mut all = Vec::new();
        while let Some(bytes) = answer.next().await? {
            if answer.is_json() {
                all.extend_from_slice(&bytes);
            } else {
                // Whatever it holds must not move the cursor.
                output::print(&clean_lines(&String::from_utf8_lossy(&bytes)))?;
            }
        }
        if context.json {
            output::json_lines(format!("{}\n", String::from_utf8_lossy(&all).trim_end()))?;
        } else if answer.is_json() {
            let text = pretty(&all).unwrap_or_else(|| String::from_utf8_lossy(&all).into_owned());
            output::print(&format!("{}\n", clean_lines(&text)))?;
        }
        Ok(Exit::OK)
    })
}

/// The same document over several lines.
fn pretty(json: &[u8]) -> Option<String> {
    serde_json::to_string_pretty(&serde_json::from_slice::<serde_json::Value>(json).ok()?).ok()
}

//! `cis session exec`.

mod echo;

use std::time::Duration;

use cis_client::{Client, LogStream, input_id};
use cis_core::api::{ReadLog, SendInput};
use cis_node::config::Timeouts;
use regex::Regex;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use self::echo::{Echo, after_echo};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean_lines};
use crate::settings;

/// An echo that is not complete after so much time, with nothing more coming, is taken for output.
const ECHO_TIME_MAX: Duration = Duration::from_secs(1);
/// A match has at most so many bytes, where it comes in pieces.
const MATCH_BYTES_MAX: usize = 64 << 10;
/// Text that is kept: what came before can be neither matched nor, in JSON, shown.
const KEPT_BYTES: usize = 16 << 20;

/// Type a line into a session and print the output that follows, as plain text
///
/// Ends when the output matches --wait-for. Without --wait-for, it ends when there was no output for the time of
/// --quiet, so a command that is silent for longer is cut off. The echo of TEXT is neither matched nor printed.
/// CIS does not check what the session shows: if a program asks a question there, TEXT is the answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis session exec build 'make test; echo \"rc=$?\"' --wait-for 'rc=\\d+'
  cis session exec shell pwd")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its name, or its task
    #[arg(value_name = "SESSION")]
    session: String,
    /// Text to type, followed by Enter
    #[arg(value_name = "TEXT", allow_hyphen_values = true, value_parser = one_line)]
    text: String,
    /// Wait until the output matches this regular expression (^ and $ match at lines)
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    wait_for: Option<Regex>,
    /// Without --wait-for: end after this time without output
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = settings::duration)]
    quiet: Duration,
    /// Maximum time to wait [default: timeouts.exec_default of the configuration, 5m; at most timeouts.exec_max, 30m]
    #[arg(long, value_name = "TIME", value_parser = settings::duration)]
    timeout: Option<Duration>,
}

fn one_line(text: &str) -> Result<String, String> {
    match text.contains(['\n', '\r']) {
        true => Err("must be one line; `cis dag attach` lets you type several".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(text).multi_line(true).build().map_err(|error| error.to_string())
}

/// How long is waited: as was asked for, or as is configured.
fn time_limit(asked: Option<Duration>, timeouts: &Timeouts) -> Result<Duration, CliError> {
    let max = Duration::from_millis(timeouts.exec_max_ms);
    let usual = Duration::from_millis(timeouts.exec_default_ms).min(max);
    let limit = asked.unwrap_or(usual);
    if limit > max {
        let (limit, max) = (humantime::format_duration(limit), humantime::format_duration(max));
        return Err(CliError::bad_input(format!("--timeout {limit} is longer than the maximum, {max}"))
            .hint("raise the maximum with `timeouts.exec_max` of the configuration"));
    }
    Ok(limit)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    session: String,
    output: String,
    matched: Option<bool>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Matched,
    Quiet,
    SessionEnded,
    TimedOut,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let limit = time_limit(args.timeout, &context.config()?.settings.timeouts)?;
    let client = context.client()?;
    context.block_on(Box::pin(exec(context, client, args, limit)))
}

async fn exec(context: &Context, client: Client, args: &Args, limit: Duration) -> Result<Exit, CliError> {
    let data = [args.text.as_bytes(), b"\r"].concat();
    let receipt = client.send_input(&args.session, &SendInput { data, input: input_id()? }).await?;
    let how = ReadLog { from: Some(receipt.output_offset), follow: true, plain: true, ..ReadLog::default() };
    let follower = context.follower(client);
    let log = follower.session_log(&args.session, &how).await?;
    let mut reader = Reader {
        args,
        limit,
        print: !context.json,
        text: String::new(),
        undecoded: Vec::new(),
        start: None,
        printed: 0,
        settled: false,
        searched: 0,
    };
    let end = reader.read(log).await?;
    reader.finish()?;
    if context.json {
        output::json_line(&Answer {
            session: args.session.clone(),
            output: reader.text[reader.start.unwrap_or(0)..].to_owned(),
            matched: args.wait_for.as_ref().map(|_| end == End::Matched),
        })?;
    }
    let limit = humantime::format_duration(limit);
    match (end, &args.wait_for) {
        (End::TimedOut, Some(pattern)) => Err(CliError::Failed {
            detail: format!("nothing matched `{pattern}` within {limit}"),
            hint: "the session continues; use a longer --timeout, or see its output with `cis dag logs -f`"
                .to_owned(),
        }),
        (End::TimedOut, None) => Err(CliError::Failed {
            detail: format!("the output did not end within {limit}"),
            hint: "the session continues; `cis dag logs -f` shows its output".to_owned(),
        }),
        (End::SessionEnded, Some(pattern)) => Err(CliError::Failed {
            detail: format!("the session ended before anything matched `{pattern}`"),
            hint: "`cis dag logs` shows its output".to_owned(),
        }),
        _ => Ok(Exit::OK),
    }
}

/// Collects, looks for the end, and prints meanwhile.
struct Reader<'a> {
    args: &'a Args,
    limit: Duration,
    print: bool,
    /// All that came.
    text: String,
    /// The first bytes of a character whose rest has not come.
    undecoded: Vec<u8>,
    /// Where the echo ends, once that is known.
    start: Option<usize>,
    printed: usize,
    /// What stands between the echo and the output was dealt with.
    settled: bool,
    /// Up to where a match was looked for.
    searched: usize,
}

impl Reader<'_> {
    async fn read(&mut self, mut log: LogStream<'_>) -> Result<End, CliError> {
        let begun = Instant::now();
        let mut newest = begun;
        loop {
            if self.matches() {
                return Ok(End::Matched);
            }
            let silence = match (&self.args.wait_for, self.start) {
                (_, None) => ECHO_TIME_MAX,
                (None, Some(_)) => self.args.quiet,
                (Some(_), Some(_)) => self.limit,
            };
            tokio::select! {
                bytes = log.next() => match bytes? {
                    Some(bytes) => {
                        newest = Instant::now();
                        self.take(&bytes)?;
                    }
                    None => {
                        self.start.get_or_insert(0);
                        return Ok(if self.matches() { End::Matched } else { End::SessionEnded });
                    }
                },
                () = sleep_until(begun + self.limit) => return Ok(End::TimedOut),
                () = sleep_until(newest + silence) => {
                    // A node that is away says nothing of a session that goes on.
                    if log.is_away() {
                        newest = Instant::now();
                        continue;
                    }
                    if self.start.is_some() && self.args.wait_for.is_none() {
                        return Ok(End::Quiet);
                    }
                    self.start.get_or_insert(0);
                    newest = Instant::now();
                    self.show()?;
                }
            }
        }
    }

    /// Whether the pattern is in the output. What was looked at before is looked at again only as far as
    /// a match may reach back.
    fn matches(&mut self) -> bool {
        let (Some(pattern), Some(start)) = (&self.args.wait_for, self.start) else { return false };
        let from = start.max(self.searched.saturating_sub(MATCH_BYTES_MAX));
        self.searched = self.text.len();
        pattern.is_match_at(&self.text, self.text.ceil_char_boundary(from))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.undecoded.extend_from_slice(bytes);
        for chunk in std::mem::take(&mut self.undecoded).utf8_chunks() {
            self.text.push_str(chunk.valid());
            // The beginning of a character waits for its end, which has at most three bytes more.
            match chunk.invalid() {
                [] => {}
                rest if bytes.ends_with(rest) && could_become_a_character(rest) => {
                    self.undecoded = rest.to_vec();
                }
                _ => self.text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        if self.start.is_none() {
            self.start = match after_echo(&self.text, &self.args.text) {
                Echo::Incomplete => None,
                Echo::EndsAt(at) => Some(at),
                Echo::None => Some(0),
            };
        }
        self.skip_empty_line();
        self.show()?;
        self.forget();
        Ok(())
    }

    /// Line editors return the cursor once more after the echo, which is an empty line in plain text.
    fn skip_empty_line(&mut self) {
        if let Some(start) = self.start.as_mut().filter(|start| !self.settled && **start < self.text.len()) {
            self.settled = true;
            *start += usize::from(*start > 0 && self.text.as_bytes()[*start] == b'\n');
        }
    }

    /// Prints what was not yet printed.
    fn show(&mut self) -> Result<(), CliError> {
        let Some(start) = self.start.filter(|_| self.print) else { return Ok(()) };
        self.printed = self.printed.max(start);
        output::print(&clean_lines(&self.text[self.printed..].replace('\r', "")))?;
        self.printed = self.text.len();
        Ok(())
    }

    /// Ends the last line.
    fn finish(&mut self) -> Result<(), CliError> {
        self.start.get_or_insert(0);
        self.show()?;
        let shown = &self.text[self.start.unwrap_or(0)..];
        if self.print && !shown.is_empty() && !shown.ends_with('\n') {
            output::print("\n")?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        if self.text.len() > KEPT_BYTES && self.start.is_some() {
            let cut = self.text.ceil_char_boundary(self.text.len() - KEPT_BYTES / 2);
            self.text.drain(..cut);
            self.printed = self.printed.saturating_sub(cut);
            self.searched = self.searched.saturating_sub(cut);
            self.start = Some(0);
        }
    }
}

fn could_become_a_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests;

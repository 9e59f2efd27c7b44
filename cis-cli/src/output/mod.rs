//! Two forms of every answer: text for people, JSON for programs (`docs/reference/json.md`).
//!
//! Answers go to standard output, everything said about the work to standard error.

pub(crate) mod clean;
mod error;
pub(crate) mod human;
pub(crate) mod style;
pub(crate) mod table;

use std::borrow::Cow;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::CliError;

pub(crate) use error::report;

/// An answer in the form that was asked for.
pub(crate) fn show<T: Serialize>(
    json: bool,
    value: &T,
    human: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    if json { json_line(value) } else { print(&human(value)) }
}

/// One JSON document on a line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CliError::unavailable(format!("cannot write the answer as JSON: {error}")))?;
    let mut text = without_c1(text);
    text.push('\n');
    bytes(text.as_bytes())
}

/// Lines of JSON that the node wrote.
pub(crate) fn json_lines(lines: String) -> Result<(), CliError> {
    bytes(without_c1(lines).as_bytes())
}

/// JSON leaves the control characters U+0080 to U+009F as they are. Some terminals take them for the beginning of escape sequences
/// (ECMA-48, 5.3), so they are written as `\u` escapes. In JSON they can stand in strings alone.
fn without_c1(json: String) -> String {
    let is_c1 = |c: char| ('\u{80}'..='\u{9f}').contains(&c) || c == '\u{7f}';
    if !json.contains(is_c1) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_c1(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Characters of a line of the terminal at standard output; none where that is no terminal, or does not say.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Text, with styles where standard output shows them.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Something about the work. Where nobody can read it, it is not said.
pub(crate) fn note(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Cursor movements and styles for a terminal at standard error: the movements always, the styles where
/// they are wanted.
pub(crate) fn draw(movement: &str, text: &str) {
    let err = io::stderr();
    let plain = anstream::AutoStream::choice(&err) == anstream::ColorChoice::Never;
    let text =
        if plain { anstream::adapter::strip_str(text).to_string().into() } else { Cow::Borrowed(text) };
    let _ = err.lock().write_all(format!("{movement}{text}").as_bytes());
}

fn written(result: io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::unavailable(format!("cannot write to standard output: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::without_c1;

    #[test]
    fn json_holds_no_control_characters_that_a_terminal_obeys() {
        let value = "f\u{9b}6n é \u{7f}";
        let json = without_c1(serde_json::to_string(value).unwrap());
        assert_eq!(json, "\"f\\u009b6n é \\u007f\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }
}

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
    let mut text = serde_json::to_vec(value)
        .map_err(|error| CliError::unavailable(format!("cannot write the answer as JSON: {error}")))?;
    text.push(b'\n');
    bytes(&text)
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

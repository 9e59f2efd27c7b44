//! DAG files as a command gets them: read from a file or standard input, and checked without a node.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use serde::Serialize;

use crate::error::CliError;

/// A longer text is no DAG file.
const BYTES_MAX: u64 = 16 << 20;

/// A file's text and where it came from.
#[derive(Debug)]
pub(crate) struct DagFile {
    /// As it is, UTF-8 or not.
    pub(crate) text: Vec<u8>,
    /// As the user gave it, or `<stdin>`.
    pub(crate) source: String,
}

/// What a check found out.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// `[dag] id`.
    pub(crate) dag: String,
    /// How many tasks there are.
    pub(crate) tasks: usize,
}

/// Reads `name`; `-` is standard input.
pub(crate) fn read(name: &str) -> Result<DagFile, CliError> {
    let (result, source) = if name == "-" {
        (whole(io::stdin().lock()), "<stdin>")
    } else {
        (File::open(name).and_then(whole), name)
    };
    let text = result.map_err(|error| {
        let error_text = CliError::bad_input(format!("cannot read the DAG file {source}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => error_text.hint("is it meant relative to another directory?"),
            _ => error_text,
        }
    })?;
    Ok(DagFile { text, source: source.to_owned() })
}

fn whole(file: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it has more than 16 MB"));
    }
    Ok(text)
}

pub(crate) fn check(file: &DagFile, params: &BTreeMap<String, String>) -> Result<Checked, CliError> {
    let _ = (file, params);
    Err(CliError::unavailable("INTERIM"))
}

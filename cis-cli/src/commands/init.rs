//! `cis init`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// A file that runs as it is, and shows what there is.
const SAMPLE: &str = include_str!("init/hello.toml");

/// Create the node's home directory and key
///
/// Does not change existing files. Other commands also create what they need; this one lists what it created.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis init
  cis init --sample
  cis init --sample ship.toml")]
pub(crate) struct Args {
    /// Write a DAG file to start from
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "hello.toml")]
    sample: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Made {
    home: String,
    home_made: bool,
    did: String,
    key_made: bool,
    sample: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let home = &context.home;
    let cannot = |what: &str, error: &io::Error| {
        CliError::unavailable(format!("cannot create {what}: {error}"))
            .hint("`cis doctor` checks the home directory; --home DIR uses another one")
    };
    let home_made =
        crate::home::create(home).map_err(|error| cannot(&home.dir.display().to_string(), &error))?;
    let (did, key_made) =
        crate::home::key(home).map_err(|error| cannot(&home.identity_key().display().to_string(), &error))?;
    if let Some(path) = &args.sample {
        write_sample(path)?;
    }
    let made = Made {
        home: home.dir.display().to_string(),
        home_made,
        did: did.to_string(),
        key_made,
        sample: args.sample.as_ref().map(|path| path.display().to_string()),
    };
    output::show(context.json, &made, human)?;
    Ok(Exit::OK)
}

fn write_sample(path: &std::path::Path) -> Result<(), CliError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(SAMPLE.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::bad_input(format!("{} already exists and was not changed", path.display()))
                .hint("give another name: --sample FILE")
        }
        _ => CliError::unavailable(format!("cannot write {}: {error}", path.display())),
    })
}

fn human(made: &Made) -> String {
    let word = |made: bool| if made { "made " } else { "found" };
    let mut text = format!("{} {}\n", word(made.home_made), clean(&made.home));
    let _ = writeln!(text, "{} the node's key; it is {}", word(made.key_made), made.did);
    if let Some(sample) = &made.sample {
        let _ = writeln!(text, "made  {}; run it: cis dag run {}", clean(sample), clean(sample));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello.toml");
        write_sample(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(write_sample(&path).unwrap_err().exit(), Exit(2));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn what_was_made_and_what_was_found() {
        let made = Made {
            home: "/h".into(),
            home_made: true,
            did: "did:key:z6Mk".into(),
            key_made: false,
            sample: Some("hello.toml".into()),
        };
        insta::assert_snapshot!(human(&made), @r"
        made  /h
        found the node's key; it is did:key:z6Mk
        made  hello.toml; run it: cis dag run hello.toml
        ");
    }
}

//! DAG files as a command gets them: read from a file or standard input, and checked without a node.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use cis_core::api::{Problem, ProblemKind};
use cis_core::dag::Dag;
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
    /// All of it.
    #[serde(skip)]
    pub(crate) file: Dag,
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
            io::ErrorKind::NotFound => error_text.hint("relative paths start from the current directory"),
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

/// What the file says.
pub(crate) fn parse(file: &DagFile) -> Result<Dag, CliError> {
    cis_core::dag::parse(&file.text, &file.source).map_err(|found| {
        let mut problem = Problem::new(ProblemKind::BadInput, found.summary(&file.source));
        problem.diagnostics = found.findings;
        CliError::from(problem)
    })
}

/// Checks the file as a node would before it makes a run of it. Where `params` are given, so are their values.
pub(crate) fn check(file: &DagFile, params: &BTreeMap<String, String>) -> Result<Checked, CliError> {
    let bad = |detail: String| Problem::new(ProblemKind::BadInput, detail);
    let dag = parse(file)?;
    if !params.is_empty() {
        cis_core::dag::resolve_params(&dag, params).map_err(|wrong| bad(wrong.join("\n")))?;
    }
    Ok(Checked { dag: dag.id.clone(), tasks: dag.tasks.len(), file: dag })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> DagFile {
        DagFile { text: text.into(), source: "x.toml".into() }
    }

    fn problem(result: Result<Checked, CliError>) -> Problem {
        match result {
            Err(CliError::Problem(problem)) => *problem,
            other => panic!("{other:?}"),
        }
    }

    const GOOD: &str = "version = 1\n[dag]\nid = \"x\"\nparams = { n = { type = \"integer\" } }\n\
        [[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";

    #[test]
    fn a_good_file_says_what_it_is_and_a_bad_one_where_it_is_wrong() {
        let checked = check(&file(GOOD), &BTreeMap::new()).unwrap();
        assert_eq!((checked.dag.as_str(), checked.tasks), ("x", 1));
        let bad = problem(check(&file(&GOOD.replace("command", "comand")), &BTreeMap::new()));
        assert_eq!(bad.kind, ProblemKind::BadInput);
        assert!(bad.diagnostics.iter().any(|finding| finding.line == 7), "{bad:?}");
        assert!(bad.detail.starts_with("x.toml has "), "{bad}");
    }

    #[test]
    fn values_are_checked_where_they_are_given() {
        let with = |value: &str| check(&file(GOOD), &[("n".to_owned(), value.to_owned())].into());
        assert!(with("3").is_ok());
        assert!(problem(with("three")).detail.contains("`n`"));
    }

    #[test]
    fn the_sample_of_init_is_valid() {
        check(&file(include_str!("commands/init/hello.toml")), &BTreeMap::new()).unwrap();
    }

    #[test]
    fn a_file_that_is_missing_or_endless_is_bad_input() {
        assert_eq!(read("/nowhere/x.toml").unwrap_err().exit(), crate::error::Exit(2));
        let error = whole(io::repeat(b'#')).unwrap_err();
        assert!(error.to_string().contains("16 MB"));
    }
}

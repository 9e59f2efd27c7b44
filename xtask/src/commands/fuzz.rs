//! `fuzz`: every test whose name says that it is a fuzzer, again and again with fresh seeds.
//!
//! The fuzzers are proptest's: a failure is made smaller, printed, and its seed is written beside the
//! test, so that the ordinary tests try it first from then on.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{cargo, run, stdout_of};
use crate::tools::NEXTEST;

/// Tests with this in their name are fuzzers.
const MARK: &str = "fuzz";

/// Gives each fuzzer `SECONDS` (60).
pub(crate) fn fuzz(rest: &[String]) -> Outcome {
    let seconds = match rest.first() {
        None => 60,
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?,
    };
    NEXTEST.ensure()?;
    let fuzzers = list()?;
    if fuzzers.is_empty() {
        return Err(format!("no test has `{MARK}` in its name: nothing was fuzzed"));
    }
    for name in &fuzzers {
        let cases = one(name, Duration::from_secs(seconds))?;
        eprintln!("fuzzed  {name}: about {cases} cases");
    }
    Ok(())
}

/// Names of all fuzzers.
fn list() -> Outcome<Vec<String>> {
    let filter = format!("test(/{MARK}/)");
    let listing = stdout_of(cargo(&[
        "nextest",
        "list",
        "--workspace",
        "--locked",
        "--run-ignored",
        "all",
        "--message-format",
        "oneline",
        "-E",
        &filter,
    ]))?;
    let mut names: Vec<String> =
        listing.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Runs one until `budget` is used up, with more cases each time so that starting costs little.
fn one(name: &str, budget: Duration) -> Outcome<u64> {
    let began = Instant::now();
    let filter = format!("test(={name})");
    let (mut cases, mut total) = (1024_u64, 0);
    while began.elapsed() < budget {
        let round = Instant::now();
        let mut command = cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--run-ignored",
            "all",
            "--profile",
            "heavy",
            "--no-capture",
            "-E",
            &filter,
        ]);
        command.env("PROPTEST_CASES", cases.to_string());
        run(command)?;
        total += cases;
        if round.elapsed() < budget / 6 {
            cases *= 4;
        }
    }
    Ok(total)
}

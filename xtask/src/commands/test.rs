//! `test` and `test-all`: everything that proves something.

use std::thread;

use crate::process::{build_programs, cargo, run, run_keeping};
use crate::tools::NEXTEST;
use crate::{Outcome, agents};

/// The tests that everybody runs.
pub(crate) fn test(extra: &[String]) -> Outcome {
    prepare()?;
    run(nextest(extra))?;
    run(doc_tests())
}

/// The same after [`build`], and gives back nextest's summary, also when a test failed.
pub(crate) fn test_with_summary() -> (Outcome, Vec<String>) {
    let (outcome, summary) = run_keeping(nextest(&[]), |line| line.trim_start().starts_with("Summary"));
    (outcome.and_then(|()| run(doc_tests())), summary)
}

/// Runs all tests, including the heavy ones (marked `#[ignore]`), with more cases for the generated ones; then the commands of
/// the README in a fresh root. With arguments for nextest, runs only the tests that they select.
pub(crate) fn test_all(extra: &[String]) -> Outcome {
    prepare()?;
    super::previous::ensure()?;
    let mut command = nextest(&[]);
    command.args(["--run-ignored", "all", "--profile", "heavy"]).args(extra);
    command.env("PROPTEST_CASES", "4096").env("CIS_SIM_SEEDS", "3000").env("CIS_TEST_ALL", "1");
    run(command)?;
    run(doc_tests())?;
    if extra.is_empty() { super::fresh::fresh(&[]) } else { Ok(()) }
}

/// Builds what the tests need.
pub(crate) fn build() -> Outcome {
    prepare()?;
    run(cargo(&["nextest", "run", "--workspace", "--locked", "--no-run"]))
}

fn prepare() -> Outcome {
    agents::ensure_packages()?;
    thread::scope(|scope| {
        // What failed is said at once: a build takes minutes.
        let programs =
            scope.spawn(|| agents::ensure_programs().inspect_err(|error| eprintln!("xtask: {error}")));
        let built = NEXTEST.ensure().and_then(|()| build_programs());
        built.and(programs.join().expect("it does not panic"))
    })
}

/// How many tests nextest runs at a time.
const TEST_THREADS: &str = "NEXTEST_TEST_THREADS";

fn nextest(extra: &[String]) -> std::process::Command {
    let mut command = cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
    // Tests wait a good part of their time: for programs, timers and a homeserver.
    if std::env::var_os(TEST_THREADS).is_none() {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.env(TEST_THREADS, (3 * processors).to_string());
    }
    command.args(extra);
    command
}

fn doc_tests() -> std::process::Command {
    cargo(&["test", "--workspace", "--locked", "--doc", "--quiet"])
}

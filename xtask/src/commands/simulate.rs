//! `simulate`: many seeds of the simulation of nodes, in as many processes as there are processors.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::Outcome;
use crate::process::{cargo, stdout_of};

/// Seeds of all tests together.
const SEEDS: u64 = 1_000_000;

/// Seeds that one process walks.
const PART: u64 = 500;

/// Tests whose names begin so walk as many seeds as the environment says.
const WALKS: [&str; 2] = ["nodes_agree", "people_see"];

/// Walks `--seeds N` (1,000,000) seeds, divided among the tests that walk some. Stops at the first that fails, and says how it is replayed.
pub(crate) fn simulate(rest: &[String]) -> Outcome {
    let seeds = match rest {
        [] => SEEDS,
        [flag, count] if flag == "--seeds" => {
            count.parse().map_err(|_| format!("`{count}` is not a number of seeds"))?
        }
        _ => return Err("usage: cargo xtask simulate [--seeds N]".to_owned()),
    };
    let program = build()?;
    let listing = stdout_of({
        let mut list = Command::new(&program);
        list.arg("--list");
        list
    })?;
    let names = listing.lines().filter_map(|line| line.strip_suffix(": test"));
    let walks: Vec<&str> = names.filter(|name| WALKS.iter().any(|walk| name.starts_with(walk))).collect();
    let each = seeds.div_ceil(u64::try_from(walks.len()).unwrap_or(u64::MAX).max(1));
    let parts: Vec<(&str, u64, u64)> = (0..each.div_ceil(PART))
        .flat_map(|part| walks.iter().map(move |walk| (*walk, part * PART, PART.min(each - part * PART))))
        .collect();
    if parts.is_empty() {
        return Err("no test walks seeds: nothing was simulated".to_owned());
    }
    walk(&program, &parts)
}

/// Builds the test, and gives its program.
fn build() -> Outcome<PathBuf> {
    let built = stdout_of(cargo(&[
        "test",
        "-p",
        "cis-core",
        "--locked",
        "--test",
        "nodes",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]))?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let is_it = |message: &serde_json::Value| message["target"]["name"] == "nodes";
    let program =
        messages.filter(is_it).find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| "cargo does not say where the test `nodes` is".to_owned())
}

/// Walks the parts: a test, how many of its seeds are skipped, and how many are walked.
fn walk(program: &PathBuf, parts: &[(&str, u64, u64)]) -> Outcome {
    let total: u64 = parts.iter().map(|(.., count)| count).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let wrong: Mutex<Option<String>> = Mutex::new(None);
    let fails = |text| {
        let mut wrong = wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrong.get_or_insert(text);
        next.store(parts.len(), Ordering::Relaxed);
    };
    let processes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..processes {
            scope.spawn(|| {
                while let Some((test, skip, count)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match one(program, test, *skip, *count) {
                        Ok(()) => {
                            let now = done.fetch_add(*count, Ordering::Relaxed) + count;
                            eprintln!("{now} of {total} seeds: {test} after {skip}");
                        }
                        Err(text) => fails(text),
                    }
                }
            });
        }
    });
    match wrong.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(text) => Err(text),
        None => Ok(()),
    }
}

/// Walks a part. `Err`: what the test says, which ends with how the seed is replayed.
fn one(program: &PathBuf, test: &str, skip: u64, count: u64) -> Outcome {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::null());
    command.env("CIS_SIM_SKIP", skip.to_string()).env("CIS_SIM_SEEDS", count.to_string());
    command.env("RUST_BACKTRACE", "0");
    let output = command.output().map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let first = lines.iter().find(|line| line.starts_with("seed ")).copied().unwrap_or_default();
    let replay = lines.iter().rev().find(|line| line.starts_with("replay: ")).copied();
    let replay = replay.map_or_else(|| said.clone().into_owned(), str::to_owned);
    Err(format!("{test} failed ({}): {first}\n{replay}", output.status))
}

//! `coverage`: which share of the lines run in the tests of the libraries: unit, property and simulation tests, and whole
//! nodes and session hosts without the program `cis`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Outcome;
use crate::process::{cargo, run};
use crate::tools::TARPAULIN;
use crate::workspace::{root, target_dir};

/// A part of the code, with what must be reached.
struct Part {
    name: &'static str,
    /// Files below this folder belong to it. Of several folders, the longest counts.
    folder: &'static str,
    /// Percent of its lines.
    gate: f64,
    goal: f64,
}

const PARTS: [Part; 5] = [
    Part { name: "pure", folder: "cis-core/src", gate: 92.0, goal: 95.0 },
    Part { name: "store", folder: "cis-store/src", gate: 90.0, goal: 92.0 },
    Part { name: "host", folder: "cis-host/src", gate: 65.0, goal: 80.0 },
    Part { name: "node", folder: "cis-node/src", gate: 55.0, goal: 75.0 },
    Part { name: "server", folder: "cis-node/src/server", gate: 40.0, goal: 70.0 },
];

/// Maximum number of files to list.
const WORST: usize = 20;

/// What cargo-tarpaulin writes.
#[derive(Deserialize)]
struct Report {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    /// The parts of its absolute path.
    path: Vec<String>,
    covered: u64,
    coverable: u64,
}

/// Lines of a part.
#[derive(Default, Clone, Copy)]
struct Lines {
    run: u64,
    all: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.run as f64 * 100.0 / self.all as f64 }
    }
}

/// `coverage`.
///
/// # Errors
/// A test failed, or a part is below its gate.
pub(crate) fn coverage(rest: &[String]) -> Outcome {
    if !rest.is_empty() {
        return Err("write `cargo xtask coverage`".to_owned());
    }
    TARPAULIN.ensure()?;
    let folder = target_dir()?.join("coverage");
    let output = folder.display().to_string();
    let mut measure = cargo(&["tarpaulin", "--locked", "--engine", "llvm", "--skip-clean", "--no-fail-fast"]);
    for part in PARTS.iter().filter_map(|part| part.folder.strip_suffix("/src")) {
        measure.args(["--package", part]);
    }
    // A directory of its own: what is built for this is of no use to other builds.
    measure.args(["--lib", "--tests", "--timeout", "1200", "--out", "Json"]);
    measure.args(["--target-dir", &output, "--output-dir", &output]);
    // All tests of a package run in one process here, and those that watch its children must be alone.
    measure.args(["--", "--test-threads", "1"]);
    let file = folder.join("tarpaulin-report.json");
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    if let Err(error) = fs::remove_file(&file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(wrong(&error));
    }
    let ran = run(measure);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => return ran.and(Err(wrong(&error))),
    };
    let report: Report = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    // The figures are worth seeing also if a test failed; a part may be below its gate for that reason.
    let shown = show(&report, &root());
    ran.and(shown)
}

fn show(report: &Report, root: &Path) -> Outcome {
    let mut parts: BTreeMap<&str, Lines> = BTreeMap::new();
    let mut missing: Vec<(u64, String)> = Vec::new();
    for file in &report.files {
        let path: std::path::PathBuf = file.path.iter().collect();
        let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
        let Some(part) = part_of(path) else { continue };
        let lines = parts.entry(part.name).or_default();
        lines.run += file.covered;
        lines.all += file.coverable;
        missing.push((file.coverable.saturating_sub(file.covered), path.to_owned()));
    }
    missing.sort_by(|a, b| b.cmp(a));
    println!("lines that no test runs, most first:");
    for (lines, path) in missing.iter().take(WORST) {
        println!("{lines:6}  {path}");
    }
    println!("\n{:8} {:>7} {:>9} {:>6} {:>6}", "part", "lines", "run", "gate", "goal");
    let mut failed = Vec::new();
    for part in &PARTS {
        let lines = parts.get(part.name).copied().unwrap_or_default();
        let percent = lines.percent();
        println!("{:8} {:>7} {percent:>7.1} % {:>6} {:>6}", part.name, lines.all, part.gate, part.goal);
        if percent < part.gate {
            failed.push(part.name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("below the gate: {}", failed.join(", "))) }
}

/// The part of a file; none for tests.
fn part_of(path: &str) -> Option<&'static Part> {
    let is_test = path.split('/').any(|name| name == "tests" || name.ends_with("tests.rs"));
    let holds = |part: &&Part| Path::new(path).starts_with(part.folder);
    PARTS.iter().filter(holds).max_by_key(|part| part.folder.len()).filter(|_| !is_test)
}

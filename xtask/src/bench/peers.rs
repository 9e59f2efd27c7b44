//! What we are measured against: ninja, and the C floor, which is the probe of the machine too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::stats::median;
use super::work::Shape;
use crate::Outcome;
use crate::process::{run, stdout_of};
use crate::workspace::root;

/// What one command of the floor takes on a quiet machine of the kind that the goals were set on, ms.
const QUIET_MS: f64 = 0.475;
/// A machine this much slower is loaded: its figures say little.
const LOADED: f64 = 1.5;
/// How often we wait for a loaded machine, and how long.
const WAITS: u32 = 6;
const WAIT: Duration = Duration::from_secs(20);

/// The compiled floor.
pub(crate) struct Floor(PathBuf);

impl Floor {
    /// Compiles `xtask/bench/floor.c` into `folder`.
    pub(crate) fn compile(folder: &Path) -> Outcome<Self> {
        let binary = folder.join("floor");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-o"]).arg(&binary).arg(root().join("xtask/bench/floor.c")).arg("-lutil");
        run(cc)?;
        Ok(Self(binary))
    }

    /// Runs `count` commands, two at a time.
    pub(crate) fn ms_each(&self, count: u32) -> Outcome<f64> {
        let mut command = Command::new(&self.0);
        command.args([count.to_string(), "2".to_owned()]);
        let text = stdout_of(command)?;
        text.trim().parse().map_err(|_| format!("the floor printed `{}`, not a number", text.trim()))
    }

    /// How fast the machine is now: ms of one command, median of three short runs.
    pub(crate) fn probe(&self) -> Outcome<f64> {
        let mut values = Vec::new();
        for _ in 0..3 {
            values.push(self.ms_each(1_000)?);
        }
        Ok(median(&values))
    }

    /// Waits, for a while, until the machine is quiet. Gives the last probe.
    pub(crate) fn wait_for_quiet(&self) -> Outcome<f64> {
        for _ in 0..WAITS {
            let ms = self.probe()?;
            if ms <= QUIET_MS * LOADED {
                return Ok(ms);
            }
            eprintln!(
                "xtask: the machine is loaded (floor {ms:.3} ms, quiet {QUIET_MS} ms): waiting {} s",
                WAIT.as_secs()
            );
            std::thread::sleep(WAIT);
        }
        self.probe()
    }
}

/// Whether figures taken at this probe say little.
pub(crate) fn is_loaded(probe_ms: f64) -> bool {
    probe_ms > QUIET_MS * LOADED
}

/// Writes `build.ninja` with the same commands as the DAG file.
pub(crate) fn write_ninja(folder: &Path, shape: Shape) -> Outcome {
    // `$out` keeps ninja from taking the commands for one and the same.
    let mut text = String::from("rule run\n  command = true && : $out\n");
    for n in 0..shape.count() {
        let _ = match shape {
            Shape::Chain(_) if n > 0 => writeln!(text, "build t{n}: run t{}", n - 1),
            _ => writeln!(text, "build t{n}: run"),
        };
    }
    let path = folder.join("build.ninja");
    std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Wall time of `ninja -j2`, everything from the start, ms.
pub(crate) fn ninja_ms(folder: &Path) -> Outcome<f64> {
    for log in [".ninja_log", ".ninja_deps"] {
        let _ = std::fs::remove_file(folder.join(log)); // It is not there the first time.
    }
    let began = Instant::now();
    let status = Command::new("ninja")
        .args(["-j2", "--quiet"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .map_err(|e| format!("cannot start ninja: {e}"))?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(ms) } else { Err(format!("ninja ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::work::{Scratch, Terminal, write_dag};

    #[test]
    fn the_floor_compiles_and_measures() {
        let scratch = Scratch::new().unwrap();
        let ms = Floor::compile(scratch.path()).unwrap().ms_each(20).unwrap();
        assert!(ms > 0.01 && ms < 1000.0, "{ms} ms for a process");
    }

    #[test]
    fn both_peers_get_the_same_work() {
        let scratch = Scratch::new().unwrap();
        for (shape, needs) in [(Shape::Wide(7), 0), (Shape::Chain(7), 6)] {
            let dag =
                std::fs::read_to_string(write_dag(scratch.path(), shape, Terminal::Pipes).unwrap()).unwrap();
            write_ninja(scratch.path(), shape).unwrap();
            let ninja = std::fs::read_to_string(scratch.path().join("build.ninja")).unwrap();
            assert_eq!(dag.matches("[[tasks]]").count(), 7);
            assert_eq!(ninja.matches("\nbuild ").count(), 7);
            assert_eq!(dag.matches("needs = ").count(), needs);
            assert_eq!(ninja.lines().filter(|line| line.contains(": run t")).count(), needs);
        }
    }
}

//! From nothing: no node, no home.

use std::path::Path;
use std::process::Stdio;

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::median;
use crate::Outcome;

const COLD_RUNS: u32 = 20;
const VERSION_RUNS: u32 = 100;

/// `cis --version`, and `cis dag run` of one `true` in a new home.
pub(crate) fn measure(binary: &Path, scratch: &Path, report: &mut Report) -> Outcome {
    let file = scratch.join("one.toml");
    std::fs::write(
        &file,
        "version = 1\n\n[dag]\nid = \"one\"\n\n[[tasks]]\nid = \"one\"\ncommand = [\"true\"]\n",
    )
    .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let mut cold = Vec::new();
    for n in 0..COLD_RUNS {
        let home = scratch.join(format!("cold{n}"));
        let cis = Cis::new(binary, &home)?;
        cold.push(cis.dag_run_ms(&file)?);
        cis.stop()?;
        std::fs::remove_dir_all(&home).map_err(|e| format!("cannot remove {}: {e}", home.display()))?;
    }
    let cis = Cis::new(binary, &scratch.join("version"))?;
    let mut version = Vec::new();
    for _ in 0..VERSION_RUNS {
        version.push(cis.time(cis.command(["--version"]).stdout(Stdio::null()))?);
    }
    report.add(Row::limit(
        "`cis dag run` of one `true`, cold, median",
        median(&cold),
        "ms",
        (200.0, 60.0),
        COLD_RUNS,
    ));
    report.add(Row::limit("`cis --version`, median", median(&version), "ms", (20.0, 10.0), VERSION_RUNS));
    Ok(())
}

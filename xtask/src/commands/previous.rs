//! Builds the program of an earlier version, for the tests of updates (`tests/e2e/versions.rs`).

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::process::{cargo, program, run};
use crate::workspace::target_dir;

/// The commit whose store and frames are the golden files of version 0.1.0.
const COMMIT: &str = "0fc2712b";

/// Builds it, unless that was done before: TARGET/previous/cis.
pub(crate) fn ensure() -> Outcome {
    let target = target_dir()?;
    let (binary, built) = (target.join("previous/cis"), target.join(format!("previous/{COMMIT}")));
    if binary.exists() && built.join("complete").exists() {
        return Ok(());
    }
    let source = built.join("source");
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).map_err(failed("make", &source))?;
    let archive = built.join("source.tar");
    let mut pack = program("git", &["archive", "--output"]);
    pack.arg(&archive).arg(COMMIT);
    run(pack).map_err(|e| format!("{e}; a clone without the whole history lacks this commit"))?;
    let mut unpack = program("tar", &["-xf"]);
    unpack.arg(&archive).arg("-C").arg(&source);
    run(unpack)?;
    let mut build = cargo(&["build", "--locked", "--bin", "cis"]);
    build.current_dir(&source).env("CARGO_TARGET_DIR", built.join("target"));
    run(build)?;
    fs::copy(built.join("target/debug/cis"), &binary).map_err(failed("copy to", &binary))?;
    // Some GB, and of no use any more.
    for path in [&source, &built.join("target")] {
        fs::remove_dir_all(path).map_err(failed("remove", path))?;
    }
    fs::remove_file(&archive).map_err(failed("remove", &archive))?;
    fs::write(built.join("complete"), "").map_err(failed("write to", &built))
}

fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> String {
    move |e| format!("cannot {what} {}: {e}", path.display())
}

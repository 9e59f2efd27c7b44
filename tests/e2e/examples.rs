//! The files of `dags/`: all are valid, and all that are not this repository's own checks run.

use std::path::PathBuf;

use super::harness::Cis;

fn examples() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dags");
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    found.sort();
    assert!(found.len() >= 8, "examples are missing: {found:?}");
    found
}

#[test]
fn every_example_is_valid() {
    let cis = Cis::new();
    for path in examples() {
        cis.run(["dag", "validate", path.to_str().unwrap()]).expect(0);
    }
}

#[test]
fn every_example_runs_as_its_head_says() {
    let cis = Cis::new().env("DEMO_TOKEN", "not-a-real-token");
    for path in examples() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "check.toml" {
            continue; // It runs these tests.
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = if text.contains("# Exit code: 1") { 1 } else { 0 };
        let copy = cis.write(&name, &text);
        cis.run(["dag", "run", copy.to_str().unwrap()]).expect(code);
    }
}

//! The files of `dags/` and the DAGs in the written documentation: all are valid, and all that need
//! nothing but a shell run.

use std::path::PathBuf;

use super::harness::Cis;

/// Files of a folder of the repository whose name ends so, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|is| is == ending));
    found.sort();
    found
}

fn examples() -> Vec<PathBuf> {
    let found = files("dags", "toml");
    assert!(found.len() >= 8, "examples are missing: {found:?}");
    found
}

/// Every block of TOML with tasks in the README and the guide: its place, and its text as a whole file.
fn dags_in_pages() -> Vec<(String, String)> {
    let mut pages = files("docs/guide", "md");
    pages.extend(files(".", "md"));
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, piece) in text.split("```toml\n").skip(1).enumerate() {
            let block = piece.split("```").next().unwrap();
            if block.contains("[[tasks]]") {
                // A part of a file stands for a file with nothing else in it.
                let head =
                    if block.contains("version =") { "" } else { "version = 1\n[dag]\nid = \"part\"\n" };
                let name = page.file_name().unwrap().to_str().unwrap();
                found.push((format!("{name}, block {}", number + 1), format!("{head}{block}")));
            }
        }
    }
    found
}

#[test]
fn every_dag_in_the_documentation_is_valid() {
    let cis = Cis::new();
    let dags = dags_in_pages();
    assert!(dags.len() >= 3, "the guide has lost its examples: {dags:?}");
    for (place, text) in dags {
        let file = cis.write("page.toml", &text);
        let checked = cis.run(["dag", "validate", file.to_str().unwrap()]);
        assert_eq!(checked.code, Some(0), "{place}: {}", checked.stderr);
    }
}

#[test]
fn the_first_run_of_the_guide_ends_as_it_says() {
    let cis = Cis::new();
    let (_, text) = dags_in_pages().into_iter().find(|(place, _)| place.starts_with("first-run.md")).unwrap();
    let file = cis.write("build.toml", &text);
    cis.run(["dag", "run", file.to_str().unwrap()]).expect(1);
    assert_eq!(cis.run(["dag", "logs", "test"]).expect(0).stdout.trim_end(), "testing");
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

//! The files of `dags/` and the DAGs in the written documentation: all are valid, and all that need
//! nothing but a shell run.

use std::path::PathBuf;

use super::harness::{Cis, eventually};

/// Files of a folder of the repository whose name ends so, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|is| is == ending));
    found.sort();
    found
}

pub(super) fn examples() -> Vec<PathBuf> {
    let found = files("dags", "toml");
    assert!(found.len() >= 17, "examples are missing: {found:?}");
    found
}

/// Every block of TOML in the README and the guide that is a DAG, and every one of the page about the
/// format, as a whole file: its place, and its text.
pub(super) fn dags_in_pages() -> Vec<(String, String)> {
    let mut pages = files("docs/guide", "md");
    pages.extend(files(".", "md"));
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.file_name().unwrap().to_str().unwrap();
        for (number, piece) in text.split("```toml\n").skip(1).enumerate() {
            let block = piece.split("```").next().unwrap();
            if block.contains("[[tasks]]") || name == "dag-file.md" {
                found.push((format!("{name}, block {}", number + 1), whole(block)));
            }
        }
    }
    found
}

/// A part of a file stands for a file with little else in it: what it says of `[dag]`, or of one task.
fn whole(block: &str) -> String {
    const HEAD: &str = "version = 1\n[dag]\nid = \"part\"\n";
    const TEST: &str =
        "[[tasks]]\nid = \"test\"\nscript = \"true\"\noutputs = { failed = { type = \"integer\" } }\n";
    let has = |key: &str| block.lines().any(|line| line.starts_with(key));
    if has("version =") {
        return block.to_owned();
    }
    if has("[[tasks]]") {
        return format!("{HEAD}{block}");
    }
    if has("[dag.") {
        return format!("{HEAD}{block}{TEST}[[tasks]]\nid = \"report\"\nscript = \"true\"\n");
    }
    let action =
        if has("script =") || has("command =") || has("agent =") { "" } else { "script = \"true\"\n" };
    format!("{HEAD}{TEST}[[tasks]]\nid = \"part\"\nneeds = [\"test\"]\n{action}{block}")
}

#[test]
fn every_dag_in_the_documentation_is_valid() {
    let cis = Cis::new();
    let dags = dags_in_pages();
    assert!(dags.len() >= 14, "the guide has lost its examples: {dags:?}");
    for (place, text) in dags {
        let file = cis.write("page.toml", &text);
        let checked = cis.run(["dag", "validate", file.to_str().unwrap()]);
        assert_eq!(checked.code, Some(0), "{place}: {}", checked.stderr);
    }
}

#[test]
fn every_configuration_in_the_guide_is_right() {
    let page = files("docs/guide", "md").into_iter().find(|page| page.ends_with("configuration.md")).unwrap();
    let text = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<_> =
        text.split("```toml\n").skip(1).map(|piece| piece.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let cis = Cis::new();
        cis.configure(block);
        cis.run(["config", "check"]).expect(0);
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
        if name.starts_with("agent-") {
            continue; // The tests of agents run it, with one.
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = if text.contains("# Exit code: 1") { 1 } else { 0 };
        let copy = cis.write(&name, &text);
        let run = cis.spawn(["dag", "run", copy.to_str().unwrap()]);
        for task in text.lines().filter_map(|line| line.strip_prefix("# Approve: ")) {
            eventually(&format!("{name}: the approval of {task}"), || {
                (cis.run(["dag", "approve", task]).code == Some(0)).then_some(())
            });
        }
        run.wait().expect(code);
    }
}

#[test]
fn what_examples_print_is_what_their_comments_say() {
    let cis = Cis::new();
    let run = |name: &str, more: &[&str], code: i32| {
        let path = examples().into_iter().find(|path| path.ends_with(name)).unwrap();
        cis.write(name, std::fs::read_to_string(path).unwrap());
        cis.run([&["dag", "run", name], more].concat()).expect(code).stderr
    };
    let log = |task: &str| cis.ok(["dag", "logs", task]).trim_end().replace("\r\n", "\n");

    run("foreach.toml", &[], 0);
    assert_eq!(log("greet.2"), "hello Bob\nhello Bob");
    let urls = "3 regions: https://eu.example.org https://us.example.org https://ap.example.org";
    assert_eq!(log("report"), urls);

    let said = run("conditions.toml", &[], 0);
    assert!(said.contains("2 succeeded, 1 completed"), "{said}");
    assert_eq!(log("fix"), "2 to mend");
    run("conditions.toml", &["--param", "deploy=true"], 0);
    assert_eq!(log("deploy"), "deploying");

    run("handlers.toml", &[], 1);
    assert_eq!(log("report"), "the build said:\n3 errors");
    let said = run("limits.toml", &[], 0);
    assert!(said.contains("timed out after 1.0s") && said.contains("was idle for 1.0s"), "{said}");
}

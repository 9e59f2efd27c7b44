//! Stores that earlier versions wrote: this version reads them as they are, and loses nothing of them.
//!
//! `golden/v0.1.0.db` is the store of a node of version 0.1.0 at commit 0fc2712b, with two runs: outputs, an answered
//! question, an approval, items, a retry, a lost session, a failure. A golden file never changes; a version that writes
//! something else adds its own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use cis_core::api::{ListRuns, RunView};
use cis_core::event::{RunState, TaskState};
use cis_store::maintenance::{Verdict, check};
use cis_store::{Readers, Writer};
use tempfile::TempDir;

fn copy_of(name: &str) -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("cis.db");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), &path).unwrap();
    (home, path)
}

fn runs(path: &Path) -> Vec<RunView> {
    let readers = Readers::open(path).unwrap();
    readers.get().unwrap().list_runs(&ListRuns::default()).unwrap().items
}

#[test]
fn a_store_of_an_earlier_version_is_read_and_written_on() {
    let (_home, path) = copy_of("v0.1.0.db");
    drop(Writer::open(&path).unwrap());
    let all = runs(&path);
    let states: Vec<(&str, RunState)> = all.iter().map(|run| (run.dag.as_str(), run.state)).collect();
    assert_eq!(states, [("bad", RunState::Failed), ("golden", RunState::Succeeded)]);
    let readers = Readers::open(&path).unwrap();
    let reader = readers.get().unwrap();
    let detail = reader.run_detail(all[1].id).unwrap();
    let tasks: Vec<(&str, TaskState)> =
        detail.tasks.iter().map(|task| (task.id.as_str(), task.state)).collect();
    assert_eq!(
        tasks,
        [
            ("one", TaskState::Succeeded),
            ("asks", TaskState::Succeeded),
            ("approve", TaskState::Succeeded),
            ("each", TaskState::Succeeded),
            ("fails", TaskState::Completed),
            ("each.1", TaskState::Succeeded),
            ("each.2", TaskState::Succeeded),
        ]
    );
    let events = reader.events(0, None, 1000).unwrap();
    assert!(events.len() > 40, "{}", events.len());
    for event in events {
        assert!(event.decode().is_ok(), "{}", event.type_name);
    }
}

#[test]
fn the_rows_of_an_earlier_version_are_those_that_its_events_give_now() {
    let (_home, path) = copy_of("v0.1.0.db");
    // A check folds all events anew, and compares.
    let report = check(&path, false).unwrap();
    assert!(matches!(report.verdict, Verdict::Sound), "{:?}", report.verdict);
}

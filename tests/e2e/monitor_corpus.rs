//! The monitor over the corpus of recordings, as far as rules are written by it. What is measured only is
//! looked at by `cargo xtask bench monitor`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cis_core::ids::BlobId;
use cis_core::monitor::measure::{Part, part_of};
use serde_json::Value;

use super::harness::Cis;

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(200);

/// One of so many programs is tried, by its name: a new one changes nothing for the others.
const SAMPLED: u8 = 4;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/recordings")
}

/// Recordings of a fourth of the programs of the rules' part.
fn sample(cis: &Cis) -> PathBuf {
    let folder = cis.work().join("recordings");
    let is_sampled = |program: &str| {
        let last = BlobId::of(program.as_bytes()).0.bytes().last();
        last.is_some_and(|last| last % SAMPLED == 1)
    };
    let programs: Vec<String> = fs::read_dir(recordings())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|program| part_of(program) == Part::Rules && is_sampled(program))
        .collect();
    for program in &programs {
        fs::create_dir_all(folder.join(program)).unwrap();
        for entry in fs::read_dir(recordings().join(program)).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), folder.join(program).join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// What the monitor says of the rules' part of these recordings.
fn figures(cis: &Cis, folder: &Path) -> Value {
    let folder = folder.to_str().expect("a path in UTF-8");
    // Hours of work are looked through, by a build that is not optimised.
    let test = cis.spawn(["monitor", "test", "--corpus", folder, "--part", "rules", "--json"]);
    let report = test.wait_within(PATIENCE).expect(0).json();
    let ours = report["items"].as_array().expect("items").iter().find(|item| item["detector"] == "cis");
    ours.expect("figures of the monitor").clone()
}

fn share(of: &Value) -> f64 {
    of["share"].as_f64().expect("a share")
}

#[test]
fn the_monitor_knows_who_waits_in_recordings_of_real_programs() {
    let cis = Cis::new();
    check(&figures(&cis, &sample(&cis)));
}

#[test]
#[ignore = "it looks through hours of work: cargo xtask test-all"]
fn the_monitor_knows_who_waits_in_all_recordings_that_rules_are_written_by() {
    check(&figures(&Cis::new(), &recordings()));
}

fn check(ours: &Value) {
    assert!(ours["waiting"].as_u64() >= Some(100), "{ours:#}");
    assert!(ours["programs"].as_u64() >= Some(30), "{ours:#}");
    assert!(share(&ours["precision"]) >= 0.97, "precision: {:#}", ours["precision"]);
    assert!(share(&ours["recall"]) >= 0.95, "recall: {:#}", ours["recall"]);
    assert!(share(&ours["kind_right"]) >= 0.9, "kinds: {:#}", ours["kind_right"]);
    assert!(ours["false_calls_per_hour"].as_f64() <= Some(2.0), "false calls: {ours:#}");
    for delays in ours["delays"].as_array().expect("delays") {
        let gate_ms = match delays["class"].as_str() {
            Some("read") => 1500,
            Some("poll") => 6000,
            // Three agents' reports are too few for a percentile.
            _ => continue,
        };
        assert!(delays["p95_ms"].as_u64() <= Some(gate_ms), "{delays:#}");
    }
}

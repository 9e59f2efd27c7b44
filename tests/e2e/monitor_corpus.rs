//! The monitor over the corpus of recordings, as far as rules are written by it. What is measured only is
//! looked at by `cargo xtask bench monitor`.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::harness::Cis;

/// For all of it: two minutes of a processor, which other tests use as well.
const PATIENCE: Duration = Duration::from_secs(500);

/// What the node's monitor says of the rules' part.
fn figures(cis: &Cis) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/recordings");
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
    let ours = figures(&cis);
    assert!(ours["waiting"].as_u64() >= Some(100), "{ours:#}");
    assert!(ours["programs"].as_u64() >= Some(30), "{ours:#}");
    assert!(share(&ours["precision"]) >= 0.97, "precision: {:#}", ours["precision"]);
    assert!(share(&ours["recall"]) >= 0.95, "recall: {:#}", ours["recall"]);
    assert!(share(&ours["kind_right"]) >= 0.9, "kinds: {:#}", ours["kind_right"]);
    assert!(ours["false_calls_per_hour"].as_f64() <= Some(2.0), "false calls: {ours:#}");
    for delays in ours["delays"].as_array().expect("delays") {
        let gate_ms = match delays["class"].as_str() {
            Some("read") => 1500,
            Some("poll") => 3000,
            // Three agents' reports are too few for a percentile.
            _ => continue,
        };
        assert!(delays["p95_ms"].as_u64() <= Some(gate_ms), "{delays:#}");
    }
}

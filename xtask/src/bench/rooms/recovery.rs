//! A room with a run of 10,000 tasks: how long an empty store needs to get it back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::place::{Place, read};
use super::synapse::{Synapse, encoded};
use crate::Outcome;
use crate::bench::report::{Report, Row};
use crate::bench::usage::resident_kb;

/// Tasks of the run.
const TASKS: u32 = 10_000;

/// From the end of the run to the look at the memory of its node.
const IDLE: Duration = Duration::from_secs(30);

/// `whole` makes the run, `empty` gets it; the limits of both are lifted.
pub(super) fn measure(whole: &Place, empty: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    synapse.lift_limits(&whole.account);
    synapse.lift_limits(&empty.account);
    let mut text =
        "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for task in 0..TASKS {
        let _ = write!(text, "[[tasks]]\nid = \"t{task}\"\ncommand = [\"true\"]\n");
    }
    let run = whole.start(&whole.write("many.toml", &text)?)?;
    let ended = whole.ended(&run)?["ended_ms"].as_f64().unwrap_or(0.0);
    whole.whole(&run, ended)?;
    // Free memory goes back to the system 10 s after the last event; the card is edited for a while as well.
    std::thread::sleep(IDLE);
    let idle_mb = resident_kb(&[whole.cis.node_number("pid")?])? / 1e3;
    let did = whole.json(&["identity", "show"])?["did"].as_str().unwrap_or_default().to_owned();
    let path = format!("/rooms/{}/invite", encoded(&whole.room));
    whole.ann.ok("POST", &path, Some(serde_json::json!({ "user_id": empty.account.id })));
    empty.cis.run(["matrix", "join", &whole.room])?;
    empty.cis.run(["identity", "trust", &did])?;
    let began = Instant::now();
    let said = read(&empty.cis.run(["dag", "recover", "--room", &whole.room, "--json"])?)?;
    let took = began.elapsed().as_secs_f64();
    let one = &said["runs"][0];
    if one["recovered"] != true || one["state"] != "succeeded" || !one["lacks"].is_null() {
        return Err(format!("the run was not recovered: {said}"));
    }
    report.add(Row::figure(
        &format!("`cis dag recover` of a room with {TASKS} tasks"),
        took,
        "s",
        (60.0, 15.0),
        format!("{} events", said["events"]),
    ));
    report.add(Row::figure(
        "memory of an idle node in hybrid mode (resident), after a run of 10,000 tasks",
        idle_mb,
        "MB",
        (100.0, 45.0),
        "1 sample".to_owned(),
    ));
    whole.stop()?;
    empty.stop()
}

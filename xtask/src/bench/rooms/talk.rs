//! A room in which somebody talks to the node all the time, at the homeserver's default limits; and the moments at which
//! an outage of the homeserver is seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::Place;
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::report::{Report, Row};

/// Time from one command to the next.
const COMMAND_EVERY: Duration = Duration::from_secs(6);
/// Runs that end meanwhile.
const RUNS: u32 = 6;
/// Time from the end of one run to the start of the next: by then more replies wait than the homeserver takes.
const RUN_EVERY: Duration = Duration::from_secs(20);
/// Outages.
const OUTAGES: u32 = 3;
/// Length of each.
const OUTAGE: Duration = Duration::from_secs(45);

const SHORT: &str =
    "version = 1\n[dag]\nid = \"short\"\n[[tasks]]\nid = \"a\"\ntty = false\ncommand = [\"sleep\", \"1\"]\n";

/// How soon the room has the whole journal of a run that ended.
pub(super) fn commands(place: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    // Only the limits of the node's account count.
    synapse.lift_limits(&place.ann);
    let file = place.write("short.toml", SHORT)?;
    let over = AtomicBool::new(false);
    let delays = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                place.ann.say(&place.room, "!cis status");
                std::thread::sleep(COMMAND_EVERY);
            }
        });
        let delays = (0..RUNS).map(|_| {
            std::thread::sleep(RUN_EVERY);
            let run = place.start(&file)?;
            let ended_ms = place.ended(&run)?["ended_ms"].as_f64().unwrap_or_default();
            journal_s(place, &run, ended_ms)
        });
        let delays = delays.collect::<Outcome<Vec<f64>>>();
        over.store(true, Ordering::Relaxed);
        delays
    })?;
    let most = delays.iter().copied().fold(0.0, f64::max);
    report.add(Row::limit(
        "end of a run → the room has all of its journal, at most, while somebody sends a command every 6 s",
        most,
        "s",
        (20.0, 10.0),
        RUNS,
    ));
    place.stop()
}

/// Waits for the end of a run's journal; how long after the end of the run that was, s.
fn journal_s(place: &Place, run: &str, ended_ms: f64) -> Outcome<f64> {
    let at = place.until("the end of the journal", || {
        let events = place.events();
        let of_run =
            |event: &&Value| event["type"] == "cis.dag.run.journal" && event["content"]["run"] == run;
        let at = events.iter().rfind(of_run).and_then(|event| event["origin_server_ts"].as_f64());
        Ok(at.filter(|at| *at >= ended_ms))
    })?;
    Ok((at - ended_ms) / 1e3)
}

/// How soon `cis node status` shows an outage, and how soon rooms are heard after it.
pub(super) fn outages(place: &Place, synapse: &mut Synapse, report: &mut Report) -> Outcome {
    let is_heard = || Ok::<_, String>(place.json(&["node", "status"])?["rooms"].is_array());
    let seconds_until = |heard: bool, what: &str| {
        let began = Instant::now();
        place.until(what, || Ok((is_heard()? == heard).then_some(began.elapsed().as_secs_f64())))
    };
    // Somebody has to be heard: a run waits for an answer.
    let file = place.write(
        "waits.toml",
        "version = 1\n[dag]\nid = \"waits\"\n[[tasks]]\nid = \"a\"\napproval = { prompt = \"Go on?\" }\ncommand = [\"true\"]\n",
    )?;
    place.start(&file)?;
    seconds_until(true, "the room is heard")?;
    let (mut shown, mut again) = (0.0, 0.0);
    for _ in 0..OUTAGES {
        synapse.stop();
        shown = f64::max(shown, seconds_until(false, "the outage is shown")?);
        std::thread::sleep(OUTAGE);
        synapse.start();
        again = f64::max(again, seconds_until(true, "the room is heard again")?);
    }
    let what = "homeserver ends → `cis node status` shows it, at most";
    report.add(Row::limit(what, shown, "s", (5.0, 1.0), OUTAGES));
    let what = "homeserver is back after 45 s → rooms are heard, at most";
    report.add(Row::limit(what, again, "s", (3.0, 1.0), OUTAGES));
    place.stop()
}

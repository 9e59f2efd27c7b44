//! A thousand tasks in a minute, at the homeserver's default limits: what of the account's allowance they use, when the
//! room has all of it, and how soon a session that waits rings meanwhile.

use std::fmt::Write as _;

use serde_json::Value;

use super::place::{Place, is_question};
use crate::Outcome;
use crate::bench::figures::since_ms;
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, percentile};

/// Runs, each with an account of its own.
const RUNS: u32 = 7;
/// Tasks of a run.
const TASKS: u32 = 1_000;
/// Sessions of a run that wait for a human, at different moments.
const WAITING: u32 = 3;

/// What one run showed.
struct Seen {
    share: f64,
    complete_s: f64,
    /// From the verdict to the message, ms.
    rang_ms: Vec<f64>,
}

pub(super) fn measure(make: &dyn Fn(u32) -> Outcome<Place>, report: &mut Report) -> Outcome {
    let mut seen = Vec::new();
    for n in 0..RUNS {
        let place = make(n)?;
        let one = once(&place, n);
        place.stop()?;
        let one = one?;
        eprintln!(
            "room under load {n}: {:.0} % of the allowance, whole after {:.1} s, rang after {:.0?} ms",
            one.share * 100.0,
            one.complete_s,
            one.rang_ms
        );
        seen.push(one);
    }
    let mut rang: Vec<f64> = seen.iter().flat_map(|one| one.rang_ms.clone()).collect();
    rang.sort_by(f64::total_cmp);
    let all_but_one = rang.iter().rev().nth(1).copied().unwrap_or(f64::NAN);
    report.add(
        Row::limit(
            &format!("verdict → message that rings, all but the slowest, while {TASKS} tasks run"),
            all_but_one,
            "ms",
            (2000.0, 1000.0),
            RUNS * WAITING,
        )
        .beside(format!(
            "median {:.0} ms, slowest {:.0} ms",
            median(&rang),
            percentile(&rang, 100.0)
        )),
    );
    let of = |figure: fn(&Seen) -> f64| -> Vec<f64> { seen.iter().map(figure).collect() };
    let (shares, complete) = (of(|one| one.share * 100.0), of(|one| one.complete_s));
    report.add(Row::limit(
        &format!("share of the account's allowance that {TASKS} tasks in a minute use, most"),
        percentile(&shares, 100.0),
        "%",
        (80.0, 50.0),
        RUNS,
    ));
    report.add(Row::limit(
        "end of such a run → its room has all of it, slowest",
        percentile(&complete, 100.0),
        "s",
        (60.0, 15.0),
        RUNS,
    ));
    Ok(())
}

fn once(place: &Place, n: u32) -> Outcome<Seen> {
    let mut text =
        "version = 1\n[dag]\nid = \"load\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n".to_owned();
    for task in 0..TASKS {
        let _ = write!(text, "[[tasks]]\nid = \"t{task}\"\ncommand = [\"sleep\", \"0.35\"]\n");
    }
    for waits in 0..WAITING {
        // At moments that differ from run to run, and all within the first 40 s.
        let after = (n * 17 + waits * 13 + 3) % 40;
        let _ = write!(
            text,
            "[[tasks]]\nid = \"w{waits}\"\npriority = 9\ntty = true\nscript = '''sleep {after}; printf 'Go on with {waits}? [y/n] '; read -r x'''\n"
        );
    }
    let file = place.write("load.toml", &text)?;
    let run = place.start(&file)?;
    let before = place.events().len();
    let items = place.until("what waits", || {
        let items = place.json(&["inbox"])?["items"].as_array().cloned().unwrap_or_default();
        Ok((items.len() as u32 == WAITING).then_some(items))
    })?;
    let done = TASKS as u64;
    place.until("the tasks", || {
        let counts = place.json(&["dag", "show", &run])?["run"]["counts"]["succeeded"].as_u64();
        Ok((counts == Some(done)).then_some(()))
    })?;
    for item in &items {
        place.cis.run(["answer", item["id"].as_str().unwrap_or_default(), "y"])?;
    }
    let view = place.ended(&run)?;
    let complete_s = place.whole(&run, view["ended_ms"].as_f64().unwrap_or(0.0))?;
    let ran_s = (view["ended_ms"].as_f64().unwrap_or(0.0) - view["started_ms"].as_f64().unwrap_or(0.0)) / 1e3;
    let events = place.events();
    let by_us = |event: &&Value| event["sender"] == place.account.id.as_str();
    let during = |event: &&Value| event["origin_server_ts"].as_f64() <= view["ended_ms"].as_f64();
    let sent = events[before.min(events.len())..].iter().filter(by_us).filter(during).count() + 1;
    let rang = |item: &Value| {
        let asked = events.iter().filter(|event| is_question(event));
        let mut of_item = asked.filter(|event| event["content"]["cis.dag.question"]["item"] == item["id"]);
        Some(of_item.next()?["origin_server_ts"].as_f64()? - since_ms(item)?)
    };
    let rang_ms: Vec<f64> = items.iter().filter_map(rang).collect();
    if rang_ms.len() as u32 != WAITING {
        return Err(format!("{} of {WAITING} questions are in the room", rang_ms.len()));
    }
    Ok(Seen { share: sent as f64 / (10.0 + 0.2 * ran_s), complete_s, rang_ms })
}

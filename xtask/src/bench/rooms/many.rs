//! A run of many short tasks beside its hybrid twin: what a room costs it when there is much to be told.

use std::fmt::Write as _;
use std::process::Stdio;

use super::place::Place;
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, ratios};
use crate::bench::usage::{cpu_ms, forget_peak, peak_kb};

/// Tasks of a run.
const TASKS: u32 = 10_000;
/// Alternating pairs.
const PAIRS: u32 = 4;
/// How often an export of a run is verified.
const VERIFIED: u32 = 5;

/// Limits are lifted, which is what costs most: so much more is told.
pub(super) fn measure(place: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    super::answers::generous(place, synapse)?;
    let mut text =
        "version = 1\n[dag]\nid = \"short\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for task in 0..TASKS {
        let _ = write!(text, "[[tasks]]\nid = \"t{task}\"\ncommand = [\"true\"]\n");
    }
    let file = place.write("short.toml", &text)?;
    let node = [place.cis.node_number("pid")?];
    let timed = |words: &[&str]| {
        let mut command = place.cis.command(["dag", "run"]);
        command.args(words).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        forget_peak(node[0])?;
        let before = cpu_ms(&node)?;
        let seconds = place.cis.time(&mut command)? / 1e3;
        // What is told later belongs to it too, and is told before the next one begins.
        place.told()?;
        Ok::<_, String>([seconds, (cpu_ms(&node)? - before) / 1e3, peak_kb(&node)? / 1e3])
    };
    let (mut local, mut hybrid) = (<[Vec<f64>; 3]>::default(), <[Vec<f64>; 3]>::default());
    for pair in 1..=PAIRS {
        let mut both = [(&mut local, &["--local"][..]), (&mut hybrid, &["--room", &place.room])];
        // Neither always comes after the other.
        if pair % 2 == 0 {
            both.reverse();
        }
        for (kept, words) in both {
            let figures = timed(words)?;
            let [seconds, busy, peak_mb] = figures;
            eprintln!(
                "many tasks pair {pair}: {} {seconds:.2} s, node {busy:.2} s, {peak_mb:.0} MB",
                words[0]
            );
            kept.iter_mut().zip(figures).for_each(|(kept, figure)| kept.push(figure));
        }
    }
    let both = |n: usize| (median(&hybrid[n]), median(&local[n]));
    let ((hybrid_s, local_s), (hybrid_busy, local_busy), (hybrid_mb, local_mb)) = (both(0), both(1), both(2));
    report.add(
        Row::ratio(
            &format!(
                "{TASKS} of `true`, 2 at a time, that a room follows, / the same without (limits lifted)"
            ),
            median(&ratios(&hybrid[0], &local[0])),
            (1.25, 1.1),
            format!("{hybrid_s:.2} s / {local_s:.2} s"),
        )
        .beside(format!("processor time of the node {hybrid_busy:.2} s / {local_busy:.2} s"))
        .beside(format!("its most memory {hybrid_mb:.0} MB / {local_mb:.0} MB")),
    );
    verified(place, report)?;
    place.stop()
}

/// The newest run that the room followed is exported, and verified.
fn verified(place: &Place, report: &mut Report) -> Outcome {
    let runs = place.json(&["dag", "list"])?["items"].clone();
    let followed = runs.as_array().into_iter().flatten().find(|run| run["mode"] == "hybrid");
    let run = followed.and_then(|run| run["id"].as_str()).ok_or_else(|| format!("no hybrid run: {runs}"))?;
    let file = place.folder.join("run.jsonl");
    let owner = place.json(&["identity", "show"])?["did"].as_str().unwrap_or_default().to_owned();
    let mut export = place.cis.command(["dag", "export", run, "--output"]);
    export.arg(&file);
    let export_s = place.cis.time(&mut export)? / 1e3;
    let mut times = Vec::new();
    for _ in 0..VERIFIED {
        let mut verify = place.cis.command(["dag", "verify", "--owner", &owner]);
        verify.arg(&file).stdout(Stdio::null());
        times.push(place.cis.time(&mut verify)? / 1e3);
    }
    let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
    report.add(Row::figure(
        &format!("`cis dag verify` of a run with {TASKS} tasks"),
        median(&times),
        "s",
        (5.0, 1.0),
        format!("{VERIFIED} samples, {:.1} MB; the export took {export_s:.2} s", bytes as f64 / 1e6),
    ));
    Ok(())
}

//! The end of a task: how soon another client knows, by the run's journal and by its card.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::Value;

use super::place::{Eyes, PATIENCE, Place, now_us};
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, percentile};

/// What `broadcast_interval_ms` of `[dag.matrix]` is set to, in turn.
pub(super) const INTERVALS_MS: [u32; 2] = [200, 50];

/// Tasks that end, two at a time, at moments that have nothing to do with the interval.
const TASKS: usize = 100;

/// Limits are lifted: at the default ones the ends of tasks are gathered for 5 to 40 s.
pub(super) fn measure(place: &Place, interval_ms: u32, synapse: &Synapse, report: &mut Report) -> Outcome {
    super::answers::generous(place, synapse)?;
    let ends = place.folder.join("ends");
    std::fs::create_dir_all(&ends).map_err(|e| format!("cannot make {}: {e}", ends.display()))?;
    let mut text =
        "version = 1\n[dag]\nid = \"ends\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for task in 0..TASKS {
        let ms = 100 + task * 37 % 41 * 10;
        let note = ends.join(format!("t{task}"));
        let _ = write!(
            text,
            "[[tasks]]\nid = \"t{task}\"\nscript = \"sleep 0.{ms}; date +%s%6N > '{}'\"\n",
            note.display()
        );
    }
    let file = place.write("ends.toml", &text)?;
    let mut eyes = Eyes::open(&place.ann, &place.room);
    let run = place.start(&file)?;
    let seen = Seen::of(&mut eyes, &run)?;
    let mut ended = Vec::new();
    for task in 0..TASKS {
        let path = ends.join(format!("t{task}"));
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        ended.push(text.trim().parse::<f64>().map_err(|e| format!("{}: {e}", path.display()))?);
    }
    let journal: Vec<f64> = seen.results.iter().map(|(task, at)| (at - ended[*task]) / 1e3).collect();
    ended.sort_by(f64::total_cmp);
    let card: Vec<f64> = seen.counted.iter().zip(&ended).map(|(at, end)| (at - end) / 1e3).collect();
    for (what, delays) in [("journal", &journal), ("card", &card)] {
        if delays.len() != TASKS {
            return Err(format!("the {what} told {} ends of {TASKS}", delays.len()));
        }
        report.add(
            Row::limit(
                &format!("end of a task → another client has it by the run's {what}, p50 (limits lifted, interval {interval_ms} ms)"),
                median(delays),
                "ms",
                (300.0, 100.0),
                TASKS as u32,
            )
            .beside(format!("p95 {:.0} ms", percentile(delays, 95.0))),
        );
    }
    place.stop()
}

/// What the other client saw, µs of the system's clock.
struct Seen {
    /// Tasks, and when the journal told their ends.
    results: Vec<(usize, f64)>,
    /// When the card counted the first end, the second …
    counted: Vec<f64>,
}

impl Seen {
    /// Looks until both told the end of the run.
    fn of(eyes: &mut Eyes<'_>, run: &str) -> Outcome<Self> {
        let mut seen = Self { results: Vec::new(), counted: Vec::new() };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let events = eyes.next();
            let at = now_us();
            events.iter().for_each(|event| seen.take(event, run, at));
            if seen.results.len() >= TASKS && seen.counted.len() >= TASKS {
                return Ok(seen);
            }
        }
        Err(format!("no end of all tasks within {PATIENCE:?}"))
    }

    fn take(&mut self, event: &Value, run: &str, at: f64) {
        let content = &event["content"];
        if event["type"] == "cis.dag.run.journal" && content["run"] == run {
            let entries = content["body"]["entries"].as_array().into_iter().flatten();
            let result = |entry: &&Value| entry["type"] == "cis.dag.task.result";
            let task = |entry: &Value| entry["body"]["task"].as_str()?.strip_prefix('t')?.parse().ok();
            self.results.extend(entries.filter(result).filter_map(task).map(|task: usize| (task, at)));
        }
        let card = &content["m.new_content"]["cis.dag.card"];
        if card["run"] == run {
            let done = card["counts"]["succeeded"].as_u64().and_then(|done| usize::try_from(done).ok());
            let more = done.unwrap_or(0).saturating_sub(self.counted.len());
            self.counted.extend(std::iter::repeat_n(at, more));
        }
    }
}

//! `cis monitor test --corpus`: figures over many recordings, of the monitor and, if asked for, of simple rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cis_core::monitor::measure::{
    Class, Episode, Interval, Part, Rate, Span, Totals, episodes, judge, part_of, percentile,
};
use cis_host::recorder::{baselines, replay};
use serde::Serialize;

use super::files;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::table::{Table, plain};

/// What the monitor is called beside the rules of others.
const OURS: &str = "cis";

/// Figures of one detector over one part.
#[derive(Serialize)]
struct Figures {
    part: &'static str,
    detector: String,
    programs: usize,
    recordings: u64,
    waiting: u64,
    working: u64,
    working_hours: f64,
    precision: Share,
    recall: Share,
    kind_right: Share,
    false_calls: u64,
    repeated_calls: u64,
    false_calls_per_hour: Option<f64>,
    delays: Vec<Delays>,
}

#[derive(Serialize)]
struct Share {
    hits: u64,
    of: u64,
    share: Option<f64>,
    interval_95: Interval,
}

#[derive(Serialize)]
struct Delays {
    class: Class,
    prompts: usize,
    p50_ms: Option<u64>,
    p95_ms: Option<u64>,
    max_ms: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    items: Vec<Figures>,
}

/// What is counted of a part.
#[derive(Default)]
struct Counted {
    programs: BTreeSet<String>,
    detectors: BTreeMap<String, Totals>,
}

/// What is to be counted, and how.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Only this part of the corpus.
    pub(super) part: Option<&'a str>,
    /// The profile for all recordings, instead of their own.
    pub(super) profile: Option<&'a str>,
    /// Also count the simple rules of other projects.
    pub(super) compare: bool,
}

/// A recording with what every detector says of it.
struct Heard {
    program: String,
    stretches: Vec<Episode>,
    said: Vec<(&'static str, Vec<Span>)>,
}

fn hear(file: &Path, wanted: Wanted) -> Result<Heard, CliError> {
    let recording = files::read(file)?;
    let ours = replay(&recording, files::profile(&recording, wanted.profile)?).spans;
    let mut said = vec![(OURS, ours)];
    if wanted.compare {
        said.extend(baselines(&recording));
    }
    let stretches = episodes(&recording);
    Ok(Heard { program: recording.header.program.unwrap_or_default(), stretches, said })
}

/// All of them, on as many processors as there are; in the order of the files.
fn hear_all(files: &[PathBuf], wanted: Wanted) -> Result<Vec<Heard>, CliError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut heard = Vec::new();
        while let Some((at, file)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, files.get(at)?)))
        {
            heard.push((at, hear(file, wanted)));
        }
        heard
    };
    let mut all: Vec<(usize, Result<Heard, CliError>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A worker that failed has said why; its files are missing, which is an error below.
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    if all.len() != files.len() {
        return Err(CliError::unavailable("cannot replay a recording; test the files one by one"));
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, heard)| heard).collect()
}

/// The part of a program, and its name in tables.
fn part(program: &str) -> &'static str {
    match part_of(program) {
        Part::Rules => "rules",
        Part::Measured => "measured",
    }
}

/// Whether a file belongs to this part: its folder is called after its program.
fn belongs(file: &Path, wanted: Option<&str>) -> bool {
    let program = file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    wanted.is_none_or(|wanted| wanted == part(program))
}

pub(super) fn run(context: &Context, directory: &Path, wanted: Wanted) -> Result<Exit, CliError> {
    let mut files = files::below(directory)?;
    files.retain(|file| belongs(file, wanted.part));
    if files.is_empty() {
        return Err(CliError::bad_input(format!("no recordings in {}", directory.display()))
            .hint("recordings are in DIR/PROGRAM/SCENARIO.cast"));
    }
    let mut parts: BTreeMap<&'static str, Counted> = BTreeMap::new();
    for one in hear_all(&files, wanted)? {
        for part in [part(&one.program), "all"] {
            let counted = parts.entry(part).or_default();
            counted.programs.insert(one.program.clone());
            for (detector, spans) in &one.said {
                let totals = counted.detectors.entry((*detector).to_owned()).or_default();
                totals.add(&judge(&one.stretches, spans));
            }
        }
    }
    let items = ["measured", "rules", "all"]
        .into_iter()
        .filter_map(|part| parts.get(part).map(|counted| (part, counted)))
        .flat_map(|(part, counted)| {
            let mut detectors: Vec<(&String, &Totals)> = counted.detectors.iter().collect();
            detectors.sort_by_key(|(name, _)| *name != OURS);
            detectors
                .into_iter()
                .map(move |(name, totals)| figures(part, name, counted.programs.len(), totals))
        })
        .collect();
    output::show(context.json, &Report { items }, human)?;
    Ok(Exit::OK)
}

fn figures(part: &'static str, detector: &str, programs: usize, totals: &Totals) -> Figures {
    let delays = [Class::Terminal, Class::Read, Class::Poll].map(|class| {
        let delays = totals.delays_of(class);
        Delays {
            class,
            prompts: delays.len(),
            p50_ms: percentile(&delays, 50),
            p95_ms: percentile(&delays, 95),
            max_ms: delays.last().copied(),
        }
    });
    Figures {
        part,
        detector: detector.to_owned(),
        programs,
        recordings: totals.recordings,
        waiting: totals.waiting,
        working: totals.working,
        working_hours: totals.working_ms as f64 / 3_600_000.0,
        precision: share(totals.precision()),
        recall: share(totals.recall()),
        kind_right: share(totals.kinds()),
        false_calls: totals.false_working,
        repeated_calls: totals.repeated,
        false_calls_per_hour: totals.false_per_hour(),
        delays: delays.into(),
    }
}

fn share(rate: Rate) -> Share {
    Share { hits: rate.hits, of: rate.of, share: rate.share(), interval_95: rate.interval() }
}

fn human(report: &Report) -> String {
    let mut table = Table::new(&[
        "PART",
        "DETECTOR",
        "PROMPTS",
        "WORK",
        "PRECISION",
        "RECALL",
        "KIND",
        "FALSE/H",
        "AGAIN",
    ]);
    let hours = |one: &Figures| format!("{} ({:.2} h)", one.working, one.working_hours);
    for one in &report.items {
        table.row(vec![
            plain(one.part),
            plain(&one.detector),
            plain(one.waiting.to_string()),
            plain(hours(one)),
            plain(in_percent(&one.precision)),
            plain(in_percent(&one.recall)),
            plain(if one.detector == OURS { in_percent(&one.kind_right) } else { "-".to_owned() }),
            plain(one.false_calls_per_hour.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))),
            plain(one.repeated_calls.to_string()),
        ]);
    }
    let mut text = table.render();
    let mut delays = Table::new(&["PART", "SHOWN TO VERDICT", "PROMPTS", "P50", "P95", "MAX"]);
    for one in report.items.iter().filter(|one| one.detector == OURS) {
        for of_class in &one.delays {
            let ms =
                |value: Option<u64>| plain(value.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")));
            delays.row(vec![
                plain(one.part),
                plain(match of_class.class {
                    Class::Terminal => "said by the program",
                    Class::Read => "read of a terminal, password",
                    Class::Poll => "poll, full screen",
                }),
                plain(of_class.prompts.to_string()),
                ms(of_class.p50_ms),
                ms(of_class.p95_ms),
                ms(of_class.max_ms),
            ]);
        }
    }
    let _ = write!(text, "\n{}", delays.render());
    text
}

fn in_percent(share: &Share) -> String {
    let Some(value) = share.share else { return "-".to_owned() };
    let Interval { low, high } = share.interval_95;
    format!("{:.1} % ({:.1}-{:.1}; {}/{})", value * 100.0, low * 100.0, high * 100.0, share.hits, share.of)
}

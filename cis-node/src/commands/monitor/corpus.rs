//! `cis monitor test --corpus`: figures over many recordings, of the monitor and of simple rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use cis_core::monitor::measure::{Class, Interval, Part, Rate, Totals, episodes, judge, part_of, percentile};
use cis_core::session::recorder::{baselines, replay};
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

pub(super) fn run(context: &Context, directory: &Path, profile: Option<&str>) -> Result<Exit, CliError> {
    let mut parts: BTreeMap<&'static str, Counted> = BTreeMap::new();
    for file in files::below(directory)? {
        let recording = files::read(&file)?;
        let program = recording.header.program.clone().unwrap_or_default();
        let stretches = episodes(&recording);
        let ours = replay(&recording, files::profile(&recording, profile)?).spans;
        let mut said = vec![(OURS, ours)];
        said.extend(baselines(&recording));
        let part = match part_of(&program) {
            Part::Rules => "rules",
            Part::Measured => "measured",
        };
        for part in [part, "all"] {
            let counted = parts.entry(part).or_default();
            counted.programs.insert(program.clone());
            for (detector, spans) in &said {
                let totals = counted.detectors.entry((*detector).to_owned()).or_default();
                totals.add(&judge(&stretches, spans));
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
    output::show(context, &Report { items }, human)?;
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

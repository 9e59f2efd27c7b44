//! `cis monitor test`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cis_core::event::PromptKind;
use cis_core::monitor::measure::{Judgement, Truth, episodes, judge};
use cis_core::monitor::recording::{Recording, What};
use cis_core::monitor::{Change, Verdict};
use cis_host::recorder::{Replayed, replay};
use serde::Serialize;

use super::{corpus, files};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, style};

/// Replay recordings through the monitor and show its verdicts with their times
///
/// Recordings are replayed at full speed; times are those of the recording. If a recording has labels (markers
/// `waiting: KIND`, `working`, `open`), the verdicts are compared with them, and the exit code is 1 if one is wrong.
/// A wrong kind of prompt is shown but does not affect the exit code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis monitor test merge.cast
  cis monitor test --profile claude *.cast
  cis monitor test merge.cast --json | jq '.items[].changes'
  cis monitor test --corpus tests/corpus/recordings")]
pub(crate) struct Args {
    /// Recordings
    #[arg(value_name = "FILE", required_unless_present = "corpus")]
    files: Vec<PathBuf>,
    /// The profile that reads the screen [default: the recording's own, or the plain one]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Count the results over all recordings below this directory
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    corpus: Option<PathBuf>,
    /// Only this part of the corpus: the one for writing rules, or the one for measuring them
    #[arg(long, value_name = "PART", requires = "corpus", value_parser = ["rules", "measured"])]
    part: Option<String>,
    /// Also count the results of three simple rules, for comparison
    #[arg(long, requires = "corpus")]
    compare: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if let Some(directory) = &args.corpus {
        let (part, profile) = (args.part.as_deref(), args.profile.as_deref());
        return corpus::run(context, directory, corpus::Wanted { part, profile, compare: args.compare });
    }
    let items: Result<Vec<Tested>, CliError> =
        args.files.iter().map(|file| test(file, args.profile.as_deref())).collect();
    let report = Report { items: items? };
    let right = report.items.iter().flat_map(|one| &one.episodes).all(|one| one.right);
    output::show(context.json, &report, |report| report.items.iter().map(human).collect())?;
    Ok(if right { Exit::OK } else { Exit::FAILED })
}

#[derive(Serialize)]
struct Report {
    items: Vec<Tested>,
}

/// One recording.
#[derive(Serialize)]
struct Tested {
    file: String,
    program: Option<String>,
    profile: String,
    changes: Vec<Said>,
    episodes: Vec<Judged>,
    #[serde(skip)]
    labels: Vec<(u64, String)>,
}

/// What the monitor told, ms since the beginning.
#[derive(Serialize)]
struct Said {
    at_ms: u64,
    #[serde(flatten)]
    what: Told,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "said")]
enum Told {
    Blocked { verdict: Verdict },
    Over { episode: u32 },
    Marker { kind: String, text: String },
    Complete { text: String },
    Done { text: String },
}

/// A labelled stretch, ms since the beginning.
#[derive(Serialize)]
struct Judged {
    from_ms: u64,
    to_ms: u64,
    /// What it waits for; none: it works.
    waiting: Option<PromptKind>,
    right: bool,
    /// A prompt that was found: after so many ms.
    delay_ms: Option<u64>,
    /// What it was taken for.
    kind: Option<PromptKind>,
    false_calls: u32,
}

impl Judged {
    fn of(one: &Judgement) -> Self {
        let waiting = if let Truth::Waiting(kind) = one.episode.truth { Some(kind) } else { None };
        Self {
            from_ms: one.episode.from_ms,
            to_ms: one.episode.to_ms,
            waiting,
            right: one.is_right(),
            delay_ms: one.found.map(|found| found.delay.ms),
            kind: one.found.and_then(|found| found.kind),
            false_calls: one.false_calls,
        }
    }
}

fn test(file: &Path, profile: Option<&str>) -> Result<Tested, CliError> {
    let recording = files::read(file)?;
    let profile = files::profile(&recording, profile)?;
    let name = profile.name.clone();
    let Replayed { changes, spans, .. } = replay(&recording, profile);
    let judged = judge(&episodes(&recording), &spans);
    Ok(Tested {
        file: file.display().to_string(),
        profile: name,
        changes: changes.into_iter().map(said).collect(),
        episodes: judged.iter().map(Judged::of).collect(),
        labels: labels(&recording),
        program: recording.header.program,
    })
}

fn said((at_ms, change): (u64, Change)) -> Said {
    let what = match change {
        Change::Blocked(verdict) => Told::Blocked { verdict: *verdict },
        Change::Over { episode } => Told::Over { episode },
        Change::Marker { kind, text } => Told::Marker { kind: kind.to_string(), text },
        Change::Complete { text } => Told::Complete { text },
        Change::Done { text } => Told::Done { text },
    };
    Said { at_ms, what }
}

fn labels(recording: &Recording) -> Vec<(u64, String)> {
    let label = |what: &What| match what {
        What::Label(label) => Some(label.to_string()),
        What::Input(_) => Some("typed".to_owned()),
        What::Exit(code) => Some(format!("exit code {code}")),
        _ => None,
    };
    recording.moments.iter().filter_map(|one| Some((one.at_ms, label(&one.what)?))).collect()
}

fn human(tested: &Tested) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} (profile {})", clean(&tested.file), clean(&tested.profile));
    let mut lines: Vec<(u64, bool, String)> =
        tested.labels.iter().map(|(at_ms, label)| (*at_ms, false, label.clone())).collect();
    lines.extend(tested.changes.iter().map(|one| (one.at_ms, true, in_words(&one.what))));
    lines.sort_by_key(|(at_ms, said, _)| (*at_ms, *said));
    for (at_ms, said, line) in lines {
        let (style, indent) = if said { (style::ATTENTION, 24) } else { (style::DIM, 0) };
        let at = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let _ = writeln!(text, "{at:>10}  {:indent$}{style}{}{style:#}", "", clean(&line));
    }
    for one in tested.episodes.iter().filter(|one| !one.right) {
        let truth = one.waiting.map_or_else(|| "work".to_owned(), |kind| format!("a {kind}"));
        let what = if one.waiting.is_some() && one.delay_ms.is_none() {
            "was not found".to_owned()
        } else {
            format!("has false calls: {}", one.false_calls)
        };
        let (bad, from, to) = (style::BAD, one.from_ms as f64 / 1e3, one.to_ms as f64 / 1e3);
        let _ = writeln!(text, "{bad}     wrong{bad:#}  {truth} from {from:.1} s to {to:.1} s {what}");
    }
    text
}

fn in_words(what: &Told) -> String {
    match what {
        Told::Blocked { verdict } => {
            let Verdict { kind, layer, confidence, question, options, .. } = verdict;
            let options: Vec<&str> = options.iter().map(|option| option.label.as_str()).collect();
            let options =
                if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
            format!("blocked: {kind} ({layer}, {confidence} %) {question}{options}")
        }
        Told::Over { .. } => "over".to_owned(),
        Told::Marker { kind, text } => format!("marker {kind}: {text}"),
        Told::Complete { text } => format!("complete: {text}"),
        Told::Done { text } => format!("done: {text}"),
    }
}

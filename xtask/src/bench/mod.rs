//! `bench`: the figures of `docs/benchmarks.md`, each beside a peer or a floor measured in the same run.
//!
//! Ratios are medians over alternating pairs, so that a machine that slows down slows both. Absolute
//! figures stand beside a probe of the machine's present speed.

mod attach;
mod cis;
mod cold;
mod compare;
mod dashboard;
mod figures;
mod flood;
mod idle;
mod latency;
mod monitor;
mod nodes;
mod peers;
mod report;
mod rooms;
mod scale;
mod sessions;
mod stats;
mod subscribers;
mod usage;
mod work;

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::process::{cargo, run};
use crate::tools::ensure_debian;
use crate::workspace::target_dir;
use cis::Cis;
use peers::Floor;
use report::{Report, Row};
use stats::{median, ratios};
use work::{Shape, Terminal};

/// Independent commands of the wide benchmark.
const WIDE: u32 = 10_000;
/// Commands of the chain.
const CHAIN: u32 = 1_000;
/// Alternating pairs.
const PAIRS: u32 = 5;

/// What can be measured alone: its name, and in words.
const PARTS: &[(&str, &str)] = &[
    ("cold", "from nothing: no node, no home"),
    ("pipes", "many commands on pipes, against ninja"),
    ("pty", "many commands on PTYs, against the C floor"),
    ("chain", "commands one after the other, against ninja"),
    ("attach", "first byte of a session, echo of a key"),
    ("sessions", "creating sessions"),
    ("idle", "1,000 sessions that wait"),
    ("latency", "prompts to the inbox, answers to the program"),
    ("flood", "much output, against tmux and script"),
    ("monitor", "who waits for a human, in recordings of real programs"),
    ("nodes", "100 nodes of a room in one process: messages and memory; and the next one"),
    ("nodes-shared", "a run that three workers share, without a homeserver, against one node"),
    ("rooms", "what rooms cost, how soon they hear and are heard: the next nine (about 36 minutes)"),
    ("rooms-answers", "answers in a room, until the program has read them"),
    ("rooms-latency", "ends of tasks, until another client knows"),
    ("rooms-load", "a thousand tasks in a minute at a homeserver's default limits (about 10 minutes)"),
    ("rooms-many", "10,000 tasks that a room follows, against the same without"),
    ("rooms-nodes", "nodes of a room that share tasks (about 9 minutes)"),
    ("rooms-views", "a session of another node, attached to: echo of a key, a flood (about 2 minutes)"),
    ("rooms-files", "files between nodes: 100 MB from one to another, and an input that many tasks share"),
    ("rooms-recovery", "runs out of a room into an empty store"),
    (
        "rooms-talk",
        "a room in which somebody talks to the node, and outages of the homeserver (about 7 minutes)",
    ),
    ("rooms-away", "a homeserver that is well, stopped, or slow"),
    ("subscribers", "a run with 100 who follow events, 30 of whom never read, against one without"),
    (
        "dashboard",
        "the window: frames, layouts, how late events are, a flood, and what it costs idle (6 minutes)",
    ),
    ("scale", "10,000 and 100,000 tasks: processor time, memory, validation"),
];

const USAGE: &str = "usage: cargo xtask bench [PART …] [--update]\n       cargo xtask bench PART … --against BINARY [--pairs N]";

/// What a call asks for.
#[derive(Default)]
struct Wanted {
    parts: Vec<String>,
    mode: Mode,
}

/// What to do with the figures.
#[derive(Default, PartialEq, Eq)]
enum Mode {
    /// Compare them with gate and goal.
    #[default]
    Judge,
    /// The same, and add them to `docs/benchmarks.md`.
    Update,
    /// Compare them with those of an earlier release binary.
    Against { base: PathBuf, pairs: u32 },
}

impl Wanted {
    fn of(rest: &[String]) -> Outcome<Self> {
        let usage = || {
            let list: Vec<String> =
                PARTS.iter().map(|(name, words)| format!("  {name:<14} {words}")).collect();
            format!("{USAGE}\n{}", list.join("\n"))
        };
        let mut wanted = Self::default();
        let (mut base, mut pairs) = (None, None);
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--update" => wanted.mode = Mode::Update,
                "--against" => base = Some(PathBuf::from(words.next().ok_or_else(usage)?)),
                "--pairs" => pairs = words.next().ok_or_else(usage)?.parse().ok().filter(|n| *n >= 2),
                part if PARTS.iter().any(|(name, _)| *name == part) => wanted.parts.push(part.to_owned()),
                _ => return Err(usage()),
            }
        }
        match (base, pairs) {
            (Some(base), pairs) if wanted.mode == Mode::Judge => {
                wanted.mode = Mode::Against { base, pairs: pairs.unwrap_or(compare::PAIRS) };
            }
            (None, None) => {}
            _ => return Err(usage()),
        }
        Ok(wanted)
    }

    fn has(&self, part: &str) -> bool {
        let whole = part.split('-').next().unwrap_or(part);
        self.parts.is_empty() || self.parts.iter().any(|one| one == part || one == whole)
    }

    /// Whether a part of this part is wanted.
    fn has_some(&self, whole: &str) -> bool {
        let parts = PARTS.iter().filter(|(name, _)| name.split('-').next() == Some(whole));
        parts.into_iter().any(|(name, _)| self.has(name))
    }
}

/// Measures everything, or the parts that are named, and prints the table; `--update` adds it to
/// `docs/benchmarks.md`. Fails if a gate is missed. With `--against` it compares the figures with those of
/// another binary, and fails if one is worse.
pub(crate) fn bench(rest: &[String]) -> Outcome {
    let wanted = Wanted::of(rest)?;
    ensure_debian("ninja", "ninja-build")?;
    ensure_debian("cc", "gcc")?;
    run(cargo(&["build", "--release", "--locked", "--bin", "cis"]))?;
    let binary = target_dir()?.join("release/cis");
    let scratch = work::Scratch::new()?;
    let floor = Floor::compile(scratch.path())?;
    let mut report = Report::new(floor.wait_for_quiet()?);
    if let Mode::Against { base, pairs } = &wanted.mode {
        // Copied alike: the kernel maps a file that the linker wrote more slowly than a copy of it.
        let new = copied(&binary, &scratch.path().join("new"))?;
        let old = copied(base, &scratch.path().join("old"))?;
        return compare::run(*pairs, &new, &old, &|binary, report| {
            // Each binary gets a folder of its own: a home that is used twice would change the benchmark.
            measure(&wanted, binary, &work::Scratch::new()?, &floor, report)
        });
    }
    measure(&wanted, &binary, &scratch, &floor, &mut report)?;
    report.probe_after(floor.probe()?);
    print!("{}", report.table());
    if wanted.mode == Mode::Update {
        report.add_to_docs()?;
    }
    report.verdict()
}

/// Copies a binary to `to`.
fn copied(binary: &Path, to: &Path) -> Outcome<PathBuf> {
    std::fs::copy(binary, to).map_err(|e| format!("cannot copy {}: {e}", binary.display()))?;
    Ok(to.to_owned())
}

fn measure(
    wanted: &Wanted,
    binary: &Path,
    scratch: &work::Scratch,
    floor: &Floor,
    report: &mut Report,
) -> Outcome {
    const RATIOS: (f64, f64) = (2.0, 1.2);
    if wanted.has("cold") {
        cold::measure(binary, scratch.path(), report)?;
    }
    let cis = Cis::start(binary, &scratch.path().join("home"))?;
    if wanted.has("pipes") {
        against_ninja(&cis, Shape::Wide(WIDE), (1.4, 1.15), scratch, report)?;
    }
    if wanted.has("pty") {
        against_floor(&cis, floor, scratch, report)?;
    }
    if wanted.has("chain") {
        against_ninja(&cis, Shape::Chain(CHAIN), RATIOS, scratch, report)?;
    }
    if wanted.has("attach") {
        attach::measure(&cis, report)?;
    }
    if wanted.has("sessions") {
        sessions::measure(&cis, report)?;
    }
    cis.stop()?;
    // Memory is told apart only in a node that did nothing else.
    if wanted.has("flood") {
        let cis = Cis::start(binary, &scratch.path().join("flood"))?;
        flood::measure(&cis, scratch, report)?;
        cis.stop()?;
    }
    if wanted.has("idle") {
        let cis = Cis::start(binary, &scratch.path().join("idle"))?;
        // It stops them itself, and measures that.
        if let Err(error) = idle::measure(&cis, report) {
            cis.stop()?;
            return Err(error);
        }
    }
    if wanted.has("latency") {
        ensure_debian("whiptail", "whiptail")?;
        let home = scratch.path().join("latency");
        let cis = Cis::start(binary, &home)?;
        let measured = latency::measure(&cis, &home, report);
        cis.stop()?;
        measured?;
    }
    if wanted.has("subscribers") {
        let cis = Cis::start(binary, &scratch.path().join("subscribers-home"))?;
        let measured = subscribers::measure(&cis, scratch, report);
        cis.stop()?;
        measured?;
    }
    if wanted.has("dashboard") {
        let cis = Cis::start(binary, &scratch.path().join("dashboard-home"))?;
        let measured = dashboard::measure(&cis, scratch, report);
        cis.stop()?;
        measured?;
    }
    if wanted.has("monitor") {
        monitor::measure(binary, report)?;
    }
    if wanted.has("nodes") {
        nodes::measure(report)?;
    }
    if wanted.has("nodes-shared") {
        nodes::measure_shared(report)?;
    }
    if wanted.has_some("rooms") {
        rooms::measure(&|part| wanted.has(part), binary, scratch.path(), report)?;
    }
    if wanted.has("scale") {
        scale::measure(binary, scratch, report)?;
    }
    Ok(())
}

/// `shape` by us with pipes, against `ninja -j2`.
fn against_ninja(
    cis: &Cis,
    shape: Shape,
    limits: (f64, f64),
    scratch: &work::Scratch,
    report: &mut Report,
) -> Outcome {
    let folder = scratch.path().join(shape.name());
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let file = work::write_dag(&folder, shape, Terminal::Pipes)?;
    peers::write_ninja(&folder, shape)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 1..=PAIRS {
        theirs.push(peers::ninja_ms(&folder)? / f64::from(shape.count()));
        ours.push(cis.dag_run_ms(&file)? / f64::from(shape.count()));
        eprintln!(
            "{} pair {pair}: ninja {:.3} ms, cis {:.3} ms each",
            shape.name(),
            last(&theirs),
            last(&ours)
        );
    }
    report.add(Row::ratio(
        &format!("{} of `sh -c 'true && :'`, tty = false, / `ninja -j2`", shape.words()),
        median(&ratios(&ours, &theirs)),
        limits,
        format!("{:.3} ms / {:.3} ms each", median(&ours), median(&theirs)),
    ));
    Ok(())
}

/// The wide shape on terminals, against the C floor.
fn against_floor(cis: &Cis, floor: &Floor, scratch: &work::Scratch, report: &mut Report) -> Outcome {
    let shape = Shape::Wide(WIDE);
    let file = work::write_dag(scratch.path(), shape, Terminal::Pty)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 1..=PAIRS {
        theirs.push(floor.ms_each(WIDE)?);
        ours.push(cis.dag_run_ms(&file)? / f64::from(WIDE));
        eprintln!("terminals pair {pair}: floor {:.3} ms, cis {:.3} ms each", last(&theirs), last(&ours));
    }
    report.add(Row::ratio(
        &format!("{} on PTYs / the C floor", shape.words()),
        median(&ratios(&ours, &theirs)),
        (1.5, 1.2),
        format!("{:.3} ms / {:.3} ms each", median(&ours), median(&theirs)),
    ));
    Ok(())
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_by_name_and_without_one_all_are() {
        let wanted =
            |words: &[&str]| Wanted::of(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let all = wanted(&["--update"]).unwrap();
        assert!(all.mode == Mode::Update && PARTS.iter().all(|(name, _)| all.has(name)));
        let one = wanted(&["idle"]).unwrap();
        assert!(one.mode == Mode::Judge && one.has("idle") && !one.has("flood"));
        let part = wanted(&["rooms-load"]).unwrap();
        assert!(part.has_some("rooms") && part.has("rooms-load"));
        assert!(!part.has("rooms") && !part.has("rooms-away") && !one.has_some("rooms"));
        assert!(wanted(&["rooms"]).unwrap().has("rooms-away"));
        assert!(wanted(&["--all"]).is_err());
        let against = wanted(&["cold", "--against", "old/cis", "--pairs", "5"]).unwrap();
        assert!(against.mode == Mode::Against { base: "old/cis".into(), pairs: 5 } && against.has("cold"));
        for wrong in [&["--against"][..], &["--pairs", "5"], &["--update", "--against", "old/cis"]] {
            assert!(wanted(wrong).is_err(), "{wrong:?}");
        }
        assert!(wanted(&["help"]).err().is_some_and(|usage| usage.contains("flood")));
    }
}

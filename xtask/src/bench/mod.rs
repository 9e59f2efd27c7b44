//! `bench`: the figures of `docs/benchmarks.md`, each beside a peer or a floor measured in the same run.
//!
//! Ratios are medians over alternating pairs, so that a machine that slows down slows both. Absolute
//! figures stand beside a probe of the machine's present speed.

mod attach;
mod cis;
mod cold;
mod peers;
mod report;
mod sessions;
mod stats;
mod work;

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
const WIDE: u32 = 5_000;
/// Commands of the chain.
const CHAIN: u32 = 1_000;
/// Alternating pairs.
const PAIRS: u32 = 5;

/// Measures everything and prints the table; `--update` adds it to `docs/benchmarks.md`.
/// Fails where a gate is missed.
pub(crate) fn bench(rest: &[String]) -> Outcome {
    let update = match rest {
        [] => false,
        [flag] if flag == "--update" => true,
        _ => return Err("usage: cargo xtask bench [--update]".to_owned()),
    };
    ensure_debian("ninja", "ninja-build")?;
    ensure_debian("cc", "gcc")?;
    run(cargo(&["build", "--release", "--locked", "--bin", "cis"]))?;
    let binary = target_dir()?.join("release/cis");
    let scratch = work::Scratch::new()?;
    let floor = Floor::compile(scratch.path())?;

    let mut report = Report::new(floor.wait_for_quiet()?);
    cold::measure(&binary, scratch.path(), &mut report)?;
    let cis = Cis::start(&binary, &scratch.path().join("home"))?;
    against_ninja(&cis, Shape::Wide(WIDE), (2.0, 1.2), &scratch, &mut report)?;
    against_floor(&cis, &floor, &scratch, &mut report)?;
    against_ninja(&cis, Shape::Chain(CHAIN), (2.0, 1.2), &scratch, &mut report)?;
    attach::measure(&cis, &mut report)?;
    sessions::measure(&cis, &mut report)?;
    cis.stop()?;

    report.probe_after(floor.probe()?);
    print!("{}", report.table());
    if update {
        report.add_to_docs()?;
    }
    report.verdict()
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
        (2.0, 1.25),
        format!("{:.3} ms / {:.3} ms each", median(&ours), median(&theirs)),
    ));
    Ok(())
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

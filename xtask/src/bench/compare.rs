//! `bench --against`: compares this tree's release binary with an earlier one, figure by figure.
//!
//! Owns the pairs and the interval of their ratio. Knows no benchmark: it runs the parts unchanged with both
//! binaries in turn, and pairs the rows with the same name.

use std::collections::BTreeMap;
use std::path::Path;

use super::report::Report;
use crate::Outcome;

/// Default number of pairs.
pub(super) const PAIRS: u32 = 7;
/// A figure is worse only where the whole interval of its ratio lies above this.
const WORSE: f64 = 1.03;
/// Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1; for more degrees the last one is
/// used, which is a little too wide.
const T95: [f64; 15] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
];

/// The ratio of two costs, new to old, over all pairs.
#[derive(Debug, PartialEq)]
struct Ratio {
    /// Geometric mean.
    mean: f64,
    /// Bounds of its 95 % interval.
    low: f64,
    high: f64,
}

impl Ratio {
    /// Returns `None` for fewer than two pairs, and if a figure is zero or negative, because it has no ratio.
    fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.len() < 2 || pairs.iter().any(|(new, old)| new.min(*old) <= 0.0) {
            return None;
        }
        let logs: Vec<f64> = pairs.iter().map(|(new, old)| (new / old).ln()).collect();
        #[allow(clippy::cast_precision_loss)]
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let t = T95[(logs.len() - 2).min(T95.len() - 1)];
        let half = t * (variance / count).sqrt();
        Some(Self { mean: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
    }

    fn is_worse(&self) -> bool {
        self.low > WORSE
    }
}

/// Runs `measure` on both binaries `pairs` times, and prints how each figure changed. Which of the two
/// goes first alternates.
///
/// # Errors
/// A measurement fails, or a figure is worse.
pub(super) fn run(
    pairs: u32,
    new: &Path,
    old: &Path,
    measure: &dyn Fn(&Path, &mut Report) -> Outcome,
) -> Outcome {
    let mut found: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for pair in 1..=pairs {
        eprintln!("pair {pair} of {pairs}");
        let (mut ours, mut theirs) = (Report::new(0.0), Report::new(0.0));
        let mut turns = [(new, &mut ours), (old, &mut theirs)];
        if pair % 2 == 0 {
            turns.reverse();
        }
        for (binary, report) in turns {
            measure(binary, report)?;
        }
        let theirs: BTreeMap<&str, f64> = theirs.costs().collect();
        for (what, cost) in ours.costs() {
            if let Some(base) = theirs.get(what) {
                found.entry(what.to_owned()).or_default().push((cost, *base));
            }
        }
    }
    println!("\n| what | new / old | 95 % interval | |\n|---|---|---|---|");
    let mut worse = Vec::new();
    for (what, pairs) in &found {
        let Some(ratio) = Ratio::of(pairs) else {
            println!("| {what} | no ratio: a figure is zero | | |");
            continue;
        };
        let verdict = if ratio.is_worse() { "WORSE" } else { "" };
        println!("| {what} | {:.3} | {:.3} to {:.3} | {verdict} |", ratio.mean, ratio.low, ratio.high);
        if ratio.is_worse() {
            worse.push(what.as_str());
        }
    }
    if worse.is_empty() { Ok(()) } else { Err(format!("worse than {}: {}", old.display(), worse.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_worse_only_where_its_whole_interval_is() {
        let steady = Ratio::of(&[(1.1, 1.0), (2.2, 2.0), (1.1, 1.0)]).unwrap();
        assert!(steady.is_worse() && (steady.mean - 1.1).abs() < 1e-9);
        let noisy = Ratio::of(&[(1.1, 1.0), (0.9, 1.0), (1.4, 1.0)]).unwrap();
        assert!(!noisy.is_worse() && noisy.low < 1.0 && noisy.high > 1.2);
        assert!(!Ratio::of(&[(1.02, 1.0), (1.02, 1.0)]).unwrap().is_worse());
        assert_eq!(Ratio::of(&[(0.0, 1.0), (1.0, 1.0)]), None);
        assert_eq!(Ratio::of(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn rows_are_paired_by_name_and_a_worse_one_fails() {
        let measured = |binary: &Path, report: &mut Report| {
            let ms = if binary == Path::new("new") { 2.0 } else { 1.0 };
            report.add(super::super::report::Row::limit("x", ms, "ms", (9.0, 9.0), 1));
            Ok(())
        };
        let (new, old) = (Path::new("new"), Path::new("old"));
        assert!(run(3, new, old, &measured).unwrap_err().contains("worse than old: x"));
        assert_eq!(run(3, old, new, &measured), Ok(()));
    }
}

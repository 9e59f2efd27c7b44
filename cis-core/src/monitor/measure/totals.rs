//! Many recordings: figures, and how sure they are.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::score::{Class, Judgement, Truth};

/// Programs whose name's SHA-256 begins with a byte below this are there to write rules by.
const RULES_BELOW: u8 = 128;

/// Half of the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Rules are written by looking at these.
    Rules,
    /// These are only measured: nobody who writes rules looks at them.
    Measured,
}

/// The part that recordings of this program belong to. By its name, so that no program is in both.
#[must_use]
pub fn part_of(program: &str) -> Part {
    if Sha256::digest(program.as_bytes())[0] < RULES_BELOW { Part::Rules } else { Part::Measured }
}

/// Bounds, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower.
    pub low: f64,
    /// Upper.
    pub high: f64,
}

/// Wilson's interval of 95 % around `hits` of `of`.
#[must_use]
pub fn wilson(hits: u64, of: u64) -> Interval {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Right ones.
    pub hits: u64,
    /// All.
    pub of: u64,
}

impl Rate {
    /// From 0 to 1; none where there is nothing to count.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// Wilson's interval of 95 %.
    #[must_use]
    pub fn interval(self) -> Interval {
        wilson(self.hits, self.of)
    }
}

/// The value that so many percent of `sorted` do not exceed (nearest rank).
#[must_use]
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

/// What was counted over recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Recordings.
    pub recordings: u64,
    /// Prompts.
    pub waiting: u64,
    /// Prompts that were found and still said when they were answered.
    pub found: u64,
    /// Of those, the ones of the right kind.
    pub kind_right: u64,
    /// Stretches of work.
    pub working: u64,
    /// Their length, ms.
    pub working_ms: u64,
    /// Calls while it worked.
    pub false_working: u64,
    /// Second calls of the same prompt.
    pub repeated: u64,
    /// Delays of what was found, ms, as they came.
    pub delays: Vec<(Class, u64)>,
}

impl Totals {
    /// Counts a recording.
    pub fn add(&mut self, judged: &[Judgement]) {
        self.recordings += 1;
        for one in judged {
            match one.episode.truth {
                Truth::Waiting(_) => {
                    self.waiting += 1;
                    self.repeated += u64::from(one.false_calls);
                    if let Some(found) = one.found {
                        self.found += 1;
                        self.kind_right += u64::from(found.kind_right);
                        self.delays.push((found.delay.class, found.delay.ms));
                    }
                }
                Truth::Working => {
                    self.working += 1;
                    self.working_ms += one.episode.to_ms - one.episode.from_ms;
                    self.false_working += u64::from(one.false_calls);
                }
            }
        }
    }

    /// Counts what others counted.
    pub fn merge(&mut self, other: &Self) {
        self.recordings += other.recordings;
        self.waiting += other.waiting;
        self.found += other.found;
        self.kind_right += other.kind_right;
        self.working += other.working;
        self.working_ms += other.working_ms;
        self.false_working += other.false_working;
        self.repeated += other.repeated;
        self.delays.extend_from_slice(&other.delays);
    }

    /// Of all calls, those that were right.
    #[must_use]
    pub fn precision(&self) -> Rate {
        Rate { hits: self.found, of: self.found + self.false_working + self.repeated }
    }

    /// Of all prompts, those that were found.
    #[must_use]
    pub fn recall(&self) -> Rate {
        Rate { hits: self.found, of: self.waiting }
    }

    /// Of what was found, what was called by its right kind.
    #[must_use]
    pub fn kinds(&self) -> Rate {
        Rate { hits: self.kind_right, of: self.found }
    }

    /// False calls in an hour of work; none where there was no work.
    #[must_use]
    pub fn false_per_hour(&self) -> Option<f64> {
        (self.working_ms > 0).then(|| self.false_working as f64 * 3_600_000.0 / self.working_ms as f64)
    }

    /// Delays of a class, ms, sorted.
    #[must_use]
    pub fn delays_of(&self, class: Class) -> Vec<u64> {
        let of_class = self.delays.iter().filter(|(of, _)| *of == class);
        let mut delays: Vec<u64> = of_class.map(|(_, ms)| *ms).collect();
        delays.sort_unstable();
        delays
    }
}

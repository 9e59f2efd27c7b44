//! How good is a detector? Its verdicts over recordings, held against what their labels say.
//!
//! Owns the definitions: what a stretch of truth is, when a prompt counts as found, what counts as a
//! false call, which part of the corpus a program belongs to, and the intervals around the figures. Also
//! the simple rules that others use, as something to be compared with. Draws no verdict of its own.

mod baseline;
mod score;
mod totals;

pub use baseline::{Baseline, Rule, STEP_MS};
pub use score::{Class, Delay, Episode, Found, Judgement, Span, Truth, episodes, judge};
pub use totals::{Interval, Part, Rate, Totals, part_of, percentile, wilson};

#[cfg(test)]
mod tests;

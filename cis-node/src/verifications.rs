//! Comparisons of emoji that people began.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::account::Comparison;

/// Comparisons under way, and some that have ended, by their id.
#[derive(Default)]
pub(crate) struct Verifications(pub(crate) Mutex<BTreeMap<String, Kept>>);

#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) user: String,
    pub(crate) comparison: Comparison,
}

//! Comparisons of emoji that people began.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::account::Comparison;
use cis_core::api::{Problem, ProblemKind};

/// Comparisons that are remembered. One that has ended goes first.
const KEPT_MAX: usize = 16;

/// Comparisons under way, and some that have ended, by their id.
#[derive(Default)]
pub(crate) struct Verifications(Mutex<BTreeMap<String, Kept>>);

#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) user: String,
    pub(crate) comparison: Comparison,
}

impl Verifications {
    /// Two with one person at once would void each other.
    pub(crate) fn check_free(&self, user: &str) -> Result<(), Problem> {
        Self::is_free(&self.0.lock().unwrap_or_else(PoisonError::into_inner), user)
    }

    fn is_free(all: &BTreeMap<String, Kept>, user: &str) -> Result<(), Problem> {
        if all.values().any(|kept| kept.user == user && !kept.comparison.has_ended()) {
            let detail = format!("a comparison with {} is under way already", user.escape_debug());
            return Err(Problem::new(ProblemKind::Conflict, detail)
                .hint("go on there; it ends with its --timeout at the latest"));
        }
        Ok(())
    }

    pub(crate) fn keep(&self, kept: Kept) -> Result<String, Problem> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            Problem::new(ProblemKind::Unavailable, format!("the system gives no random bytes: {error}"))
        })?;
        let id = hex::encode(random);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever began at the same moment may have been faster: dropping this one ends it.
        Self::is_free(&all, &kept.user)?;
        if all.len() >= KEPT_MAX {
            all.retain(|_, kept| !kept.comparison.has_ended());
        }
        if all.len() >= KEPT_MAX {
            let detail = format!("{KEPT_MAX} comparisons are under way: end one of them first");
            return Err(Problem::new(ProblemKind::Unavailable, detail));
        }
        all.insert(id.clone(), kept);
        Ok(id)
    }

    pub(crate) fn find(&self, id: &str) -> Result<Kept, Problem> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).cloned().ok_or_else(|| {
            Problem::new(
                ProblemKind::NotFound,
                "this comparison is not known: a node that was restarted forgets them",
            )
            .hint("begin again: `cis matrix verify @NAME:SERVER`")
        })
    }
}

//! Cache of redactors by their values: all sessions and logs of a run hide the same secrets.
//!
//! Redactors in use are shared, and some unused ones are kept. Concurrent requests for the same values build one redactor.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cis_core::policy::redact::{RedactError, Redactor};

/// Maximum number of nodes of the kept redactors in total: about 50 MB.
const KEPT_NODES_MAX: usize = 2 << 20;
/// Maximum number of kept redactors.
const KEPT_MAX: usize = 32;

static SHARED: Shared = Shared { known: Mutex::new(Vec::new()), kept: Mutex::new(VecDeque::new()) };

struct Shared {
    known: Mutex<Vec<Arc<Known>>>,
    /// Redactors that are kept even if they are not in use, the newest first.
    kept: Mutex<VecDeque<Arc<Redactor>>>,
}

struct Known {
    values: BTreeSet<String>,
    /// Locked while the redactor is built.
    redactor: Mutex<Weak<Redactor>>,
}

/// Returns the redactor of the secrets of a run and of one of its attempts.
///
/// # Errors
/// The same as [`Redactor::new`].
pub(super) fn of(
    of_run: &BTreeSet<String>,
    own: impl IntoIterator<Item = String>,
) -> Result<Arc<Redactor>, RedactError> {
    let own = own.into_iter().filter(|value| !of_run.contains(value)).collect();
    Ok(one(of_run)?.with(&one(&own)?))
}

/// Returns the redactor of these values.
///
/// # Errors
/// The same as [`Redactor::new`].
pub(super) fn one(values: &BTreeSet<String>) -> Result<Arc<Redactor>, RedactError> {
    if values.is_empty() {
        return Ok(Arc::default());
    }
    SHARED.get(values)
}

impl Shared {
    fn get(&self, values: &BTreeSet<String>) -> Result<Arc<Redactor>, RedactError> {
        let known = self.known(values);
        let mut slot = lock(&known.redactor);
        if let Some(redactor) = slot.upgrade() {
            return Ok(redactor);
        }
        let redactor = Arc::new(Redactor::new(values.iter().cloned())?);
        *slot = Arc::downgrade(&redactor);
        drop(slot);
        self.keep(&redactor);
        Ok(redactor)
    }

    fn known(&self, values: &BTreeSet<String>) -> Arc<Known> {
        let mut all = lock(&self.known);
        if let Some(known) = all.iter().find(|known| known.values == *values) {
            return Arc::clone(known);
        }
        // Remove entries whose redactor is neither in use nor being built.
        all.retain(|known| Arc::strong_count(known) > 1 || lock(&known.redactor).strong_count() > 0);
        let known = Arc::new(Known { values: values.clone(), redactor: Mutex::default() });
        all.push(Arc::clone(&known));
        known
    }

    fn keep(&self, redactor: &Arc<Redactor>) {
        let mut kept = lock(&self.kept);
        kept.push_front(Arc::clone(redactor));
        let mut nodes = 0;
        let fits = kept.iter().take(KEPT_MAX).take_while(|redactor| {
            nodes += redactor.nodes();
            nodes <= KEPT_NODES_MAX
        });
        let fits = fits.count();
        kept.truncate(fits);
    }
}

/// Locks. A panic leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &str) -> BTreeSet<String> {
        [of.to_owned()].into()
    }

    #[test]
    fn those_who_need_the_same_one_share_it() {
        let shared = Shared { known: Mutex::default(), kept: Mutex::default() };
        let start = std::sync::Barrier::new(8);
        let made: Vec<Arc<Redactor>> = std::thread::scope(|scope| {
            let get = || {
                start.wait();
                shared.get(&values(&"hunter2/".repeat(1000))).unwrap()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])), "it was made more than once");
        let nodes = made[0].nodes();
        drop(made);
        assert_eq!(shared.get(&values(&"hunter2/".repeat(1000))).unwrap().nodes(), nodes);
        // Unused redactors are dropped, the oldest first.
        for n in 0..200 {
            shared.get(&values(&format!("{n} secret"))).unwrap();
        }
        assert_eq!(lock(&shared.kept).len(), KEPT_MAX);
        assert!(lock(&shared.known).len() <= KEPT_MAX + 1);
    }

    #[test]
    fn what_a_run_and_its_attempt_hide_is_hidden_together() {
        let redactor = of(&values("of-the-run"), ["of-the-run".to_owned(), "its-own".to_owned()]).unwrap();
        assert_eq!(redactor.redact("of-the-run, its-own"), "***, ***");
        assert!(of(&BTreeSet::new(), []).unwrap().is_empty());
    }
}

//! Locks by key, for work that several tasks of the runtime may want to do at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Lock = tokio::sync::Mutex<()>;

/// Locks by key. Several are taken by [`Self::lock_all`], in one order: two that wait for each other would wait for ever.
#[derive(Default)]
pub(crate) struct KeyedLocks(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    by_key: BTreeMap<String, Weak<Lock>>,
    /// So many were in use when those that are not were dropped last.
    in_use: usize,
}

impl KeyedLocks {
    /// Waits until nobody else holds the lock of this key.
    pub(crate) async fn lock(&self, key: &str) -> OwnedMutexGuard<()> {
        self.slot(key).lock_owned().await
    }

    /// Takes the lock of this key if nobody holds it.
    pub(crate) fn try_lock(&self, key: &str) -> Option<OwnedMutexGuard<()>> {
        self.slot(key).try_lock_owned().ok()
    }

    /// Waits for the locks of several keys; a key may be there more than once.
    pub(crate) async fn lock_all(&self, mut keys: Vec<&str>) -> Vec<OwnedMutexGuard<()>> {
        keys.sort_unstable();
        keys.dedup();
        let mut locks = Vec::with_capacity(keys.len());
        for key in keys {
            locks.push(self.lock(key).await);
        }
        locks
    }

    fn slot(&self, key: &str) -> Arc<Lock> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = slots.by_key.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        if slots.by_key.len() > 1000 + 2 * slots.in_use {
            slots.by_key.retain(|_, lock| lock.strong_count() > 0);
            slots.in_use = slots.by_key.len();
        }
        let lock = Arc::new(Lock::default());
        slots.by_key.insert(key.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_after_the_other_has_a_turn_and_old_ones_are_forgotten() {
        let turns = Arc::new(KeyedLocks::default());
        let first = turns.lock_all(vec!["b", "a", "b"]).await;
        assert_eq!(first.len(), 2);
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.lock_all(vec!["a", "c"]).await.len() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.unwrap(), 2);
        for n in 0..5000 {
            drop(turns.lock(&n.to_string()).await);
        }
        assert!(turns.0.lock().unwrap().by_key.len() <= 1001);
    }
}

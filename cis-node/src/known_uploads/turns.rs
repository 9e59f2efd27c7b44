//! Locks by key, for work that several tasks of the runtime may want to do at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Lock = tokio::sync::Mutex<()>;

/// See the module. Nobody may hold one turn and wait for a smaller one: whoever needs several takes them in their order.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    by_key: BTreeMap<String, Weak<Lock>>,
    /// So many were in use when those that are not were dropped last.
    in_use: usize,
}

impl Turns {
    /// Waits until nobody else has it.
    pub(crate) async fn of(&self, key: &str) -> OwnedMutexGuard<()> {
        self.lock(key).lock_owned().await
    }

    /// Several, each once.
    pub(crate) async fn of_all(&self, mut keys: Vec<&str>) -> Vec<OwnedMutexGuard<()>> {
        keys.sort_unstable();
        keys.dedup();
        let mut turns = Vec::with_capacity(keys.len());
        for key in keys {
            turns.push(self.of(key).await);
        }
        turns
    }

    fn lock(&self, key: &str) -> Arc<Lock> {
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
        let turns = Arc::new(Turns::default());
        let first = turns.of_all(vec!["b", "a", "b"]).await;
        assert_eq!(first.len(), 2);
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.of_all(vec!["a", "c"]).await.len() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.unwrap(), 2);
        for n in 0..5000 {
            drop(turns.of(&n.to_string()).await);
        }
        assert!(turns.0.lock().unwrap().by_key.len() <= 1001);
    }
}

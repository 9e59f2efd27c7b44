//! What sessions ask that work on tasks of other nodes, with the answers: their processes wait for them here, because the
//! runs are in the stores of other nodes.
//!
//! Owns these asks until their sessions end. The driver writes, requests read. Bounded for each session by the inbox.

use std::collections::BTreeMap;

use cis_core::api::AskView;
use cis_core::ids::{InboxId, SessionId};
use tokio::sync::watch;

/// Asks of a session that are over are kept up to this number, for those who read late.
const OVER_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct HeldAsks(watch::Sender<Asks>);

/// Each with its place in the order in which they were asked.
pub(crate) type Asks = BTreeMap<(SessionId, InboxId), (u64, AskView)>;

impl HeldAsks {
    /// A session asks something.
    pub(crate) fn put(&self, session: SessionId, ask: AskView) {
        self.0.send_modify(|asks| {
            let next = asks.values().map(|(place, _)| place + 1).max().unwrap_or_default();
            let over = asks.iter().filter(|((of, _), (_, ask))| *of == session && ask.is_over());
            let mut over: Vec<(u64, InboxId)> =
                over.map(|((_, item), (place, _))| (*place, item.clone())).collect();
            over.sort_unstable();
            let too_many = over.len().saturating_sub(OVER_MAX);
            for (_, item) in over.drain(..too_many) {
                asks.remove(&(session, item));
            }
            asks.insert((session, ask.id.clone()), (next, ask));
        });
    }

    /// An ask was answered or withdrawn.
    pub(crate) fn change(&self, session: SessionId, item: &InboxId, change: impl FnOnce(&mut AskView)) {
        self.0.send_if_modified(|asks| match asks.get_mut(&(session, item.clone())) {
            Some((_, ask)) => {
                change(ask);
                true
            }
            None => false,
        });
    }

    /// The session ended.
    pub(crate) fn forget(&self, session: SessionId) {
        self.0.send_if_modified(|asks| {
            let before = asks.len();
            asks.retain(|(of, _), _| *of != session);
            asks.len() < before
        });
    }

    /// The ask as it is now.
    pub(crate) fn get(&self, session: SessionId, item: &InboxId) -> Option<AskView> {
        self.0.borrow().get(&(session, item.clone())).map(|(_, ask)| ask.clone())
    }

    /// To wait for changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Asks> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(n: u32) -> AskView {
        let id = InboxId::of_prompt(session(), n);
        AskView { thread: id.clone(), id, text: "?".to_owned(), answer: None, withdrawn: None }
    }

    fn session() -> SessionId {
        SessionId::from_parts(1, 1)
    }

    #[test]
    fn what_is_over_is_not_kept_without_end_and_what_is_open_is() {
        let asks = HeldAsks::default();
        asks.put(session(), ask(0));
        for n in 1..500 {
            asks.put(session(), ask(n));
            asks.change(session(), &ask(n).id, |ask| ask.withdrawn = Some("no".to_owned()));
        }
        assert!(asks.get(session(), &ask(0).id).is_some());
        assert_eq!(asks.get(session(), &ask(499).id).unwrap().withdrawn.as_deref(), Some("no"));
        assert!(asks.0.borrow().len() <= OVER_MAX + 2);
        asks.forget(session());
        assert_eq!(asks.get(session(), &ask(0).id), None);
    }
}

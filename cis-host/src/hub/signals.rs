//! What a program says to its terminal beside text, on its way to the monitor.
//!
//! Each signal is judged on its own, and one noisy session must not take the time of all others: those that come
//! together, or too often, are merged, so that of each kind the newest is left, in the order in which they were
//! said. What is so now gets through; how often it was otherwise in between does not.

use cis_core::ids::TimestampMs;
use cis_core::monitor::Signal;
use cis_core::rate::{Bucket, Rate};

/// So often they are judged.
const JUDGED: Rate = Rate::new(20, 100);
/// No more kinds wait: a program may make kinds up.
const WAITING_MAX: usize = 16;

/// Signals of one session that are not judged yet.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Of each kind one, the newest said last.
    waiting: Vec<Signal>,
    bucket: Bucket,
    /// They wait until then.
    due: Option<TimestampMs>,
}

impl Signals {
    /// One more.
    pub(super) fn put(&mut self, signal: Signal) {
        if signal == Signal::StatusQuery {
            // The terminal's to answer.
            return;
        }
        self.waiting.retain(|other| !same_kind(other, &signal));
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push(signal);
    }

    /// Those to be judged now, oldest first; none where it is too early.
    pub(super) fn take(&mut self, now: TimestampMs) -> Vec<Signal> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        match self.bucket.take(JUDGED, now) {
            Ok(()) => self.take_all(),
            Err(at) => {
                self.due = Some(at);
                Vec::new()
            }
        }
    }

    /// All of them, whenever it is.
    pub(super) fn take_all(&mut self) -> Vec<Signal> {
        self.due = None;
        std::mem::take(&mut self.waiting)
    }

    /// When they are to be judged, where some wait.
    pub(super) fn due(&self) -> Option<TimestampMs> {
        (!self.waiting.is_empty()).then(|| self.due.unwrap_or(TimestampMs::MIN))
    }
}

/// The later one stands for both.
fn same_kind(one: &Signal, other: &Signal) -> bool {
    match (one, other) {
        // What it was between two of the same says that something happened.
        (Signal::Status { state: one, .. }, Signal::Status { state: other, .. }) => one == other,
        (Signal::Shell { mark: one, .. }, Signal::Shell { mark: other, .. }) => one == other,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str) -> Signal {
        Signal::Status { state: state.to_owned(), app: None, kind: None, message: None }
    }

    fn put(signals: &mut Signals, all: impl IntoIterator<Item = Signal>) {
        all.into_iter().for_each(|signal| signals.put(signal));
    }

    #[test]
    fn of_many_signals_the_newest_of_each_kind_are_judged() {
        let mut signals = Signals::default();
        let notice = |text: String| Signal::Notification { text };
        put(&mut signals, (0..5000).flat_map(|n| [Signal::Bell, notice(n.to_string()), Signal::StatusQuery]));
        put(&mut signals, [Signal::PasteBrackets { on: false }, Signal::PasteBrackets { on: true }]);
        let last = [Signal::Bell, notice("4999".to_owned()), Signal::PasteBrackets { on: true }];
        assert_eq!(signals.take(7), last);
        put(&mut signals, (0..9).flat_map(|_| [status("working"), status("blocked")]));
        put(&mut signals, [Signal::Bell]);
        assert_eq!(
            signals.take(7),
            [status("working"), status("blocked"), Signal::Bell],
            "and in their order"
        );
        put(&mut signals, (0..100).map(|n| status(&n.to_string())));
        assert_eq!(signals.take(7).len(), WAITING_MAX);
        assert!(signals.take(7).is_empty());
        assert_eq!(signals.due(), None);
    }

    #[test]
    fn who_says_something_all_the_time_is_heard_so_often_and_the_newest_is_never_lost() {
        let mut signals = Signals::default();
        let mut judged = 0;
        for ms in 0..10_000 {
            put(&mut signals, [status("working"), status("blocked")]);
            judged += usize::from(!signals.take(ms).is_empty());
        }
        assert_eq!(judged, 20 + 99, "at once, and ten a second");
        put(&mut signals, [Signal::Bell]);
        let due = signals.due().unwrap();
        assert!(signals.take(due - 1).is_empty());
        assert_eq!(signals.take(due), [status("working"), status("blocked"), Signal::Bell]);
        put(&mut signals, [Signal::Bell]);
        assert!(signals.take(due).is_empty());
        assert_eq!((signals.take_all(), signals.due()), (vec![Signal::Bell], None), "whenever it is");
    }
}

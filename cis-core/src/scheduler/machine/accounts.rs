//! Accounts that agents are logged in to, and a circuit breaker for each: where several sessions in a row
//! found themselves logged out, nothing of that account starts for a while, then one session tries.
//!
//! The account is the node's, so this is counted over all runs. Nothing of it is stored: a node that starts
//! again counts anew.

use std::collections::BTreeMap;

use super::{Machine, Turn};
use crate::event::{EventBody, ExecutionMode, QueueReason, TaskChange, TaskState};
use crate::ids::{AttemptId, NodeDid, RunId, TimestampMs};
use crate::scheduler::input::Rejected;
use crate::scheduler::state::Run;

/// When the breaker of an account opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// After so many sessions in a row that were logged out.
    pub failures: u32,
    /// So long nothing starts, ms.
    pub open_ms: i64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 3, open_ms: 60_000 }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    rule: Breaker,
    known: BTreeMap<String, Account>,
}

/// An account that somebody was logged out of.
#[derive(Debug, Clone, Default)]
struct Account {
    /// Sessions in a row that were.
    failures: u32,
    /// Nothing starts before then; none: it is closed.
    open_until: Option<TimestampMs>,
    /// It tries whether that is still so.
    trial: Option<AttemptId>,
}

impl Accounts {
    /// A session was logged out.
    pub(super) fn failed(&mut self, name: &str, now: TimestampMs) {
        let rule = self.rule;
        let account = self.known.entry(name.to_owned()).or_default();
        account.failures = account.failures.saturating_add(1);
        account.trial = None;
        if account.failures >= rule.failures {
            account.open_until = Some(now.saturating_add(rule.open_ms));
        }
    }

    /// A session got on with it. Says whether it was open.
    fn worked(&mut self, name: &str) -> bool {
        self.known.remove(name).is_some_and(|account| account.open_until.is_some())
    }

    /// Until when nothing of it starts; none: something may.
    fn holds(&self, name: &str, now: TimestampMs) -> Option<TimestampMs> {
        let until_ms = self.known.get(name)?.open_until?;
        // A clock that was set back must not make it longer.
        let until_ms = until_ms.min(now.saturating_add(self.rule.open_ms));
        (until_ms > now).then_some(until_ms)
    }

    /// A session of it begins: where it was open, that is the one that tries, and the others wait.
    fn starts(&mut self, name: &str, attempt: &AttemptId, now: TimestampMs) {
        let open_ms = self.rule.open_ms;
        if let Some(account) = self.known.get_mut(name).filter(|account| account.open_until.is_some()) {
            account.trial = Some(attempt.clone());
            account.open_until = Some(now.saturating_add(open_ms));
        }
    }

    /// Whether this attempt was to try, and ended without telling anything: then another one may.
    fn is_over(&mut self, name: &str, attempt: &AttemptId, now: TimestampMs) -> bool {
        let known = self.known.get_mut(name).filter(|account| account.trial.as_ref() == Some(attempt));
        known.is_some_and(|account| {
            (account.trial, account.open_until) = (None, Some(now));
            true
        })
    }
}

impl Machine {
    /// Other limits than the usual for accounts that are logged out.
    pub fn configure_breaker(&mut self, rule: Breaker) {
        self.accounts.rule = rule;
    }

    /// Whether nothing of an account starts on this node for a while.
    #[must_use]
    pub fn is_logged_out(&self, account: &str, now: TimestampMs) -> bool {
        self.accounts.holds(account, now).is_some()
    }

    pub(super) fn login_worked(&mut self, account: &str, turn: &Turn) -> Result<(), Rejected> {
        if self.accounts.worked(account) { self.let_start(account, turn) } else { Ok(()) }
    }

    pub(super) fn account_holds(&self, account: Option<&String>, now: TimestampMs) -> Option<TimestampMs> {
        self.accounts.holds(account?, now)
    }

    pub(super) fn account_starts(&mut self, account: Option<&String>, attempt: &AttemptId, now: TimestampMs) {
        if let Some(account) = account {
            self.accounts.starts(account, attempt, now);
        }
    }

    /// An attempt of `node` is over. One that succeeded was logged in, whatever was seen of it. Other nodes have logins of their
    /// own.
    pub(super) fn account_ends(
        &mut self,
        attempt: &AttemptId,
        node: Option<&NodeDid>,
        succeeded: bool,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        if node.is_some_and(|node| *node != self.node) {
            return Ok(());
        }
        let task = self.run(&attempt.run).and_then(|run| run.task(&attempt.task));
        let Some(account) = task.and_then(|(spec, _)| spec.account.clone()) else { return Ok(()) };
        let was_open = succeeded && self.accounts.worked(&account);
        if was_open || self.accounts.is_over(&account, attempt, turn.now) {
            return self.let_start(&account, turn);
        }
        Ok(())
    }

    /// Those of a run that could start and are held by their account wait for that.
    pub(super) fn wait_for_account(
        &mut self,
        id: RunId,
        account: &str,
        until_ms: TimestampMs,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let mut waiting: Vec<u32> = run
            .index
            .lanes()
            .flat_map(|lane| lane.ready.iter().map(|rank| rank.1))
            .filter(|index| run.spec(*index).account.as_deref() == Some(account))
            .filter(|index| run.facts().mode != ExecutionMode::Matrix || run.stays_home(*index))
            .collect();
        waiting.sort_unstable();
        let reason = QueueReason::Account { name: account.to_owned(), until_ms };
        let changes = waiting.into_iter().map(|index| queued(run, index, reason.clone())).collect();
        self.emit(id, EventBody::TaskStatus { changes }, turn)?;
        self.touch(id);
        Ok(())
    }

    /// Nothing holds the tasks of an account any more.
    fn let_start(&mut self, account: &str, turn: &Turn) -> Result<(), Rejected> {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        for id in ids {
            let run = self.known(id)?;
            if run.state().is_terminal() || !self.is_ours(run) {
                continue;
            }
            let held = |index: &u32| matches!(&run.entry(*index).queued, Some(QueueReason::Account { name, .. }) if name == account);
            let changes: Vec<TaskChange> = (0..run.len())
                .filter(held)
                .map(|index| queued(run, index, Run::turn(run.spec(index))))
                .collect();
            if !changes.is_empty() {
                self.emit(id, EventBody::TaskStatus { changes }, turn)?;
                self.touch(id);
            }
        }
        Ok(())
    }
}

fn queued(run: &Run, index: u32, reason: QueueReason) -> TaskChange {
    let (task, state) = (run.spec(index).id.clone(), TaskState::Queued);
    TaskChange { task, state, end: None, queued: Some(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    fn attempt(number: u32) -> AttemptId {
        AttemptId { run: RunId::from_parts(1, 1), task: TaskId::new("a").unwrap(), number }
    }

    #[test]
    fn it_opens_after_several_in_a_row_and_one_tries() {
        let mut accounts = Accounts::default();
        accounts.failed("a", 0);
        accounts.failed("a", 1);
        assert_eq!(accounts.holds("a", 1), None);
        assert!(!accounts.worked("a"), "it had not opened");
        for now in 2..4 {
            accounts.failed("a", now);
        }
        assert_eq!(accounts.holds("a", 4), None, "it counts anew after a success");
        accounts.failed("a", 4);
        assert_eq!(accounts.holds("a", 4), Some(60_004));
        assert_eq!(accounts.holds("b", 4), None, "another account");
        assert_eq!(accounts.holds("a", 60_004), None);
        accounts.starts("a", &attempt(1), 60_004);
        assert_eq!(accounts.holds("a", 60_005), Some(120_004), "the others wait for the one that tries");
        accounts.failed("a", 60_010);
        assert_eq!(accounts.holds("a", 60_011), Some(120_010), "one failure is enough then");
        accounts.starts("a", &attempt(2), 120_010);
        assert!(accounts.worked("a"));
        assert_eq!(accounts.holds("a", 120_011), None);
    }

    #[test]
    fn one_that_ends_without_telling_lets_another_try() {
        let mut accounts = Accounts { rule: Breaker { failures: 1, open_ms: 1000 }, ..Accounts::default() };
        accounts.failed("a", 0);
        accounts.starts("a", &attempt(1), 1000);
        assert!(!accounts.is_over("a", &attempt(2), 1001));
        assert!(accounts.is_over("a", &attempt(1), 1002));
        assert_eq!(accounts.holds("a", 1002), None);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_longer() {
        let mut accounts = Accounts { rule: Breaker { failures: 1, open_ms: 1000 }, ..Accounts::default() };
        accounts.failed("a", 50_000);
        assert_eq!(accounts.holds("a", 10_000), Some(11_000));
    }
}

//! Accounts that are logged out: nothing of them starts for a while, then one session tries.

use std::collections::BTreeMap;

use cis_core::ids::{AttemptId, TimestampMs};

use super::{Check, ensure};

/// After so many in a row.
pub(crate) const FAILURES: u32 = 2;
/// So long, ms.
pub(crate) const QUIET_MS: i64 = 9000;

#[derive(Debug, Default)]
pub(super) struct RefAccounts(BTreeMap<String, RefAccount>);

#[derive(Debug, Default)]
struct RefAccount {
    failures: u32,
    quiet_until: Option<TimestampMs>,
    trial: Option<AttemptId>,
}

impl RefAccounts {
    pub(super) fn is_free(&self, name: Option<&String>, now: TimestampMs) -> bool {
        let account = name.and_then(|name| self.0.get(name));
        account.and_then(|account| account.quiet_until).is_none_or(|until_ms| until_ms <= now)
    }

    pub(super) fn failed(&mut self, name: &str, now: TimestampMs) {
        let account = self.0.entry(name.to_owned()).or_default();
        account.failures += 1;
        account.trial = None;
        if account.failures >= FAILURES {
            account.quiet_until = Some(now + QUIET_MS);
        }
    }

    pub(super) fn worked(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn starts(&mut self, name: Option<&String>, attempt: AttemptId, now: TimestampMs) -> Check {
        ensure(self.is_free(name, now), || format!("{attempt} starts, but {name:?} is logged out"))?;
        if let Some(account) = name.and_then(|name| self.0.get_mut(name)).filter(|a| a.quiet_until.is_some())
        {
            (account.trial, account.quiet_until) = (Some(attempt), Some(now + QUIET_MS));
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, name: Option<&String>, attempt: &AttemptId, good: bool, now: TimestampMs) {
        let Some(name) = name else { return };
        if good {
            self.worked(name);
        } else if let Some(account) = self.0.get_mut(name).filter(|a| a.trial.as_ref() == Some(attempt)) {
            (account.trial, account.quiet_until) = (None, Some(now));
        }
    }
}

//! What this node offers to the nodes of its rooms, and when they are told.
//!
//! Owns no state. What follows from the offers of others is the scheduler's matter.

use std::collections::BTreeSet;

use super::super::Driver;
use crate::account::boot_ms;
use crate::config::find_program;
use cis_core::agent::Agent;
use cis_core::ids::TimestampMs;
use cis_core::scheduler::placement::NodeOffer;

impl Driver {
    /// What this node offers to rooms is another: they are told soon.
    pub(in crate::driver) fn offer_changed(&mut self) {
        for worker in self.federation.rooms.values_mut().filter_map(|room| room.worker.as_mut()) {
            worker.status_changed(boot_ms());
        }
    }

    /// Offers no agent of an account for `logins.pause`.
    pub(in crate::driver) fn offer_no_more(&mut self, account: &str, now: TimestampMs) {
        let pause = i64::try_from(self.parts.config.settings.logins.pause_ms).unwrap_or(i64::MAX);
        self.federation.logged_out.insert(account.to_owned(), now.saturating_add(pause));
        self.offer_changed();
    }

    /// Offers the agents of an account again.
    pub(in crate::driver) fn offer_again(&mut self, account: &str) {
        if self.federation.logged_out.remove(account).is_some() {
            self.offer_changed();
        }
    }

    /// What this node offers to a room.
    pub(super) fn offer(&mut self, room: &str, now: TimestampMs) -> NodeOffer {
        let sessions = self.federation.worker(room).map_or(0, |worker| worker.live_sessions());
        let takes_tasks = self.federation.rooms.get(room).is_some_and(|room| room.takes_tasks);
        let settings = &self.parts.config.settings.federation;
        NodeOffer {
            name: self.own_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tags: settings.tags.iter().cloned().collect(),
            agents: self.agents_for_others(now),
            slots: settings.slots,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            files: true,
            secrets: true,
            commits: true,
            // Each coordinator is told another number.
            others: None,
            ahead: self.federation.ahead(),
            load_permille: crate::machine::load_permille(),
            // Earlier versions know that alone.
            draining: self.federation.draining
                || !takes_tasks
                || self.federation.twin_in.is_some()
                || self.host.pid().is_none()
                || self.parts.machine.is_paused(),
            paused: self.parts.machine.is_paused(),
            stopping: self.federation.stopping,
            policy: self.parts.rules.revision(),
            recovered: self.federation.shortages.ended(),
            only: Default::default(),
            is_named: false,
        }
    }

    /// Agents that other nodes may use here and that could start: of each the program is there, and its account was not
    /// found logged out lately.
    fn agents_for_others(&self, now: TimestampMs) -> BTreeSet<String> {
        let at_hand = self.agents_at_hand(now).into_iter();
        at_hand.filter(|agent| self.lends_agent(agent)).collect()
    }

    /// Whether other nodes may use an agent here.
    pub(super) fn lends_agent(&self, agent: &str) -> bool {
        self.parts.config.settings.federation.agents.iter().any(|name| name == agent)
    }

    /// Agents that could start here.
    pub(super) fn agents_at_hand(&self, now: TimestampMs) -> BTreeSet<String> {
        let own = self.parts.worker.own_path();
        let at_hand = |agent: &&Agent| {
            let path = agent.env.get("PATH").map_or(own, String::as_str);
            let until_ms = self.federation.logged_out.get(&agent.account);
            find_program(agent, Some(path), None).is_ok()
                && until_ms.is_none_or(|until_ms| *until_ms <= now)
                && !self.parts.machine.is_logged_out(&agent.account, now)
        };
        self.parts.config.settings.agents.iter().filter(at_hand).map(|agent| agent.name.clone()).collect()
    }

    pub(super) fn own_name(&self) -> String {
        crate::machine::name_in(&self.parts.config.settings.federation)
    }
}

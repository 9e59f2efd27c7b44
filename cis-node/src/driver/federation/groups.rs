//! Places in the concurrency groups of rooms: what the scheduler may start, and whose leases are renewed.
//!
//! Owns no state but what was told last: who may take how much is decided by `protocol::groups`, what starts by the scheduler.

use std::collections::BTreeMap;

use super::super::Driver;
use super::{Room, freeze_at};
use crate::account::boot_ms;
use crate::room_waker::GroupsClaim;
use cis_core::federation::protocol::groups::holder::Gate;
use cis_core::federation::protocol::groups::message::GroupMessage;
use cis_core::federation::protocol::groups::{Effect, RoomGroups, Term};
use cis_core::federation::protocol::message::Message;
use cis_core::federation::protocol::{BootMs, Settings};
use cis_core::ids::{NodeDid, SessionId, TimestampMs};
use cis_core::scheduler::{GroupUse, Input, InputKind, RoomShare};
use cis_host::protocol::{AtDeadline, ToHost};

/// What follows from places is looked at again so often in one turn: that places are there lets tasks start, which asks for more.
const ROUNDS_MAX: usize = 16;

/// The groups of a room, and what was told of them.
pub(super) struct Groups {
    half: RoomGroups,
    /// To the scheduler.
    share: Option<RoomShare>,
    /// To the half.
    using: BTreeMap<String, GroupUse>,
    gate: Gate,
}

impl Groups {
    fn new(own: NodeDid, now: TimestampMs) -> Self {
        // Reports of an earlier life have smaller numbers.
        let nonce = u64::try_from(now).unwrap_or_default() << 10;
        Self {
            half: RoomGroups::new(Settings::default(), own, nonce, boot_ms()),
            share: None,
            using: BTreeMap::new(),
            gate: Gate::default(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<BootMs> {
        self.half.poll_timeout(boot_ms())
    }

    /// Whether what others get depends on what this node read.
    pub(super) fn promises(&self) -> bool {
        self.half.promises()
    }

    pub(super) fn stood_still(&mut self, now: BootMs) {
        self.half.stood_still(now);
    }

    pub(super) fn hears_nobody(&mut self) {
        self.half.hears_nobody();
    }

    pub(super) fn leave(&mut self, run: cis_core::ids::RunId) {
        self.half.leave(run, boot_ms());
    }

    fn is_idle(&self) -> bool {
        !self.half.has_groups()
            && self.using.is_empty()
            && self.gate == Gate::default()
            && self.poll_timeout().is_none()
    }
}

impl Driver {
    /// Takes what the owners of a room say of its groups, and who coordinates there.
    pub(super) fn groups_declared(&mut self, name: &str, is_sole: bool, now: TimestampMs) {
        let Some(members) = self.parts.members.of(name) else { return };
        let (own, boot) = (self.parts.did.clone(), boot_ms());
        let room = self.federation.room(name);
        let groups = room.groups.get_or_insert_with(|| Groups::new(own, now));
        let mut out = Vec::new();
        groups.half.set_voters(members.voters(), is_sole, boot);
        groups.half.set_groups(members.groups(), boot, &mut out);
        let kind = InputKind::RoomGroups { room: name.to_owned(), groups: members.groups().clone() };
        self.handle(Input::internal(kind), now);
        self.groups_follow(name, out, now);
        self.share_groups_of(name, now);
    }

    /// The room was read as it was at `at`, with this as the newest term of a keeper.
    pub(super) fn groups_read(&mut self, name: &str, term: Option<&Term>, at: BootMs, now: TimestampMs) {
        let read_after = self.federation.read_after;
        let Some(groups) = &mut self.federation.room(name).groups else { return };
        let (boot, mut out) = (boot_ms(), Vec::new());
        groups.half.read(term, boot, &mut out);
        groups.half.hears_again(boot);
        if at >= read_after {
            groups.half.witnessed(at);
        }
        self.groups_follow(name, out, now);
    }

    /// Another coordinator, or this one, says something about places.
    pub(super) fn groups_said(
        &mut self,
        name: &str,
        from: &NodeDid,
        message: GroupMessage,
        now: TimestampMs,
    ) -> Result<(), String> {
        let Some(groups) = &mut self.federation.room(name).groups else { return Ok(()) };
        let mut out = Vec::new();
        let taken = groups.half.receive(from, message, boot_ms(), &mut out);
        self.tell_share(name, now);
        self.groups_follow(name, out, now);
        taken
    }

    /// Brings what the scheduler may start, and whose leases are renewed, up to date with what runs have.
    pub(super) fn share_groups(&mut self, now: TimestampMs) {
        for name in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            self.share_groups_of(&name, now);
        }
    }

    pub(super) fn share_groups_of(&mut self, name: &str, now: TimestampMs) {
        for _ in 0..ROUNDS_MAX {
            let Some(groups) = self.federation.rooms.get(name).and_then(|room| room.groups.as_ref()) else {
                return;
            };
            if groups.is_idle() {
                return self.tell_share(name, now);
            }
            let using = self.parts.machine.room_group_use(name);
            let Some(groups) = &mut self.federation.room(name).groups else { return };
            let is_known = using == groups.using;
            groups.using.clone_from(&using);
            let (boot, mut out) = (boot_ms(), Vec::new());
            groups.half.set_using(using, boot);
            groups.half.tick(boot, &mut out);
            let is_quiet = out.is_empty();
            // What was given back is not to be taken again before it is given anew.
            self.tell_share(name, now);
            self.groups_follow(name, out, now);
            self.tell_gate(name, now);
            if is_known && is_quiet {
                return;
            }
        }
    }

    /// Tells the scheduler what it may start, where that is something else.
    fn tell_share(&mut self, name: &str, now: TimestampMs) {
        let Some(groups) = &mut self.federation.room(name).groups else { return };
        let share = groups.half.share(boot_ms());
        if groups.share.as_ref() != Some(&share) {
            groups.share = Some(share.clone());
            let kind = InputKind::RoomShare { room: name.to_owned(), share };
            self.handle(Input::internal(kind), now);
        }
    }

    /// Lets attempts go on that have places, and no others.
    fn tell_gate(&mut self, name: &str, now: TimestampMs) {
        let Room { groups: Some(groups), coordinator, .. } = self.federation.room(name) else { return };
        let gate = groups.half.gate();
        if gate == groups.gate {
            return;
        }
        let before = std::mem::replace(&mut groups.gate, gate.clone());
        let mut out = Vec::new();
        coordinator.set_gate(gate.clone(), boot_ms(), &mut out);
        self.lead(name, out, now);
        self.gate_own_tasks(&before, &gate);
    }

    /// Tasks that stay on this machine are under no lease of a worker: its session host freezes them.
    fn gate_own_tasks(&mut self, before: &Gate, gate: &Gate) {
        let boot = boot_ms();
        let own: Vec<(SessionId, bool, bool)> = self
            .parts
            .machine
            .live_attempts()
            .filter(|live| live.started && !self.is_elsewhere(live))
            .filter_map(|live| {
                let is_gated = gate.attempts.get(&live.attempt).copied();
                let was_gated = before.attempts.contains_key(&live.attempt);
                (is_gated.is_some() || was_gated).then_some((
                    live.session,
                    is_gated.is_some(),
                    gate.lets(&live.attempt, boot),
                ))
            })
            .collect();
        for (session, is_gated, goes_on) in own {
            let action = AtDeadline::Freeze;
            match (is_gated, goes_on) {
                (true, true) => self.tell_host(&freeze_at(session, gate.until, None)),
                (true, false) => continue,
                (false, _) => self.tell_host(&ToHost::Deadline {
                    session,
                    after_ms: None,
                    action,
                    keep_ms: None,
                    until_ms: None,
                }),
            }
            self.tell_host(&ToHost::Thaw { session });
        }
    }

    fn groups_follow(&mut self, name: &str, effects: Vec<Effect>, now: TimestampMs) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    self.send(name, to, Message::Groups { of: message }, now);
                }
                Effect::Claim { epoch } => {
                    let id = ulid::Ulid::new();
                    if let Some(groups) = &mut self.federation.room(name).groups {
                        groups.half.claimed(id);
                    }
                    tracing::info!(room = name, epoch, "this node wants to keep the groups of a room");
                    self.parts.rooms.keep_groups(GroupsClaim { room: name.to_owned(), epoch, id });
                }
            }
        }
    }
}

//! How the nodes of rooms are, as far as this one knows.

use std::collections::BTreeMap;

use super::super::Driver;
use crate::account::boot_ms;
use cis_core::api::{RoomNodeState, RoomNodeView, RoomTaskView};
use cis_core::event::ExecutionMode;
use cis_core::identity::Right;
use cis_core::ids::{NodeDid, TimestampMs};
use cis_core::scheduler::Run;
use cis_core::scheduler::placement::NodeOffer;

impl Driver {
    /// The nodes of all rooms that share tasks with this one.
    pub(in crate::driver) fn room_nodes(&mut self, now: TimestampMs) -> Vec<RoomNodeView> {
        let tasks = self.tasks_in_rooms();
        let mut nodes = Vec::new();
        for name in self.federation.rooms.keys().cloned().collect::<Vec<_>>() {
            let own = self.parts.did.clone();
            let here = match self.works_in(&name) {
                true => {
                    with_offer(RoomNodeView::new(&name, own, RoomNodeState::Here), self.offer(&name, now))
                }
                false => RoomNodeView {
                    name: self.own_name(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..RoomNodeView::new(&name, own, RoomNodeState::Here)
                },
            };
            // What this node gave to itself, and what others gave it. If it also reads the runs of these, both have the task.
            let mut here_tasks =
                tasks.get(&(name.clone(), self.parts.did.clone())).cloned().unwrap_or_default();
            let held = self.federation.held.values().filter(|held| held.room == name);
            for held in held {
                let attempt = &held.granted.attempt;
                let task = RoomTaskView { run: attempt.run, task: attempt.task.clone() };
                if !here_tasks.contains(&task) {
                    here_tasks.push(task);
                }
            }
            let state = match (self.parts.machine.is_paused(), self.federation.draining) {
                (true, _) => RoomNodeState::Paused,
                (false, true) => RoomNodeState::Draining,
                (false, false) => here.state,
            };
            nodes.push(RoomNodeView { tasks: here_tasks, state, ..here });
            let mut others = self.parts.members.others_who_may(&name, Right::Execute);
            let coordinators = self.parts.members.others_who_may(&name, Right::Coordinate);
            others.extend(coordinators.into_iter().filter(|did| !others.contains(did)).collect::<Vec<_>>());
            for did in others {
                nodes.push(self.other(&name, did, &tasks));
            }
        }
        nodes
    }

    /// Tasks at work by room and node, of all runs of rooms that this node coordinates or reads.
    fn tasks_in_rooms(&self) -> BTreeMap<(String, NodeDid), Vec<RoomTaskView>> {
        let mut tasks: BTreeMap<_, Vec<RoomTaskView>> = BTreeMap::new();
        for live in self.parts.machine.live_attempts() {
            let run = self.parts.machine.run(&live.attempt.run).map(Run::facts);
            let room =
                run.filter(|facts| facts.mode == ExecutionMode::Matrix).and_then(|facts| facts.room.clone());
            if let Some(room) = room {
                let task = RoomTaskView { run: live.attempt.run, task: live.attempt.task };
                tasks.entry((room, live.node)).or_default().push(task);
            }
        }
        tasks
    }

    fn other(
        &self,
        room: &str,
        did: NodeDid,
        tasks: &BTreeMap<(String, NodeDid), Vec<RoomTaskView>>,
    ) -> RoomNodeView {
        let known = self.federation.rooms.get(room);
        let beat = known.and_then(|known| known.coordinator.heard(&did));
        let alive = known.and_then(|known| known.terms.heard_at(&did));
        let heard = beat.map(|(at, _)| at).into_iter().chain(alive).max();
        let offer = self.parts.machine.offer_of(room, &did).cloned();
        let state = match (&offer, beat, alive) {
            (Some(NodeOffer { paused: true, .. }), ..) => RoomNodeState::Paused,
            (Some(NodeOffer { draining: true, .. }), ..) => RoomNodeState::Draining,
            (Some(_), Some((_, false)), _) | (None, None, Some(_)) => RoomNodeState::Online,
            (_, None, None) => RoomNodeState::Unheard,
            _ => RoomNodeState::Silent,
        };
        let tasks = tasks.get(&(room.to_owned(), did.clone())).cloned().unwrap_or_default();
        let heard_ms_ago = heard.map(|at| u64::try_from(boot_ms() - at).unwrap_or(0));
        let stopped = offer.as_ref().is_some_and(|offer| offer.stopping);
        let view = RoomNodeView { tasks, heard_ms_ago, stopped, ..RoomNodeView::new(room, did, state) };
        match offer {
            Some(offer) => with_offer(view, offer),
            None => view,
        }
    }
}

fn with_offer(view: RoomNodeView, offer: NodeOffer) -> RoomNodeView {
    let NodeOffer { name, version, tags, agents, slots, sessions, load_permille, .. } = offer;
    // What was given to it since its heartbeat is not in there.
    let sessions = sessions.max(u32::try_from(view.tasks.len()).unwrap_or(u32::MAX));
    RoomNodeView { name, version, tags, agents, slots, sessions, load_permille, ..view }
}

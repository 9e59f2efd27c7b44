//! The nodes of rooms that share tasks with the node: how they are, what they may do, and what runs there.
//!
//! Owns the newest listing, when it is asked for again, and the rights that are about to be given to a node.

mod rights;

use std::collections::BTreeSet;
use std::time::Duration;

use cis_core::api::{Problem, RoomNodeState, RoomNodeView};
use cis_core::identity::Right;
use cis_core::ids::TimestampMs;
use cis_core::text;
use eframe::egui::{self, RichText, Ui};

use self::rights::Giving;
use super::{Go, Scene};
use crate::command::{Command, Slot};
use crate::model::Refusal;
use crate::widgets::{act, one_line};

/// The listing is asked for again after so long, ms.
const FRESH_MS: i64 = 5_000;

/// Tasks of one node that are listed, at most.
const TASKS_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RoomNodes {
    listed: Option<Result<Vec<RoomNodeView>, Problem>>,
    asked: Option<Slot<Vec<RoomNodeView>>>,
    asked_ms: TimestampMs,
    /// Rights that somebody is about to give, or to take.
    giving: Option<Giving>,
}

impl RoomNodes {
    /// Draws the nodes, for as long as the node is in a room.
    pub(super) fn show(&mut self, ui: &mut Ui, scene: &mut Scene<'_>) {
        self.refresh(ui, scene);
        let nodes = match &self.listed {
            None => return,
            Some(Ok(nodes)) if nodes.is_empty() => return,
            Some(nodes) => nodes,
        };
        ui.add_space(12.0);
        ui.label(RichText::new("Nodes of rooms").heading());
        match nodes {
            Err(problem) => {
                ui.label(RichText::new(one_line(&problem.detail, 300)).weak());
            }
            Ok(nodes) => {
                if let Some(chosen) = table(ui, nodes, scene) {
                    self.giving = Some(Giving::of(&chosen));
                }
            }
        }
        if let Some(giving) = &mut self.giving
            && giving.show(ui, scene)
        {
            // Whatever became of it, the listing is old.
            (self.giving, self.asked_ms) = (None, 0);
            ui.ctx().request_repaint();
        }
    }

    fn refresh(&mut self, ui: &Ui, scene: &Scene<'_>) {
        if let Some(answer) = self.asked.as_ref().and_then(Slot::take) {
            (self.listed, self.asked) = (Some(answer), None);
        }
        let age = scene.now.saturating_sub(self.asked_ms);
        if self.asked.is_none() && !(0..FRESH_MS).contains(&age) {
            let slot = Slot::default();
            scene.to.send(Command::ListNodes(slot.clone()));
            (self.asked, self.asked_ms) = (Some(slot), scene.now);
        }
        ui.ctx().request_repaint_after(Duration::from_millis(FRESH_MS.unsigned_abs()));
    }
}

/// Draws the nodes, and returns the one whose rights somebody wants to change.
fn table(ui: &mut Ui, nodes: &[RoomNodeView], scene: &mut Scene<'_>) -> Option<RoomNodeView> {
    let (mut go, mut chosen) = (None, None);
    let own = scene.model.node.as_ref().and_then(|node| node.did.as_ref());
    let is_own = |node: &&RoomNodeView| node.owner && Some(&node.did.0) == own;
    let owned: BTreeSet<&str> = nodes.iter().filter(is_own).map(|node| node.room_id.as_str()).collect();
    let refusal = scene.model.admin_refusal();
    egui::Grid::new("room nodes").striped(true).num_columns(9).spacing([24.0, 4.0]).show(ui, |ui| {
        for title in ["Name", "State", "Rights", "Sessions", "Load", "Last seen", "Agents", "Tasks", ""] {
            ui.label(RichText::new(title).weak());
        }
        ui.end_row();
        for node in nodes {
            let name = if node.name.is_empty() { &node.did.0 } else { &node.name };
            ui.label(one_line(name, 40))
                .on_hover_text(one_line(&format!("{} in {}", node.did, node.room_id), 300));
            let state = RichText::new(node.state.as_str());
            match advice(node) {
                Some(advice) => ui.label(state.strong()).on_hover_text(advice),
                None => ui.label(state),
            };
            ui.label(Right::words(&node.may).join(", "));
            let works = node.slots > 0;
            ui.label(if works { format!("{} of {}", node.sessions, node.slots) } else { String::new() });
            ui.label(if works { node.load() } else { String::new() });
            ui.label(node.heard_ms_ago.map(|ms| format!("{} ago", text::duration(ms))).unwrap_or_default());
            ui.label(one_line(&node.agents.iter().cloned().collect::<Vec<_>>().join(", "), 60));
            ui.horizontal(|ui| {
                for task in node.tasks.iter().take(TASKS_MAX) {
                    if ui.link(one_line(&task.task.to_string(), 40)).clicked() {
                        go = Some(Go::Run(task.run));
                    }
                }
                let more = node.tasks.len().saturating_sub(TASKS_MAX);
                if more > 0 {
                    ui.label(RichText::new(format!("and {more} more")).weak());
                }
            });
            // Owners could give their rights back to themselves, so taking them here would promise too much.
            let is_changeable = !node.owner && node.state != RoomNodeState::Revoked;
            if is_changeable && owned.contains(node.room_id.as_str()) {
                let word = if node.may.is_empty() { "Trust…" } else { "Change rights…" };
                let clicked = ui.push_id((&node.room_id, &node.did), |ui| {
                    act(ui, word, refusal.as_ref().map(Refusal::why)).clicked()
                });
                if clicked.inner {
                    chosen = Some(node.clone());
                }
            }
            ui.end_row();
        }
    });
    scene.go = scene.go.or(go);
    chosen
}

/// What to do about the state of a node. `None`: nothing.
fn advice(node: &RoomNodeView) -> Option<String> {
    let did = &node.did;
    match node.state {
        RoomNodeState::Silent if !node.tasks.is_empty() => Some(
            "It has not answered for a minute. Its tasks go to other nodes when their leases expire."
                .to_owned(),
        ),
        RoomNodeState::Silent => Some("It has not answered for a minute.".to_owned()),
        RoomNodeState::Pending => Some(format!(
            "It has no rights yet. An owner of the room gives them: cis identity trust {did} --room '{}'",
            node.room_id.replace('\'', "")
        )),
        _ => None,
    }
}

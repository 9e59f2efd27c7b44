//! The node: who it is, how it stands, its groups and sessions.

use cis_core::api::MatrixAccountView;
use eframe::egui::{self, RichText, ScrollArea, Ui};

use super::room_nodes::RoomNodes;
use super::{Go, Scene, unknown};
use crate::command::{Command, Slot};
use crate::theme;
use crate::widgets::{ago, one_line};

/// Maximum number of listed sessions.
const SESSIONS_MAX: usize = 400;

/// What was asked when the view was opened.
#[derive(Debug, Default)]
pub struct Node {
    account: Option<Slot<MatrixAccountView>>,
    rooms: RoomNodes,
}

impl Node {
    /// Opened the next time, it asks anew.
    pub fn leave(&mut self) {
        self.account = None;
        self.rooms = RoomNodes::default();
    }
}

/// Draws the node.
pub fn show(ui: &mut Ui, state: &mut Node, scene: &mut Scene<'_>) {
    let account = state.account.get_or_insert_with(|| {
        let slot = Slot::default();
        scene.to.send(Command::Inspect(slot.clone()));
        slot
    });
    let Some(node) = &scene.model.node else {
        return unknown(ui, scene.model, "What it says of itself is loaded.");
    };
    let mut again = false;
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Node").heading());
            if ui.button("Ask again").clicked() {
                again = true;
            }
        });
        for warning in &node.warnings {
            theme::card(ui.visuals())
                .show(ui, |ui| ui.label(RichText::new(one_line(warning, 1_000)).strong()));
        }
        let up = node.started_ms.map(|from| ago(ui, from, scene.now)).unwrap_or_default();
        egui::Grid::new("node").num_columns(2).spacing([16.0, 6.0]).show(ui, |ui| {
            let mut fact = |name: &str, value: String| {
                ui.label(RichText::new(name).weak());
                ui.add(egui::Label::new(one_line(&value, 300)).selectable(true));
                ui.end_row();
            };
            fact("Version", node.version.clone());
            let mode = match (node.observes.is_empty(), node.rooms.is_empty()) {
                (false, _) => "observer: it reads what others tell in rooms",
                (true, false) => "hybrid: rooms follow its runs, and are heard",
                (true, true) => "local: it tells nobody else",
            };
            fact("Mode", mode.to_owned());
            fact("DID", node.did.clone().unwrap_or_default());
            fact("Home", node.home.clone());
            fact("Socket", node.socket.clone());
            fact("Up for", up);
            // Counted in the listing below: another answer could be from another moment.
            let live = scene.model.sessions.live().count();
            fact("Sessions", format!("{live} live of at most {}", node.max_sessions));
            if let Some(caller) = &scene.model.caller {
                fact("You are", format!("{} ({})", caller.name, caller.role));
            }
            let told = account.look(|account| match account {
                None => "asking…".to_owned(),
                Some(Ok(account)) => {
                    let away = account.away.as_ref().map(|why| format!(", away: {why}"));
                    format!("{} on {}{}", account.user_id, account.homeserver, away.unwrap_or_default())
                }
                Some(Err(problem)) => problem.detail.clone(),
            });
            fact("Matrix account", told);
            fact("Waits to be sent to rooms", node.outbox.to_string());
            if !node.rooms.is_empty() {
                fact("Hears", node.rooms.join(", "));
            }
            if !node.observes.is_empty() {
                fact("Observes", node.observes.join(", "));
            }
        });
        if !node.rooms.is_empty() || !node.observes.is_empty() {
            state.rooms.show(ui, scene);
        }
        groups(ui, scene);
        sessions(ui, scene);
    });
    if again {
        state.leave();
    }
}

fn groups(ui: &mut Ui, scene: &Scene<'_>) {
    if scene.model.groups.is_empty() {
        return;
    }
    ui.add_space(12.0);
    ui.label(RichText::new("Groups").heading());
    egui::Grid::new("groups").striped(true).num_columns(4).spacing([24.0, 4.0]).show(ui, |ui| {
        for group in &scene.model.groups {
            ui.label(one_line(&group.name, 60));
            ui.label(format!("{} of {} places", group.active, group.limit));
            ui.label(format!("{} waiting", group.waiting));
            let place = group.room.as_ref().map(|room| format!("{} {room}", group.origin));
            ui.label(RichText::new(one_line(place.as_ref().unwrap_or(&group.origin), 60)).weak());
            ui.end_row();
        }
    });
}

fn sessions(ui: &mut Ui, scene: &mut Scene<'_>) {
    ui.add_space(12.0);
    ui.label(RichText::new("Sessions").heading());
    if scene.model.sessions.is_empty() {
        ui.label(RichText::new("No session is live.").weak());
        return;
    }
    let mut go = None;
    egui::Grid::new("sessions").striped(true).num_columns(4).spacing([24.0, 4.0]).show(ui, |ui| {
        for session in scene.model.sessions.all().take(SESSIONS_MAX) {
            if ui.link(session.id.short()).clicked() {
                go = Some(Go::Session(session.id));
            }
            let name = session.task.as_ref().map(ToString::to_string).or(session.name.clone());
            ui.label(one_line(&name.unwrap_or_default(), 60));
            ui.label(session.state.as_str());
            ui.label(RichText::new(one_line(&session.command, 80)).monospace().size(12.0));
            ui.end_row();
        }
    });
    let more = scene.model.sessions.all().count().saturating_sub(SESSIONS_MAX);
    if more > 0 {
        ui.label(RichText::new(format!("and {more} more")).weak());
    }
    scene.go = scene.go.or(go);
}

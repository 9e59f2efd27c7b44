//! The node: who it is, how it stands, its groups and sessions.

use eframe::egui::{self, RichText, ScrollArea, Ui};

use super::{Go, Scene, unknown};
use crate::theme;
use crate::widgets::{ago, one_line};

/// Draws the node.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(node) = &scene.model.node else {
        return unknown(ui, scene.model, "What it says of itself is loaded.");
    };
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.label(RichText::new("Node").heading());
        for warning in &node.warnings {
            theme::card(ui.visuals()).show(ui, |ui| ui.label(RichText::new(warning).strong()));
        }
        let up = node.started_ms.map(|from| ago(ui, from, scene.now)).unwrap_or_default();
        egui::Grid::new("node").num_columns(2).spacing([16.0, 6.0]).show(ui, |ui| {
            let mut fact = |name: &str, value: String| {
                ui.label(RichText::new(name).weak());
                ui.add(egui::Label::new(one_line(&value, 300)).selectable(true));
                ui.end_row();
            };
            fact("Version", node.version.clone());
            fact("DID", node.did.clone().unwrap_or_default());
            fact("Home", node.home.clone());
            fact("Socket", node.socket.clone());
            fact("Up for", up);
            fact("Sessions", format!("{} of at most {}", node.live_sessions, node.max_sessions));
            fact("Waits to be sent to rooms", node.outbox.to_string());
            if !node.rooms.is_empty() {
                fact("Hears", node.rooms.join(", "));
            }
            if !node.observes.is_empty() {
                fact("Observes", node.observes.join(", "));
            }
        });
        groups(ui, scene);
        sessions(ui, scene);
    });
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
            ui.label(RichText::new(&group.origin).weak());
            ui.end_row();
        }
    });
}

fn sessions(ui: &mut Ui, scene: &mut Scene<'_>) {
    ui.add_space(12.0);
    ui.label(RichText::new("Sessions").heading());
    if scene.model.sessions.is_empty() {
        ui.label(RichText::new("None was live when the node was asked.").weak());
        return;
    }
    let mut go = None;
    egui::Grid::new("sessions").striped(true).num_columns(4).spacing([24.0, 4.0]).show(ui, |ui| {
        for session in scene.model.sessions.iter().take(200) {
            if ui.link(session.id.short()).clicked() {
                go = Some(Go::Session(session.id));
            }
            ui.label(
                session.task.as_ref().map(ToString::to_string).or(session.name.clone()).unwrap_or_default(),
            );
            ui.label(format!("{:?}", session.state).to_lowercase());
            ui.label(RichText::new(one_line(&session.command, 80)).monospace().size(12.0));
            ui.end_row();
        }
    });
    scene.go = scene.go.or(go);
}

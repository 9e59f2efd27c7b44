//! Rights of a node in a room, given or taken by an owner. The key is shown in full before anything is sent: it is what is trusted,
//! and everything else about the node is only what it says of itself.

use std::collections::BTreeSet;

use cis_core::api::{AdmitNode, RoomNodeView};
use cis_core::identity::Right;
use eframe::egui::{self, RichText, TextEdit, Ui};

use super::super::Scene;
use crate::command::{Command, Slot};
use crate::model::Refusal;
use crate::theme;
use crate::widgets::{act, one_line, sure};

/// The rights in the order in which they are offered.
const RIGHTS: [(Right, &str); 3] = [
    (Right::Execute, "execute: run tasks of the room's runs"),
    (Right::Submit, "submit: start and control runs"),
    (Right::Coordinate, "coordinate: give all workers commands, and take over runs"),
];

/// See the module.
#[derive(Debug)]
pub(super) struct Giving {
    node: RoomNodeView,
    may: BTreeSet<Right>,
    name: String,
    sent: Option<Slot<Vec<RoomNodeView>>>,
    /// Why the node refused it.
    failed: Option<String>,
    /// It was drawn.
    seen: bool,
}

impl Giving {
    /// Begins with the rights that the node has, or with that to execute.
    pub(super) fn of(node: &RoomNodeView) -> Self {
        let may = if node.may.is_empty() { [Right::Execute].into() } else { node.may.clone() };
        let name = node.given_name.clone().unwrap_or_default();
        Self { node: node.clone(), may, name, sent: None, failed: None, seen: false }
    }

    /// Draws the card. Returns whether it is done with.
    pub(super) fn show(&mut self, ui: &mut Ui, scene: &Scene<'_>) -> bool {
        match self.sent.as_ref().and_then(Slot::take) {
            Some(Ok(_)) => return true,
            Some(Err(problem)) => {
                let hint = problem.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                (self.sent, self.failed) = (None, Some(format!("{}{hint}", problem.detail)));
            }
            None => {}
        }
        ui.add_space(8.0);
        let card = theme::card(ui.visuals()).show(ui, |ui| self.card(ui, scene));
        if !self.seen {
            // It opens below the table, which may reach to the end of the window.
            self.seen = true;
            card.response.scroll_to_me(None);
        }
        card.inner
    }

    fn card(&mut self, ui: &mut Ui, scene: &Scene<'_>) -> bool {
        let node = &self.node;
        let called = if node.name.is_empty() { "a node".to_owned() } else { one_line(&node.name, 40) };
        ui.label(RichText::new(format!("Rights of {called} in {}", one_line(&node.room_id, 100))).strong());
        ui.add(egui::Label::new(RichText::new(&node.did.0).monospace()).selectable(true).wrap());
        if let Some(user) = &node.user_id {
            ui.label(RichText::new(format!("Its account: {}", one_line(user, 100))).weak());
        }
        let compare = "Compare this key with the output of `cis identity show` on that node, over a channel that nobody else can write to.";
        ui.add(egui::Label::new(compare).wrap());
        for (right, text) in RIGHTS {
            let mut may = self.may.contains(&right);
            if ui.checkbox(&mut may, text).changed() {
                if may {
                    self.may.insert(right)
                } else {
                    self.may.remove(&right)
                };
            }
        }
        if !node.only_tags.is_empty() {
            let tags: Vec<&str> = node.only_tags.iter().map(String::as_str).collect();
            let limit = format!("It gets only tasks that ask for a tag of: {}", tags.join(", "));
            ui.label(RichText::new(one_line(&limit, 300)).weak());
        }
        ui.horizontal(|ui| {
            let label = ui.label("Name in the room");
            let edit = TextEdit::singleline(&mut self.name).char_limit(64).hint_text(&called);
            ui.add(edit).labelled_by(label.id);
        });
        if let Some(failed) = &self.failed {
            ui.add(egui::Label::new(RichText::new(one_line(failed, 500)).strong()).wrap());
        }
        let refusal = scene.model.admin_refusal();
        let refused = if self.sent.is_some() {
            Some("The room is being told.")
        } else {
            refusal.as_ref().map(Refusal::why)
        };
        let has_rights = !self.node.may.is_empty();
        let nothing = self.may.is_empty().then_some("Choose a right, or distrust the node.");
        ui.horizontal(|ui| {
            if act(ui, "Trust this key", refused.or(nothing)).clicked() {
                self.send(self.may.clone(), scene);
            }
            if has_rights && sure(ui, &self.node.did, "Distrust", "Really distrust", refused) {
                self.send(BTreeSet::new(), scene);
            }
            ui.button("Close").clicked()
        })
        .inner
    }

    fn send(&mut self, may: BTreeSet<Right>, scene: &Scene<'_>) {
        let slot = Slot::default();
        let name = Some(self.name.trim().to_owned()).filter(|name| !name.is_empty());
        let (room, did) = (self.node.room_id.clone(), self.node.did.clone());
        // A limit to some tags stays: only `cis identity trust` changes it.
        let tags = self.node.only_tags.clone();
        let admit = AdmitNode { room, did, name, may, tags };
        scene.to.send(Command::Admit(Box::new(admit), slot.clone()));
        (self.sent, self.failed) = (Some(slot), None);
    }
}

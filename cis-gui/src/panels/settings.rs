//! Settings of the dashboard.

use eframe::egui::{self, RichText, ScrollArea, Ui};

use super::Scene;
use crate::command::Command;
use crate::settings::{Colours, SCALES, Settings};

/// Draws them; true where something was changed.
pub fn show(ui: &mut Ui, settings: &mut Settings, scene: &Scene<'_>) -> bool {
    let before = settings.clone();
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.label(RichText::new("Settings").heading());
        ui.add_space(8.0);
        egui::Grid::new("settings").num_columns(2).spacing([24.0, 12.0]).show(ui, |ui| {
            ui.label("Colours");
            ui.horizontal(|ui| {
                for colours in Colours::ALL {
                    ui.radio_value(&mut settings.colours, colours, colours.word());
                }
            });
            ui.end_row();
            ui.label("Size");
            ui.horizontal(|ui| {
                let percent = (settings.scale * 100.0).round();
                for (step, word, hint) in [(-0.1, "Smaller", "Ctrl and -"), (0.1, "Larger", "Ctrl and +")] {
                    let to = ((settings.scale + step) * 10.0).round() / 10.0;
                    let button = ui.add_enabled(SCALES.contains(&to), egui::Button::new(word));
                    if button.on_hover_text(hint).clicked() {
                        settings.scale = to;
                    }
                }
                ui.label(format!("{percent} %"));
                if ui.button("As it was").on_hover_text("Ctrl and 0").clicked() {
                    settings.scale = 1.0;
                }
            });
            ui.end_row();
            ui.label("Notifications");
            ui.vertical(|ui| {
                ui.checkbox(&mut settings.notify, "Tell the desktop what begins to wait for me");
                ui.label(RichText::new("While the window is not the one that has the keys.").small().weak());
                if ui.button("Show one").on_hover_text("To see whether the desktop takes it").clicked() {
                    scene.to.send(Command::Ring);
                }
            });
            ui.end_row();
        });
        ui.add_space(12.0);
        let text = "These, the window's place and the sizes of its parts are kept when it is closed.";
        ui.label(RichText::new(text).small().weak());
    });
    *settings != before
}

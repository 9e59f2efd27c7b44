//! What happens, as it happens.

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::{Go, Scene};
use crate::widgets::{empty, lasted, one_line};

/// What is looked for.
#[derive(Debug, Default)]
pub struct Events {
    search: String,
    /// The keys for searching were pressed.
    pub seek: bool,
}

/// Draws the newest events, newest first.
pub fn show(ui: &mut Ui, state: &mut Events, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Events").heading());
        let field = egui::TextEdit::singleline(&mut state.search).hint_text("Search").desired_width(260.0);
        let field = ui.add(field);
        field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search events"));
        if std::mem::take(&mut state.seek) {
            field.request_focus();
        }
        ui.label(RichText::new(format!("{} since this window was opened", scene.model.events.seen())).weak());
    });
    ui.separator();
    let lines: Vec<_> = scene.model.events.lines().rev().filter(|line| line.matches(&state.search)).collect();
    if lines.is_empty() {
        let title =
            if scene.model.events.seen() == 0 { "Nothing has happened yet" } else { "No event is like that" };
        return empty(
            ui,
            title,
            "What happens on the node appears here. `cis dag watch` shows earlier events.",
        );
    }
    TableBuilder::new(ui)
        .striped(true)
        .sense(egui::Sense::click())
        .column(Column::initial(80.0))
        .column(Column::initial(100.0))
        .column(Column::initial(170.0).resizable(true).clip(true))
        .column(Column::initial(90.0))
        .column(Column::remainder().clip(true))
        .header(24.0, |mut header| {
            for head in ["Offset", "Ago", "What", "Run", "Says"] {
                header.col(|ui| {
                    ui.label(RichText::new(head).small().weak());
                });
            }
        })
        .body(|body| {
            body.rows(22.0, lines.len(), |mut row| {
                let line = lines[row.index()];
                let event = &line.event;
                let run = event.run.map(|run| run.short()).unwrap_or_default();
                for text in
                    [event.offset.to_string(), lasted(event.at_ms, scene.now), line.kind().to_owned(), run]
                {
                    row.col(|ui| {
                        ui.add(egui::Label::new(text).truncate());
                    });
                }
                row.col(|ui| {
                    let summary = one_line(&line.summary(), 300);
                    ui.add(egui::Label::new(RichText::new(summary).monospace().small().weak()).truncate());
                });
                if row.response().clicked()
                    && let Some(run) = event.run
                {
                    scene.go = Some(Go::Run(run));
                }
            });
        });
}

//! What happens, as it happens.

use std::collections::VecDeque;

use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::{Go, Scene};
use crate::model::{EventLog, Line};
use crate::widgets::{ago, empty, one_line};

/// What is looked for.
#[derive(Debug, Default)]
pub struct Events {
    search: String,
    /// Which of the kept events are like what was looked for, by how many had come before them; newest first.
    found: VecDeque<u64>,
    found_for: String,
    /// So many had come when it was looked.
    found_at: u64,
    /// The keys for searching were pressed.
    pub seek: bool,
}

impl Events {
    /// Looks into what has come since the last frame; into all of it where something else is looked for.
    fn follow(&mut self, log: &EventLog) {
        if self.search != self.found_for {
            self.found.clear();
            (self.found_for, self.found_at) = (self.search.clone(), log.first());
        }
        if self.search.is_empty() {
            return;
        }
        let needle = self.search.to_lowercase();
        while self.found.back().is_some_and(|oldest| *oldest < log.first()) {
            self.found.pop_back();
        }
        for number in self.found_at.max(log.first())..log.seen() {
            if log.at(number).is_some_and(|line| line.matches(&needle)) {
                self.found.push_front(number);
            }
        }
        self.found_at = log.seen();
    }

    fn line<'a>(&self, log: &'a EventLog, row: usize) -> Option<&'a Line> {
        if self.search.is_empty() {
            return log.lines().rev().nth(row);
        }
        log.at(*self.found.get(row)?)
    }
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
    let log = &scene.model.events;
    state.follow(log);
    let count = if state.search.is_empty() { log.len() } else { state.found.len() };
    if count == 0 {
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
        // The name in it takes the keys, not each of its cells.
        .sense(egui::Sense::CLICK)
        .column(Column::initial(80.0))
        .column(Column::initial(100.0))
        .column(Column::initial(170.0).clip(true))
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
            body.rows(22.0, count, |mut row| {
                let Some(line) = state.line(log, row.index()) else { return };
                let event = &line.event;
                for text in [Some(event.offset.to_string()), None, Some(line.kind().to_owned())] {
                    row.col(|ui| {
                        let text = text.unwrap_or_else(|| ago(ui, event.at_ms, scene.now));
                        ui.add(egui::Label::new(text).truncate());
                    });
                }
                row.col(|ui| {
                    if let Some(run) = event.run
                        && ui.link(run.short()).clicked()
                    {
                        scene.go = Some(Go::Run(run));
                    }
                });
                row.col(|ui| {
                    let summary = one_line(&line.summary(), 300);
                    ui.add(egui::Label::new(RichText::new(summary).monospace().size(12.0).weak()).truncate());
                });
                if row.response().clicked()
                    && let Some(run) = event.run
                {
                    scene.go = Some(Go::Run(run));
                }
            });
        });
}

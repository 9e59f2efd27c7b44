//! The list of runs, drawn.

use cis_core::event::{RetryScope, RunState};
use cis_core::ids::RunId;
use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::view::{self, Filter};
use crate::command::{Command, Verb};
use crate::model::Entry;
use crate::panels::{Go, Scene, unknown};
use crate::theme::Mark;
use crate::widgets::{act, empty, mark, one_line, opens, progress, sure};

/// What is looked for.
#[derive(Debug, Default)]
pub struct Runs {
    filter: Filter,
    search: String,
    /// The keys for searching were pressed.
    pub seek: bool,
}

/// Draws the list.
pub fn show(ui: &mut Ui, state: &mut Runs, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Runs").heading());
        ui.add_space(12.0);
        for filter in Filter::ALL {
            ui.selectable_value(&mut state.filter, filter, filter.word());
        }
        let field = egui::TextEdit::singleline(&mut state.search).hint_text("Search").desired_width(200.0);
        let field = ui.add(field);
        field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search runs"));
        if std::mem::take(&mut state.seek) {
            field.request_focus();
        }
        let start = act(ui, "Start a run", scene.refused());
        if start.on_hover_text("Of a DAG file (Ctrl+N)").clicked() {
            scene.go = Some(Go::Start);
        }
    });
    ui.separator();
    let entries = view::entries(scene.model, state.filter, &state.search);
    if entries.is_empty() {
        let (title, advice) = if !scene.model.runs.listed() {
            return unknown(ui, scene.model, "Its runs are loaded.");
        } else if scene.model.runs.is_empty() {
            ("No runs yet", "`Start a run` above makes one of a DAG file, as `cis dag run FILE` does.")
        } else {
            ("No run is like that", "Another filter or search shows more.")
        };
        return empty(ui, title, advice);
    }
    table(ui, &entries, scene);
}

fn table(ui: &mut Ui, entries: &[&Entry], scene: &mut Scene<'_>) {
    let narrow = ui.available_width() < 900.0;
    let builder = TableBuilder::new(ui)
        .striped(true)
        // The name in it takes the keys, not each of its cells.
        .sense(egui::Sense::CLICK)
        .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
        .column(Column::remainder().at_least(150.0).clip(true))
        .column(Column::exact(if narrow { 70.0 } else { 190.0 }))
        .column(Column::exact(if narrow { 70.0 } else { 100.0 }))
        .column(Column::exact(60.0))
        .column(Column::exact(if narrow { 50.0 } else { 170.0 }).clip(true))
        .column(Column::exact(if narrow { 190.0 } else { 210.0 }));
    let heads = ["Run", "Progress", "Lasted", "Waiting", "Mode", ""];
    builder
        .header(24.0, |mut header| {
            for head in heads {
                header.col(|ui| {
                    ui.label(RichText::new(head).small().weak());
                });
            }
        })
        .body(|body| {
            body.rows(34.0, entries.len(), |mut line| {
                let row = view::row(scene.model, entries[line.index()], scene.now);
                line.col(|ui| {
                    mark(ui, Mark::of_run(row.state, row.waits > 0), row.state.as_str());
                    let name = RichText::new(one_line(&row.dag, 60)).strong();
                    if opens(ui, name, ui.available_width() - 70.0).clicked() {
                        scene.go = Some(Go::Run(row.id));
                    }
                    ui.label(RichText::new(row.id.short()).size(12.0).weak().monospace());
                });
                line.col(|ui| {
                    if !narrow {
                        progress(ui, &row.counts, 110.0);
                    }
                    ui.label(RichText::new(format!("{} / {}", row.progress.0, row.progress.1)).small());
                });
                line.col(|ui| {
                    ui.label(&row.lasted);
                });
                line.col(|ui| {
                    if row.waits > 0 && ui.link(format!("{}", row.waits)).clicked() {
                        scene.go = Some(Go::Inbox);
                        scene.pick =
                            scene.model.inbox.of_run(row.id).next().map(cis_core::api::InboxItem::name);
                    }
                });
                line.col(|ui| {
                    ui.add(egui::Label::new(RichText::new(&row.place).small().weak()).truncate());
                });
                line.col(|ui| actions(ui, row.id, row.state, row.cancelling, scene));
                if line.response().clicked() {
                    scene.go = Some(Go::Run(row.id));
                }
            });
        });
}

/// What can be done with a run in its state.
pub(in crate::panels) fn actions(
    ui: &mut Ui,
    run: RunId,
    state: RunState,
    cancelling: bool,
    scene: &Scene<'_>,
) {
    // They are the run's, wherever it stands: a press on one that moves away is none on what comes to its place.
    let own = egui::UiBuilder::new().scope_id(egui::Id::unique(("actions", run)));
    ui.scope_builder(own, |ui| buttons(ui, run, state, cancelling, scene));
}

fn buttons(ui: &mut Ui, run: RunId, state: RunState, cancelling: bool, scene: &Scene<'_>) {
    let refused = scene.refused();
    let verb = |ui: &mut Ui, verb: Verb| {
        let clicked = match verb.question() {
            Some(question) => sure(ui, run, verb.word(), question, refused),
            None => act(ui, verb.word(), refused).clicked(),
        };
        if clicked {
            scene.to.send(Command::Steer(run, verb));
        }
    };
    match state {
        _ if cancelling => {
            ui.label(RichText::new("being cancelled").weak());
        }
        RunState::Created => {
            verb(ui, Verb::Start);
            verb(ui, Verb::Cancel);
        }
        RunState::Running => {
            verb(ui, Verb::Pause);
            verb(ui, Verb::Cancel);
        }
        RunState::Paused => {
            verb(ui, Verb::Resume);
            verb(ui, Verb::Cancel);
        }
        RunState::Failed | RunState::Error | RunState::Cancelled => {
            if sure(ui, run, "Retry failed", "Really retry", refused) {
                scene.to.send(Command::Retry(run, RetryScope::Failed));
            }
        }
        RunState::Succeeded => {}
    }
}

//! A run, drawn.

use std::collections::BTreeSet;

use cis_core::ids::RunId;
use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};

use super::canvas::Canvas;
use super::timeline::{self, Timeline};
use super::times::Times;
use super::{detail, view};
use crate::command::Command;
use crate::model::Entry;
use crate::panels::{Go, Scene, runs, unknown};
use crate::theme::Mark;
use crate::widgets::{ago, empty, lasted, mark, one_line, opens, progress, since};

/// How the tasks are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    #[default]
    Graph,
    Tasks,
    Timeline,
}

/// What is chosen of a run.
#[derive(Debug, Default)]
pub struct Run {
    of: Option<RunId>,
    /// It was there.
    seen: bool,
    tab: Tab,
    search: String,
    chosen: Option<String>,
    canvas: Canvas,
    timeline: Timeline,
    times: Times,
    detail: detail::Detail,
    /// Only these are listed: the tasks of a box.
    only: Option<BTreeSet<String>>,
    seek: bool,
}

impl Run {
    /// The keys for searching were pressed: tasks are searched in their list.
    pub fn seek(&mut self) {
        (self.tab, self.seek) = (Tab::Tasks, true);
    }

    /// Returns the run that is shown, or was shown last.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.of
    }

    /// Returns zoom and offset of the graph.
    #[cfg(test)]
    pub(crate) fn graph_looks(&self) -> (f32, egui::Vec2) {
        self.canvas.looks()
    }

    /// Returns the indices of the tasks that the graph marks as the critical path.
    #[cfg(test)]
    pub(crate) fn graph_marked(&self) -> Vec<usize> {
        self.canvas.marked()
    }
}

/// Draws a run.
pub fn show(ui: &mut Ui, state: &mut Run, run: RunId, scene: &mut Scene<'_>) {
    if state.of != Some(run) {
        *state = Run { of: Some(run), tab: state.tab, ..Run::default() };
        scene.to.send(Command::Look(run));
    }
    let Some(entry) = scene.model.run(run) else {
        if let Some(problem) = scene.model.runs.refused(run) {
            let hint = problem.hint.as_deref().unwrap_or("The token's role may not be enough.");
            empty(ui, &one_line(&problem.detail, 300), &one_line(hint, 300));
        } else if state.seen || scene.model.gone(run) {
            empty(ui, "There is no such run any more", "It was cleaned, or belongs to another node.");
        } else {
            unknown(ui, scene.model, "The run is loaded.");
        }
        return;
    };
    state.seen = true;
    keys(ui, state);
    if state.tab == Tab::Timeline || (state.tab == Tab::Graph && state.canvas.critical) {
        state.times.ask(ui, entry, scene);
    }
    head(ui, entry, state, scene);
    ui.separator();
    if entry.live().is_none() {
        return unknown(ui, scene.model, "The tasks of this run are loaded.");
    }
    if let Some(task) = state.chosen.as_deref().and_then(|name| entry.task(name)) {
        egui::Panel::right("task").default_size(380.0).min_size(260.0).resizable(true).show(ui, |ui| {
            if detail::show(ui, &mut state.detail, run, task, scene) {
                state.chosen = None;
            }
        });
    }
    egui::CentralPanel::default().show(ui, |ui| match state.tab {
        Tab::Graph => {
            if let Some(tasks) = state.canvas.show(ui, entry, state.chosen.as_deref(), &state.times) {
                match tasks.as_slice() {
                    [] => state.chosen = None,
                    [one] => state.chosen = Some(one.clone()),
                    // Of a box of many the list shows each.
                    many => {
                        state.only = Some(many.iter().cloned().collect());
                        (state.tab, state.search) = (Tab::Tasks, String::new());
                    }
                }
            }
        }
        Tab::Tasks => tasks(ui, state, entry, scene),
        Tab::Timeline => {
            if let Some(task) = state.timeline.show(ui, entry, state.chosen.as_deref(), &state.times, scene) {
                state.chosen = Some(task);
            }
        }
    });
}

/// Keys that show it otherwise.
fn keys(ui: &Ui, state: &mut Run) {
    if ui.ctx().memory(|memory| memory.focused().is_some()) {
        return;
    }
    let pressed = |key| ui.input(|input| input.key_pressed(key) && input.modifiers.is_none());
    if pressed(egui::Key::G) {
        state.tab = Tab::Graph;
    }
    if pressed(egui::Key::T) {
        state.tab = Tab::Tasks;
    }
    if state.tab == Tab::Graph && pressed(egui::Key::C) {
        state.canvas.critical = !state.canvas.critical;
    }
}

fn head(ui: &mut Ui, entry: &Entry, state: &mut Run, scene: &mut Scene<'_>) {
    let run = entry.view();
    let waits = scene.model.inbox.of_run(run.id).count();
    ui.horizontal(|ui| {
        if ui.button("Runs").on_hover_text("Back to all runs (Esc)").clicked() {
            scene.go = Some(Go::Runs);
        }
        mark(ui, Mark::of_run(run.state, waits > 0), run.state.as_str());
        ui.label(RichText::new(one_line(&run.dag, 60)).heading());
        ui.label(RichText::new(run.id.short()).weak().monospace());
        progress(ui, &runs::counts(run), 140.0);
        let (ended, all) = entry.progress();
        ui.label(format!("{ended} of {all} tasks"));
        ui.label(since(ui, run.runs_since_ms().unwrap_or(run.created_ms), run.ended_ms, scene.now));
    });
    ui.horizontal(|ui| {
        ui.selectable_value(&mut state.tab, Tab::Graph, "Graph");
        ui.selectable_value(&mut state.tab, Tab::Tasks, "Tasks");
        ui.selectable_value(&mut state.tab, Tab::Timeline, "Timeline");
        match state.tab {
            Tab::Graph => {
                if ui.button("Fit").on_hover_text("Show all of it (F)").clicked() {
                    state.canvas.fit();
                }
                let what = "The tasks that the end of the run waited for, as in the timeline: only faster \
                            tasks on it make the run faster (C)";
                ui.toggle_value(&mut state.canvas.critical, "Critical path").on_hover_text(what);
                if let Some(times) = state.times.view().filter(|_| state.canvas.critical) {
                    let words = timeline::critical(times);
                    ui.label(RichText::new(lasted(0, times.wall_ms)).weak()).on_hover_text(words);
                }
            }
            Tab::Tasks => {
                let field =
                    egui::TextEdit::singleline(&mut state.search).hint_text("Search").desired_width(180.0);
                let field = ui.add(field);
                field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search tasks"));
                if std::mem::take(&mut state.seek) {
                    field.request_focus();
                }
                if let Some(only) = &state.only
                    && ui.button(format!("{} of one box: show all", only.len())).clicked()
                {
                    state.only = None;
                }
            }
            Tab::Timeline => {}
        }
        ui.separator();
        runs::actions(ui, run.id, run.state, run.cancelling, scene);
        if waits > 0 && ui.link(format!("{waits} waiting")).clicked() {
            scene.go = Some(Go::Inbox);
            scene.pick = scene.model.inbox.of_run(run.id).next().map(cis_core::api::InboxItem::name);
        }
        if let Some(why) = &run.detail {
            ui.add(egui::Label::new(RichText::new(one_line(why, 300)).weak()).truncate());
        }
    });
}

fn tasks(ui: &mut Ui, state: &mut Run, entry: &Entry, scene: &Scene<'_>) {
    let Some(live) = entry.live() else { return };
    let mut places = view::lines(live.tasks(), &state.search);
    if let Some(only) = &state.only {
        places.retain(|at| only.contains(live.tasks()[*at].id.as_str()));
    }
    if places.is_empty() {
        return empty(ui, "No task is like that", "Another search shows more.");
    }
    TableBuilder::new(ui)
        .striped(true)
        // The name in it takes the keys, not each of its cells.
        .sense(egui::Sense::CLICK)
        .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
        .column(Column::remainder().at_least(120.0).clip(true))
        .column(Column::exact(90.0))
        .column(Column::exact(90.0))
        .column(Column::remainder().at_least(120.0).clip(true))
        .header(24.0, |mut header| {
            for head in ["Task", "State", "Lasted", "Why"] {
                header.col(|ui| {
                    ui.label(RichText::new(head).small().weak());
                });
            }
        })
        .body(|body| {
            body.rows(28.0, places.len(), |mut row| {
                let at = places[row.index()];
                let task = &live.tasks()[at];
                let line = view::line(at, task, scene.now);
                row.set_selected(state.chosen.as_deref() == Some(&line.name));
                row.col(|ui| {
                    mark(ui, line.mark, line.state);
                    if opens(ui, &line.name, ui.available_width()).clicked() {
                        state.chosen = Some(line.name.clone());
                    }
                });
                row.col(|ui| {
                    ui.label(line.state);
                });
                row.col(|ui| {
                    if let (Some(from), None) = (task.started_ms, task.ended_ms) {
                        ago(ui, from, scene.now);
                    }
                    ui.label(&line.lasted);
                });
                row.col(|ui| {
                    ui.add(egui::Label::new(RichText::new(&line.reason).weak()).truncate());
                });
                if row.response().clicked() {
                    state.chosen = Some(line.name);
                }
            });
        });
}

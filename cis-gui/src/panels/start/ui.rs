//! Choosing a file and filling in its parameters, drawn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cis_core::api::{Problem, ProblemKind, RunView};
use cis_core::ids::{InputId, TimestampMs};
use eframe::egui::{self, Key, RichText, ScrollArea, Ui};

use super::view::{self, Field, Kind};
use crate::command::{Command, Slot};
use crate::draft::{Draft, Folder, NewRun};
use crate::model::{Note, Tone};
use crate::panels::{Go, Scene, refusal};
use crate::theme;
use crate::widgets::{empty, one_line};

/// Mistakes of a file that are shown.
const MISTAKES_MAX: usize = 20;

/// What is chosen and filled in.
#[derive(Debug, Default)]
pub struct Start {
    /// The folder that is looked into, as it is typed.
    path: String,
    folder: Option<Slot<Folder>>,
    /// Its path is written into the field when it comes.
    entering: bool,
    /// The chosen file, and what it says.
    file: Option<(PathBuf, Slot<Draft>)>,
    workdir: String,
    /// The file whose directory that was to begin with.
    of: Option<PathBuf>,
    typed: BTreeMap<String, String>,
    room: Option<String>,
    no_cache: bool,
    /// The run that was asked for.
    sent: Option<Slot<RunView>>,
    /// The newest request, until the node has said what became of it.
    asked: Option<NewRun>,
    refused: Option<Problem>,
}

impl Start {
    fn browse(&mut self, path: PathBuf, scene: &Scene<'_>) {
        let slot = Slot::default();
        scene.to.send(Command::Browse(path, slot.clone()));
        (self.folder, self.entering) = (Some(slot), true);
    }

    fn choose(&mut self, path: PathBuf, scene: &Scene<'_>) {
        let slot = Slot::default();
        scene.to.send(Command::Read(path.clone(), slot.clone()));
        self.workdir.clear();
        self.file = Some((path, slot));
        self.typed.clear();
        (self.of, self.refused) = (None, None);
    }

    /// Takes the answer to what was sent, once it is there.
    fn answer(&mut self) -> Option<Result<RunView, Problem>> {
        let answer = self.sent.as_ref().and_then(Slot::take)?;
        match &answer {
            Ok(_) => {
                // The next one begins with the folder of this one.
                *self = Self {
                    path: std::mem::take(&mut self.path),
                    folder: self.folder.take(),
                    ..Self::default()
                };
            }
            Err(problem) => {
                self.sent = None;
                if !may_be_made(problem) {
                    self.asked = None;
                }
                self.refused = Some(problem.clone());
            }
        }
        Some(answer)
    }

    /// Returns what became of a run that was asked for, for a person who looks at another view.
    pub fn outcome(&mut self, now: TimestampMs) -> Option<Note> {
        Some(match self.answer()? {
            Ok(run) => {
                let text = format!("Run created: {} {}", run.dag, run.id.short());
                Note { at_ms: now, tone: Tone::Good, text, hint: None }
            }
            Err(problem) => Note { at_ms: now, tone: Tone::Bad, text: problem.detail, hint: problem.hint },
        })
    }

    fn submit(&mut self, draft: &Draft, start: bool, scene: &Scene<'_>) {
        let mut new = NewRun {
            path: draft.path.clone(),
            workdir: self.workdir.trim().to_owned(),
            params: view::given(&draft.dag, &self.typed),
            room: self.room.as_ref().map(|room| room.trim().to_owned()),
            start,
            no_cache: self.no_cache,
            input: InputId::NONE,
        };
        // The run of an earlier request may have been made although its answer was lost. With the same id, it is made once.
        let is_same = |asked: &&NewRun| **asked == NewRun { input: asked.input, ..new.clone() };
        let input = self.asked.as_ref().filter(is_same).map(|asked| asked.input);
        new.input = match input.map_or_else(cis_client::input_id, Ok) {
            Ok(input) => input,
            Err(problem) => {
                self.refused = Some(problem);
                return;
            }
        };
        let slot = Slot::default();
        scene.to.send(Command::Submit(Box::new(new.clone()), slot.clone()));
        (self.sent, self.asked, self.refused) = (Some(slot), Some(new), None);
    }
}

/// Whether the run may have been made: the node was not reached, or did not say that it refuses the request.
fn may_be_made(problem: &Problem) -> bool {
    matches!(problem.kind, ProblemKind::Unavailable | ProblemKind::Internal)
}

/// Draws it.
pub fn show(ui: &mut Ui, state: &mut Start, scene: &mut Scene<'_>) {
    if let Some(Ok(run)) = state.answer() {
        scene.go = Some(Go::Run(run.id));
        return;
    }
    if state.folder.is_none() {
        state.browse(PathBuf::new(), scene);
    }
    ui.horizontal(|ui| {
        if ui.button("Runs").on_hover_text("Back to all runs (Esc)").clicked() {
            scene.go = Some(Go::Runs);
        }
        ui.label(RichText::new("Start a run").heading());
    });
    ui.separator();
    egui::Panel::left("start-files")
        .default_size(340.0)
        .min_size(220.0)
        .resizable(true)
        .show(ui, |ui| files(ui, state, scene));
    egui::CentralPanel::default().show(ui, |ui| {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| file(ui, state, scene));
    });
}

fn files(ui: &mut Ui, state: &mut Start, scene: &Scene<'_>) {
    let slot = state.folder.clone().unwrap_or_default();
    let (mut enter, mut open) = (None, None);
    slot.look(|folder| match folder {
        None => drop(ui.label("Looking…")),
        Some(Err(problem)) => {
            path(ui, &mut state.path, &mut enter);
            ui.add(egui::Label::new(one_line(&problem.detail, 500)).wrap());
            if ui.button("Back to where this was started").clicked() {
                enter = Some(PathBuf::new());
            }
        }
        Some(Ok(folder)) => {
            if std::mem::take(&mut state.entering) {
                state.path = folder.path.display().to_string();
            }
            path(ui, &mut state.path, &mut enter);
            let chosen = state.file.as_ref().map(|(path, _)| path);
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                if let Some(parent) = folder.path.parent()
                    && line(ui, "..", "The folder above", false)
                {
                    enter = Some(parent.to_path_buf());
                }
                for name in &folder.folders {
                    if line(ui, &format!("{}/", one_line(name, 80)), "Open this folder", false) {
                        enter = Some(folder.path.join(name));
                    }
                }
                for name in &folder.files {
                    let path = folder.path.join(name);
                    if line(ui, &one_line(name, 80), "Choose this file", chosen == Some(&path)) {
                        open = Some(path);
                    }
                }
                if folder.files.is_empty() {
                    ui.label(RichText::new("No *.toml is here.").weak());
                }
                if folder.more {
                    ui.label(RichText::new("There is more; type the path of what is missing.").weak());
                }
            });
        }
    });
    if let Some(path) = enter {
        if path.extension().is_some_and(|end| end == "toml") {
            open = Some(path);
        } else {
            state.browse(path, scene);
        }
    }
    if let Some(path) = open {
        state.choose(path, scene);
    }
}

fn path(ui: &mut Ui, text: &mut String, enter: &mut Option<PathBuf>) {
    let field = ui.add(egui::TextEdit::singleline(text).desired_width(f32::INFINITY));
    field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Path of a folder or file"));
    if field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
        *enter = Some(PathBuf::from(text.trim()));
    }
}

fn line(ui: &mut Ui, text: &str, hint: &str, chosen: bool) -> bool {
    let wide = egui::vec2(ui.available_width(), 24.0);
    let button = egui::Button::selectable(chosen, text).truncate().min_size(wide);
    ui.add(button).on_hover_text(hint).clicked()
}

fn file(ui: &mut Ui, state: &mut Start, scene: &Scene<'_>) {
    let Some((path, slot)) = state.file.clone() else {
        return empty(ui, "Choose a DAG file", "`cis init` writes one to begin with.");
    };
    ui.horizontal(|ui| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ui.label(RichText::new(one_line(&name, 80)).heading());
        if ui.button("Read again").on_hover_text("After it was changed").clicked() {
            let typed = std::mem::take(&mut state.typed);
            state.choose(path.clone(), scene);
            state.typed = typed;
        }
    });
    let draft = slot.look(|read| match read {
        None => {
            ui.label("Reading…");
            None
        }
        Some(Err(problem)) => {
            mistakes(ui, problem);
            None
        }
        Some(Ok(draft)) => Some(draft.clone()),
    });
    if let Some(draft) = &draft
        && state.of.as_ref() != Some(&draft.path)
    {
        state.workdir = draft.path.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
        state.of = Some(draft.path.clone());
    }
    if let Some(draft) = draft {
        form(ui, state, &draft, scene);
    }
    if let Some(refused) = &state.refused {
        ui.add_space(8.0);
        mistakes(ui, refused);
    }
}

/// What is wrong, with its place.
fn mistakes(ui: &mut Ui, problem: &Problem) {
    theme::card(ui.visuals()).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(one_line(&problem.detail, 500)).strong()).wrap());
        if let Some(hint) = &problem.hint {
            ui.add(egui::Label::new(RichText::new(one_line(hint, 500)).weak()).wrap());
        }
        for finding in problem.diagnostics.iter().take(MISTAKES_MAX) {
            ui.add_space(6.0);
            let text: String = finding.rendered.chars().take(4_000).collect();
            ui.add(egui::Label::new(RichText::new(text).monospace()).selectable(true).extend());
        }
        let more = problem.diagnostics.len().saturating_sub(MISTAKES_MAX);
        if more > 0 {
            ui.label(format!("and {more} more"));
        }
    });
}

fn form(ui: &mut Ui, state: &mut Start, draft: &Draft, scene: &Scene<'_>) {
    let tasks = draft.dag.tasks.len();
    let s = if tasks == 1 { "" } else { "s" };
    ui.label(RichText::new(format!("{}: {tasks} task{s}", one_line(&draft.dag.id, 80))).weak());
    ui.add_space(8.0);
    egui::Grid::new("params").num_columns(2).spacing([16.0, 8.0]).show(ui, |ui| {
        for one in view::fields(&draft.dag) {
            ui.vertical(|ui| {
                ui.label(RichText::new(one_line(&one.name, 60)).strong());
                if !one.about.is_empty() {
                    ui.label(RichText::new(one_line(&one.about, 120)).small().weak());
                }
            });
            field(ui, &one, state.typed.entry(one.name.clone()).or_default());
            ui.end_row();
        }
        ui.label("Directory").on_hover_text("Relative directories of the file start from here");
        let directory = ui.add(egui::TextEdit::singleline(&mut state.workdir).desired_width(420.0));
        directory.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Directory"));
        ui.end_row();
        ui.label("Room").on_hover_text("A Matrix room that follows the run, and in which people answer");
        ui.horizontal(|ui| {
            let mut told = state.room.is_some();
            if ui.checkbox(&mut told, "Tell a room").changed() {
                state.room = told.then(String::new);
            }
            if let Some(room) = &mut state.room {
                let hint = "as configured, or #room:example.org";
                let field = ui.add(egui::TextEdit::singleline(room).hint_text(hint).desired_width(280.0));
                field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Room"));
            }
        });
        ui.end_row();
        ui.label("Cache");
        ui.checkbox(&mut state.no_cache, "Take no result of an earlier run");
        ui.end_row();
    });
    ui.add_space(10.0);
    let wrong = view::wrong(&draft.dag, &state.typed);
    for why in &wrong {
        ui.add(egui::Label::new(one_line(why, 300)).wrap());
    }
    ui.horizontal(|ui| {
        let waits = state.sent.is_some();
        let able = wrong.is_empty() && !waits && scene.refused().is_none();
        let word = if waits { "Starting…" } else { "Start" };
        let button = egui::Button::new(RichText::new(word).strong()).fill(ui.visuals().selection.bg_fill);
        if ui.add_enabled(able, button).clicked() {
            state.submit(draft, true, scene);
        }
        let create = ui.add_enabled(able, egui::Button::new("Only create"));
        if create.on_hover_text("It is there, and starts when somebody starts it").clicked() {
            state.submit(draft, false, scene);
        }
    });
    refusal(ui, scene);
}

fn field(ui: &mut Ui, field: &Field, text: &mut String) {
    let hint = field.default.clone().map_or_else(|| "must be given".to_owned(), |text| one_line(&text, 200));
    let response = match field.kind {
        Kind::Line => ui.add(egui::TextEdit::singleline(text).hint_text(hint).desired_width(420.0)),
        Kind::Lines => {
            let edit = egui::TextEdit::multiline(text).hint_text(hint).code_editor();
            ui.add(edit.desired_rows(3).desired_width(420.0))
        }
        Kind::Choice => {
            let inner = ui.horizontal(|ui| {
                for value in ["true", "false"] {
                    let counts = if text.is_empty() { field.default.as_deref() } else { Some(text.as_str()) };
                    let label = format!("{} {value}", field.name);
                    let radio = ui.radio(counts == Some(value), value);
                    radio.widget_info(|| {
                        egui::WidgetInfo::selected(
                            egui::Role::RadioButton,
                            true,
                            counts == Some(value),
                            &label,
                        )
                    });
                    if radio.clicked() {
                        value.clone_into(text);
                    }
                }
            });
            return drop(inner);
        }
    };
    let label = format!("Value of {}", field.name);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, &label));
}

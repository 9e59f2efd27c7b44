//! What is asked about a task when somebody wants to know: logs of its tries, evidence, where its files were saved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cis_core::api::{ExplainView, TaskView};
use cis_core::event::PromptKind;
use cis_core::ids::RunId;
use cis_core::text;
use eframe::egui::{self, RichText, Ui};

use crate::command::{Command, Slot};
use crate::panels::Scene;
use crate::panels::log::Log;
use crate::widgets::{act, one_line};

/// Of a sentence so much is shown, characters.
const LINE_CHARS: usize = 2_000;
/// A log is so high.
const LOG_HEIGHT: f32 = 420.0;
/// So many tries can be chosen, the newest of them.
const TRIES_MAX: u32 = 12;
/// Sentences that are shown of an explanation.
const SENTENCES_MAX: usize = 50;

/// What was asked, and what came.
#[derive(Debug, Default)]
pub(super) struct Asked {
    log: Option<(u32, Log)>,
    evidence: Option<Slot<ExplainView>>,
    /// By the file's path.
    saved: BTreeMap<String, Slot<PathBuf>>,
}

impl Asked {
    /// Buttons that ask.
    pub(super) fn buttons(&mut self, ui: &mut Ui, run: RunId, task: &TaskView, scene: &Scene<'_>) {
        let Some(session) = task.session else { return };
        if ui.button("Log").on_hover_text("The end of what its newest try wrote").clicked() {
            self.log(run, task, task.attempts, scene);
        }
        if ui.button("Evidence").on_hover_text("Why its session is said to wait, or not").clicked() {
            let slot = Slot::default();
            scene.to.send(Command::Explain(session, slot.clone()));
            self.evidence = Some(slot);
        }
    }

    fn log(&mut self, run: RunId, task: &TaskView, attempt: u32, scene: &Scene<'_>) {
        let slot = Slot::default();
        scene.to.send(Command::Log(run, task.id.to_string(), attempt, slot.clone()));
        self.log = Some((attempt, Log::of(slot)));
    }

    /// What came.
    pub(super) fn show(&mut self, ui: &mut Ui, run: RunId, task: &TaskView, scene: &Scene<'_>) {
        self.files(ui, run, task, scene);
        if let Some(slot) = &self.evidence {
            evidence(ui, slot, scene);
        }
        let Some((attempt, log)) = &mut self.log else { return };
        let attempt = *attempt;
        ui.add_space(8.0);
        let mut other = None;
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new("End of its log").small().weak());
            if task.attempts > 1 {
                let first = task.attempts.saturating_sub(TRIES_MAX - 1).max(1);
                for n in first..=task.attempts {
                    let label = ui.selectable_label(n == attempt, format!("{n}"));
                    label.widget_info(|| {
                        let text = format!("Log of try {n}");
                        egui::WidgetInfo::selected(egui::Role::Button, true, n == attempt, text)
                    });
                    if label.clicked() {
                        other = Some(n);
                    }
                }
            }
        });
        log.show(ui, LOG_HEIGHT);
        if let Some(n) = other {
            self.log(run, task, n, scene);
        }
    }

    fn files(&mut self, ui: &mut Ui, run: RunId, task: &TaskView, scene: &Scene<'_>) {
        if task.artifacts.is_empty() && !task.artifacts_omitted {
            return;
        }
        ui.add_space(8.0);
        ui.label(RichText::new("Files that it left").small().weak());
        if task.artifacts_omitted {
            ui.label("too many to be listed");
        }
        for file in task.artifacts.iter().take(50) {
            ui.horizontal_wrapped(|ui| {
                ui.label(format!("{} ({})", one_line(&file.path, 200), text::bytes(file.size)));
                match self.saved.get(&file.path) {
                    None => {
                        let button = act(ui, "Save", scene.refused());
                        let text = format!("Save {}", one_line(&file.path, 100));
                        let enabled = scene.refused().is_none();
                        button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, &text));
                        if button.on_hover_text("Among your downloads").clicked() {
                            let slot = Slot::default();
                            let task = task.id.to_string();
                            scene.to.send(Command::Save(run, task, file.clone(), slot.clone()));
                            self.saved.insert(file.path.clone(), slot);
                        }
                    }
                    Some(slot) => slot.look(|saved| {
                        let text = match saved {
                            None => "saving…".to_owned(),
                            Some(Ok(path)) => format!("saved as {}", path.display()),
                            Some(Err(problem)) => problem.detail.clone(),
                        };
                        ui.label(RichText::new(one_line(&text, 500)).weak());
                    }),
                }
            });
        }
    }
}

fn evidence(ui: &mut Ui, slot: &Slot<ExplainView>, scene: &Scene<'_>) {
    ui.add_space(8.0);
    ui.label(RichText::new("Evidence").small().weak());
    slot.look(|view| match view {
        None => drop(ui.label("asking…")),
        Some(Err(problem)) => drop(ui.add(egui::Label::new(one_line(&problem.detail, LINE_CHARS)).wrap())),
        Some(Ok(view)) => {
            if view.explanation.because.is_empty() {
                ui.label("Nothing speaks for its waiting.");
            }
            let explanation = &view.explanation;
            for sentence in explanation.because.iter().chain(&explanation.what_if).take(SENTENCES_MAX) {
                ui.add(egui::Label::new(one_line(sentence, LINE_CHARS)).wrap());
            }
            report(ui, view, scene);
        }
    });
}

/// Lets people say that this is wrong.
fn report(ui: &mut Ui, view: &ExplainView, scene: &Scene<'_>) {
    let (text, says, waits_for) = match view.item {
        Some(_) => ("Report: not a prompt", "It waits for nobody", None),
        None => (
            "Report a missed prompt",
            "It waits for a human (the kind is `question`; `cis monitor report` knows others)",
            Some(PromptKind::Question),
        ),
    };
    let hover =
        format!("{says}: the node keeps what it shows, so that CIS can be tried on it. Nothing is sent.");
    if act(ui, text, scene.refused()).on_hover_text(hover).clicked() {
        scene.to.send(Command::Report(view.session, waits_for));
    }
}

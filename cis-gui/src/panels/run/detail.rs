//! One task: how it stands and why, its outputs, what can be done.

use cis_core::api::{InboxItem, TaskView, WhyView};
use cis_core::event::RetryScope;
use cis_core::ids::RunId;
use eframe::egui::{self, RichText, ScrollArea, Ui};

use super::asked::Asked;
use super::view::{duration, mark_of, waits};
use crate::command::{Command, Slot};
use crate::panels::{Go, Scene, refusal};
use crate::widgets::{ago, mark, one_line, sure};

/// What was asked about the task that is shown.
#[derive(Debug, Default)]
pub(super) struct Detail {
    of: Option<(RunId, String)>,
    /// How it stood when it was asked why.
    stood: Option<(u32, &'static str, bool, Option<String>)>,
    why: Slot<WhyView>,
    asked: Asked,
}

/// Draws a task; true where it is to be closed.
pub(super) fn show(
    ui: &mut Ui,
    state: &mut Detail,
    run: RunId,
    task: &TaskView,
    scene: &mut Scene<'_>,
) -> bool {
    let name = task.id.to_string();
    let of = Some((run, name.clone()));
    if state.of != of {
        *state = Detail { of, ..Detail::default() };
    }
    // Asked again when it stands otherwise.
    let stands = Some((task.attempts, task.state.as_str(), waits(task), task.reason.clone()));
    if state.stood != stands {
        (state.stood, state.why) = (stands, Slot::default());
        scene.to.send(Command::Why(run, name.clone(), state.why.clone()));
    }
    let mut close = false;
    ui.horizontal(|ui| {
        mark(ui, mark_of(task), task.state.as_str());
        // From the right, so that a long name is cut before the button.
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            close = ui.button("Close").clicked();
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(RichText::new(&name).heading()).truncate());
            });
        });
    });
    ui.horizontal_wrapped(|ui| {
        if let Some(session) = task.session
            && ui.button("Open terminal").clicked()
        {
            scene.go = Some(Go::Session(session));
        }
        if (task.waits.is_some() || task.approval.is_some()) && ui.button("Answer").clicked() {
            scene.go = Some(Go::Inbox);
            let mut items = scene.model.inbox.of_run(run);
            scene.pick = items.find(|item| item.task.as_ref() == Some(&task.id)).map(InboxItem::name);
        }
        if task.state.is_terminal() && scene.model.run(run).is_some_and(|run| run.view().state.is_terminal())
        {
            if sure(ui, (run, &task.id), "Retry from here", "Really retry", scene.refused()) {
                scene.to.send(Command::Retry(run, RetryScope::From { task: task.id.clone(), also: vec![] }));
            }
        } else if let Some(session) = task.session.filter(|_| task.state.is_active())
            && sure(ui, session, "End session", "Really end it", scene.refused())
        {
            scene.to.send(Command::Kill(session));
        }
        state.asked.buttons(ui, run, task, scene);
    });
    refusal(ui, scene);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        facts(ui, task, scene);
        why(ui, &state.why);
        state.asked.show(ui, run, task, scene);
    });
    close
}

fn facts(ui: &mut Ui, task: &TaskView, scene: &Scene<'_>) {
    let lasted = duration(task, scene.now);
    if let (Some(from), None) = (task.started_ms, task.ended_ms) {
        ago(ui, from, scene.now);
    }
    egui::Grid::new("facts").num_columns(2).spacing([12.0, 4.0]).show(ui, |ui| {
        let mut fact = |name: &str, value: String| {
            if !value.is_empty() {
                ui.label(RichText::new(name).weak());
                ui.add(egui::Label::new(value).wrap());
                ui.end_row();
            }
        };
        fact("State", task.state.to_string());
        fact("Reason", task.reason.as_deref().map(|why| one_line(why, 500)).unwrap_or_default());
        fact("Needs", task.needs.iter().map(ToString::to_string).take(20).collect::<Vec<_>>().join(", "));
        fact("Agent", task.agent.as_deref().map(|agent| one_line(agent, 100)).unwrap_or_default());
        fact("Node", task.node.as_ref().map(|node| one_line(node.label(), 100)).unwrap_or_default());
        fact("Tries", task.attempts.to_string());
        fact("Lasted", lasted);
        fact("Exit code", task.exit_code.map(|code| code.to_string()).unwrap_or_default());
        if let Some(said) = &task.said {
            let percent = said.percent.map(|percent| format!("{percent} %: ")).unwrap_or_default();
            fact("Says", format!("{percent}{}", one_line(&said.text, 500)));
        }
        if task.outputs_omitted {
            fact("Outputs", "too large to be listed".to_owned());
        }
        for (name, value) in task.outputs.iter().take(50) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fact(&one_line(name, 60), one_line(&text, 500));
        }
    });
}

fn why(ui: &mut Ui, why: &Slot<WhyView>) {
    why.look(|why| {
        let Some(why) = why else { return };
        ui.add_space(8.0);
        ui.label(RichText::new("Why").small().weak());
        let why = match why {
            Ok(why) => why,
            Err(problem) => return drop(ui.label(one_line(&problem.detail, 2_000))),
        };
        for because in &why.because {
            ui.add(egui::Label::new(one_line(because, 2_000)).wrap());
        }
        for hint in &why.try_this {
            ui.add(egui::Label::new(RichText::new(one_line(hint, 2_000)).monospace().size(12.0)).wrap());
        }
    });
}

//! The end of a log as text. Only visible lines are laid out.

use eframe::egui::{RichText, ScrollArea, TextStyle, Ui};

use crate::command::Slot;
use crate::widgets::one_line;

/// Maximum length of a line, characters.
const LINE_CHARS: usize = 2_000;

/// A requested log.
#[derive(Debug)]
pub(super) struct Log {
    slot: Slot<String>,
    /// Its lines, once it has arrived.
    lines: Option<Vec<String>>,
}

impl Log {
    /// Shows the text that arrives in `slot`.
    pub(super) fn of(slot: Slot<String>) -> Self {
        Self { slot, lines: None }
    }

    /// Draws the log, at most `height` points high.
    pub(super) fn show(&mut self, ui: &mut Ui, height: f32) {
        let Self { slot, lines } = self;
        slot.look(|log| match log {
            None => drop(ui.label("loading…")),
            Some(Err(problem)) => drop(ui.label(one_line(&problem.detail, LINE_CHARS))),
            Some(Ok(text)) => {
                let cut = |line: &str| line.chars().take(LINE_CHARS).collect();
                let lines = lines.get_or_insert_with(|| text.lines().map(cut).collect());
                if lines.is_empty() {
                    ui.label(RichText::new("It wrote nothing.").weak());
                }
                rows(ui, lines, height);
            }
        });
    }
}

fn rows(ui: &mut Ui, lines: &[String], height: f32) {
    let row = ui.text_style_height(&TextStyle::Small);
    let place = ScrollArea::both().id_salt("log").max_height(height).auto_shrink([false, true]);
    place.stick_to_bottom(true).show_rows(ui, row, lines.len(), |ui, range| {
        for line in &lines[range] {
            ui.add(eframe::egui::Label::new(RichText::new(line).monospace().size(12.0)).extend());
        }
    });
}

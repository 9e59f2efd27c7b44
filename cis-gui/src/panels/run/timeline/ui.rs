//! The timeline, drawn.

use cis_core::api::TimeView;
use cis_core::ids::TimestampMs;
use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{
    self, Align2, Color32, FontId, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, Ui, vec2,
};

use super::super::times::Times;
use super::super::view::waits;
use super::view::{self, Part};
use crate::model::Entry;
use crate::panels::Scene;
use crate::theme::Mark;
use crate::widgets::{empty, one_line};

const LINE: f32 = 24.0;
const NAMES: f32 = 200.0;

/// The order of the lines.
#[derive(Debug, Default)]
pub(in crate::panels::run) struct Timeline {
    order: Vec<usize>,
    /// The answer of the node that the order belongs to.
    of: Option<u64>,
}

impl Timeline {
    /// Draws it. Gives the name of a task that was clicked.
    pub(in crate::panels::run) fn show(
        &mut self,
        ui: &mut Ui,
        entry: &Entry,
        chosen: Option<&str>,
        asked: &Times,
        scene: &Scene<'_>,
    ) -> Option<String> {
        let Some(times) = asked.view() else {
            match asked.failed() {
                Some(why) => empty(ui, "The node does not tell", &one_line(why, 300)),
                None => empty(ui, "Asking the node…", "Where the time of this run went."),
            }
            return None;
        };
        if self.of != Some(asked.version()) {
            (self.of, self.order) = (Some(asked.version()), view::order(times));
        }
        if times.tasks.is_empty() {
            empty(ui, "Nothing has had its turn yet", "Tasks appear here once they are free to start.");
            return None;
        }
        legend(ui, times);
        let whole = view::span(times, scene.now);
        let mut clicked = None;
        axis(ui, whole);
        ScrollArea::vertical().auto_shrink(false).show_rows(ui, LINE, self.order.len(), |ui, range| {
            for at in range {
                let task = &times.tasks[self.order[at]];
                let name = task.task.as_str();
                let (rect, response) =
                    ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::click());
                let told = view::words(task);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &told));
                let response = response.on_hover_text(&told);
                if response.has_focus() {
                    let stroke = ui.visuals().widgets.active.bg_stroke;
                    ui.painter().rect_stroke(rect, 4.0, stroke, egui::StrokeKind::Inside);
                }
                if response.clicked() {
                    clicked = Some(name.to_owned());
                }
                let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
                if chosen == Some(name) || response.hovered() {
                    let alpha = if chosen == Some(name) { 1.0 } else { 0.4 };
                    painter.rect_filled(rect, 4.0, ui.visuals().selection.bg_fill.gamma_multiply(alpha));
                }
                let weight =
                    if task.critical { ui.visuals().strong_text_color() } else { ui.visuals().text_color() };
                let font = FontId::proportional(13.0);
                let mut words = LayoutJob::simple_singleline(one_line(name, 80), font, weight);
                words.wrap = TextWrapping::truncate_at_width(NAMES - 14.0);
                let words = ui.fonts_mut(|fonts| fonts.layout_job(words));
                let top = rect.center().y - words.size().y / 2.0;
                painter.galley(Pos2::new(rect.left() + 6.0, top), words, weight);
                let waiting = entry.task(name).is_some_and(waits);
                let room = bars(rect);
                let x = |share: f32| room.left() + share * room.width();
                for (part, from, to) in view::bar(task, waiting, whole, scene.now) {
                    let left = x(from).min(room.right() - 2.0);
                    let bar = Rect::from_min_max(
                        Pos2::new(left, rect.top() + 6.0),
                        Pos2::new(x(to).max(left + 2.0), rect.bottom() - 6.0),
                    );
                    painter.rect_filled(bar, 2.0, colour(part, ui.visuals().dark_mode));
                    if task.critical && part != Part::Queue {
                        let line = Stroke::new(1.5, ui.visuals().strong_text_color());
                        painter.rect_stroke(bar.expand(1.0), 3.0, line, egui::StrokeKind::Outside);
                    }
                }
            }
        });
        clicked
    }
}

/// The part of a line in which bars are.
fn bars(rect: Rect) -> Rect {
    Rect::from_min_max(Pos2::new(rect.left() + NAMES, rect.top()), rect.max - vec2(12.0, 0.0))
}

fn colour(part: Part, dark: bool) -> Color32 {
    match part {
        Part::Queue => Mark::Pending.colour(dark).gamma_multiply(0.55),
        Part::Machine => Mark::Running.colour(dark),
        Part::Human => Mark::Waits.colour(dark),
    }
}

fn legend(ui: &mut Ui, times: &TimeView) {
    ui.horizontal_wrapped(|ui| {
        for part in Part::ALL {
            let (rect, _) = ui.allocate_exact_size(vec2(14.0, 12.0), Sense::hover());
            ui.painter().rect_filled(rect, 2.0, colour(part, ui.visuals().dark_mode));
            ui.label(RichText::new(part.word()).small());
        }
        ui.separator();
        let text = format!("Critical path (outlined): {}", view::critical(times));
        ui.label(RichText::new(text).small().weak());
    });
}

fn axis(ui: &mut Ui, whole: (TimestampMs, TimestampMs)) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
    let room = bars(rect);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of labels")]
    let count = (room.width() / 90.0).max(1.0) as usize;
    let weak = ui.visuals().weak_text_color();
    for (share, label) in view::ticks(whole, count) {
        let x = room.left() + share * room.width();
        ui.painter().vline(x, rect.bottom() - 4.0..=rect.bottom(), Stroke::new(1.0, weak));
        let align = if share > 0.95 { Align2::RIGHT_CENTER } else { Align2::LEFT_CENTER };
        ui.painter().text(
            Pos2::new(x, rect.center().y - 2.0),
            align,
            label,
            FontId::proportional(11.0),
            weak,
        );
    }
}

//! Small things that every panel draws: marks of states, bars of progress, durations, empty places.

use std::time::Duration;

use cis_core::event::TaskState;
use cis_core::ids::TimestampMs;
use eframe::egui::{
    self, Align, Color32, Layout, Pos2, Rect, Response, RichText, Sense, Shape, Stroke, Ui, Vec2, vec2,
};

use crate::theme::Mark;

/// Side of a mark.
pub const MARK: f32 = 14.0;

/// A mark with its word for those who do not see it.
pub fn mark(ui: &mut Ui, mark: Mark, word: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(MARK), Sense::hover());
    let dark = ui.visuals().dark_mode;
    ui.painter().extend(mark_shapes(mark, rect, mark.colour(dark)));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, word));
    response.on_hover_text(word)
}

/// The shape of a mark: told apart without colours.
#[must_use]
pub fn mark_shapes(mark: Mark, rect: Rect, colour: Color32) -> Vec<Shape> {
    let (centre, radius) = (rect.center(), rect.width() * 0.42);
    let stroke = Stroke::new(rect.width() / 8.0, colour);
    let at = |x: f32, y: f32| centre + vec2(x, y) * radius;
    let line = |points: &[Pos2], stroke: Stroke| Shape::line(points.to_vec(), stroke);
    let ground =
        Stroke::new(rect.width() / 8.0, if colour.r() > 0x80 { Color32::BLACK } else { Color32::WHITE });
    match mark {
        Mark::Pending => vec![Shape::circle_stroke(centre, radius * 0.8, Stroke::new(1.5, colour))],
        Mark::Queued => vec![
            Shape::circle_stroke(centre, radius * 0.9, Stroke::new(1.5, colour)),
            Shape::circle_filled(centre, radius * 0.35, colour),
        ],
        Mark::Running => {
            vec![Shape::convex_polygon(
                vec![at(-0.7, -0.9), at(1.0, 0.0), at(-0.7, 0.9)],
                colour,
                Stroke::NONE,
            )]
        }
        Mark::Waits => vec![
            Shape::circle_filled(centre, radius * 1.1, colour),
            line(&[at(0.0, -0.6), at(0.0, 0.15)], Stroke::new(stroke.width, Color32::BLACK)),
            Shape::circle_filled(at(0.0, 0.55), stroke.width * 0.6, Color32::BLACK),
        ],
        Mark::Good => vec![
            Shape::circle_filled(centre, radius * 1.1, colour),
            line(
                &[at(-0.5, 0.05), at(-0.1, 0.45), at(0.55, -0.4)],
                Stroke::new(stroke.width, Color32::WHITE),
            ),
        ],
        Mark::Passed => vec![
            Shape::circle_stroke(centre, radius, stroke),
            line(&[at(-0.45, 0.05), at(-0.1, 0.4), at(0.5, -0.35)], stroke),
        ],
        Mark::Cancelled => {
            vec![Shape::circle_stroke(centre, radius, stroke), line(&[at(-0.6, 0.6), at(0.6, -0.6)], stroke)]
        }
        Mark::Failed => vec![
            Shape::circle_filled(centre, radius * 1.1, colour),
            line(&[at(-0.4, -0.4), at(0.4, 0.4)], Stroke::new(stroke.width, Color32::WHITE)),
            line(&[at(-0.4, 0.4), at(0.4, -0.4)], Stroke::new(stroke.width, Color32::WHITE)),
        ],
        Mark::Broken => vec![
            Shape::convex_polygon(vec![at(0.0, -1.05), at(1.05, 0.9), at(-1.05, 0.9)], colour, Stroke::NONE),
            line(&[at(0.0, -0.35), at(0.0, 0.3)], ground),
        ],
        Mark::Paused => vec![
            line(&[at(-0.4, -0.8), at(-0.4, 0.8)], Stroke::new(stroke.width * 1.6, colour)),
            line(&[at(0.4, -0.8), at(0.4, 0.8)], Stroke::new(stroke.width * 1.6, colour)),
        ],
    }
}

/// How far a run is: a part for each state.
pub fn progress(ui: &mut Ui, counts: &[(TaskState, u32)], width: f32) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, 8.0), Sense::hover());
    let dark = ui.visuals().dark_mode;
    let total: u32 = counts.iter().map(|(_, n)| n).sum();
    ui.painter().rect_filled(rect, 4.0, ui.visuals().widgets.noninteractive.bg_stroke.color);
    let mut x = rect.left();
    for (state, n) in counts {
        if total == 0 || matches!(state, TaskState::Pending | TaskState::Queued) {
            continue;
        }
        #[allow(clippy::cast_precision_loss, reason = "a width on a screen")]
        let part = rect.width() * *n as f32 / total as f32;
        let one = Rect::from_min_size(Pos2::new(x, rect.top()), vec2(part.max(1.0), rect.height()));
        ui.painter().rect_filled(one.intersect(rect), 4.0, Mark::of_task(*state, false).colour(dark));
        x += part;
    }
    let words: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let words = words.join(", ");
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, &words));
    response.on_hover_text(words)
}

/// How long something has lasted, in words.
#[must_use]
pub fn lasted(from: TimestampMs, to: TimestampMs) -> String {
    let seconds = (to - from).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long something that goes on has lasted: as coarse as it can be, and when that changes, in ms. All clocks
/// change together, so that they need few frames.
#[must_use]
pub fn clock(from: TimestampMs, now: TimestampMs) -> (String, u64) {
    const DAY: i64 = 86_400_000;
    let age = (now - from).max(0);
    let (step, least) = match age {
        0..10_000 => (1_000, 0),
        10_000..60_000 => (5_000, 10_000),
        60_000..DAY => (60_000, 60_000),
        _ => (3_600_000, DAY),
    };
    let shown = (now - now.rem_euclid(step) - from).max(least);
    let text = match shown / 1_000 {
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        _ => lasted(0, shown),
    };
    (text, (step - now.rem_euclid(step)).unsigned_abs())
}

/// Says how long it is until a time, and after how many ms that text changes.
#[must_use]
pub fn left(until: TimestampMs, now: TimestampMs) -> (String, u64) {
    let away = (until - now).max(0);
    let step = if away < 60_000 { 1_000 } else { 60_000 };
    // Rounded up: never less than it is.
    let shown = away + (step - away.rem_euclid(step)).rem_euclid(step);
    let text = if step == 60_000 { clock(0, shown).0 } else { lasted(0, shown) };
    // The last minute is counted in seconds.
    let seconds = if step == 60_000 { away - 59_999 } else { i64::MAX };
    (text, (away - (shown - step)).min(seconds).max(1).unsigned_abs())
}

/// How long something that goes on has lasted; a frame is asked for when that changes.
pub fn ago(ui: &Ui, from: TimestampMs, now: TimestampMs) -> String {
    let (text, until) = clock(from, now);
    ui.ctx().request_repaint_after(Duration::from_millis(until));
    text
}

/// How long something has lasted, or lasts.
pub fn since(ui: &Ui, from: TimestampMs, ended: Option<TimestampMs>, now: TimestampMs) -> String {
    ended.map_or_else(|| ago(ui, from, now), |ended| lasted(from, ended))
}

/// A place with nothing in it, that says what would be there.
pub fn empty(ui: &mut Ui, title: &str, advice: &str) {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.3);
        ui.label(RichText::new(title).heading());
        ui.add_space(4.0);
        ui.label(RichText::new(advice).weak());
    });
}

/// Whether a text has what somebody looks for, in whichever case it was typed. `needle` is in lower case.
#[must_use]
pub fn has(text: &str, needle: &str) -> bool {
    // Nearly all of it is ASCII, and there may be much: nothing is copied for that.
    if text.is_ascii() && needle.is_ascii() {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        return needle.is_empty() || text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle));
    }
    text.to_lowercase().contains(needle)
}

/// Text of somebody else in one line, cut where it would not fit: what is long is not laid out.
#[must_use]
pub fn one_line(text: &str, chars: usize) -> String {
    let mut out = String::new();
    // What turns the direction of text would turn what stands beside it.
    let turns =
        |c: &char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    for (n, c) in text.trim().chars().filter(|c| !turns(c)).enumerate() {
        if n >= chars {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// The name of what a row is of: with the keyboard, and for those who do not see the row, it is what opens it.
pub fn opens(ui: &mut Ui, name: impl Into<RichText>, width: f32) -> Response {
    ui.scope(|ui| {
        ui.set_max_width(width.max(MARK));
        ui.spacing_mut().button_padding = vec2(4.0, 2.0);
        ui.add(egui::Button::new(name.into()).frame_when_inactive(false).truncate())
    })
    .inner
}

/// A button for an action. `refused`: why the button is disabled, shown when the pointer is above it.
pub fn act(ui: &mut Ui, text: impl Into<egui::WidgetText>, refused: Option<&str>) -> Response {
    let button = ui.add_enabled(refused.is_none(), egui::Button::new(text.into()));
    match refused {
        Some(why) => button.on_disabled_hover_text(why),
        None => button,
    }
}

/// A button for an action that starts or ends work: the first click asks, and a second click within four seconds confirms.
/// The second click of a double click does not count. `refused`: why the button is disabled.
pub fn sure(
    ui: &mut Ui,
    about: impl std::hash::Hash + std::fmt::Debug,
    word: &str,
    question: &str,
    refused: Option<&str>,
) -> bool {
    const WHILE_S: f64 = 4.0;
    // What was asked of one thing is no answer about another that comes to stand there.
    let id = egui::Id::unique((word, &about));
    let now = ui.input(|input| input.time);
    let asked: Option<f64> = ui.data(|data| data.get_temp(id));
    let asks = asked.is_some_and(|at| now - at < WHILE_S);
    let text = if asks { RichText::new(question).strong() } else { RichText::new(word) };
    let button = ui.push_id(id, |ui| act(ui, text, refused)).inner;
    // A double click right after another click counts as a triple one.
    let is_fast = button.double_clicked() || button.triple_clicked() || is_key_held(ui);
    let clicked = button.clicked() && !(asks && is_fast);
    if asks {
        ui.ctx().request_repaint_after(Duration::from_secs_f64(WHILE_S));
    }
    if clicked {
        ui.data_mut(|data| {
            if asks {
                data.remove::<f64>(id);
            } else {
                data.insert_temp(id, now);
            }
        });
        ui.ctx().request_repaint();
    }
    clicked && asks
}

/// Whether a key is repeated because it is held down.
fn is_key_held(ui: &Ui) -> bool {
    let is_repeated = |event: &egui::Event| matches!(event, egui::Event::Key { repeat: true, .. });
    ui.input(|input| input.events.iter().any(is_repeated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_in_any_case() {
        assert!(has("Deploy.EU", "deploy") && has("ÜBER", "über") && has("x", ""));
        assert!(!has("deploy", "eu") && !has("", "x"));
    }

    #[test]
    fn durations_are_said_as_coarsely_as_they_are_long() {
        let said: Vec<String> =
            [900, 61_000, 3_725_000, 90_000_000].iter().map(|ms| lasted(0, *ms)).collect();
        assert_eq!(said, ["0 s", "1:01 min", "1 h 02 min", "1 d 1 h"]);
        assert_eq!(lasted(5, 0), "0 s");
    }

    #[test]
    fn clocks_change_seldom_and_together() {
        let minute = 60_000 * 28_000_000;
        assert_eq!(clock(minute, minute + 7_300), ("7 s".to_owned(), 700));
        assert_eq!(clock(minute, minute + 38_000), ("35 s".to_owned(), 2_000));
        assert_eq!(clock(minute - 30_000, minute + 45_000), ("1 min".to_owned(), 15_000), "never backwards");
        assert_eq!(clock(minute - 600_000, minute + 45_000), ("10 min".to_owned(), 15_000));
        assert_eq!(clock(minute - 3_720_000, minute), ("1 h 02 min".to_owned(), 60_000));
        assert_eq!(clock(minute, minute - 5), ("0 s".to_owned(), 5), "clocks of two machines");
    }

    #[test]
    fn remaining_time_is_rounded_up() {
        assert_eq!(left(90_500, 0), ("2 min".to_owned(), 30_500));
        assert_eq!(left(60_000, 0), ("1 min".to_owned(), 1));
        assert_eq!(left(7_300, 0), ("8 s".to_owned(), 300));
        assert_eq!(left(5_000, 9_000), ("0 s".to_owned(), 1_000));
    }

    #[test]
    fn foreign_text_is_one_line_of_bounded_length() {
        assert_eq!(one_line(" a\nb\u{7} ", 10), "a b ");
        assert_eq!(one_line(&"x".repeat(1 << 20), 3), "xxx…");
    }
}

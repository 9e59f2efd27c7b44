//! The graph of a run: panned, zoomed, and laid out beside the frame loop.

use std::sync::mpsc;

use eframe::egui::{self, Align2, FontId, Key, Pos2, Rect, Sense, Stroke, Ui, Vec2, pos2, vec2};

use super::ui::marks;
use super::view::mark_of;
use crate::graph::{self, BOX, Drawing};
use crate::model::Entry;
use crate::theme::Mark;
use crate::widgets::{empty, mark_shapes, one_line};

/// How far it is zoomed at most.
const ZOOM: (f32, f32) = (0.02, 2.5);
/// Smaller, names are not written.
const READABLE: f32 = 0.45;

/// Where it is looked at, and the drawing.
#[derive(Debug)]
pub(super) struct Canvas {
    drawing: Drawing,
    /// Of which structure of the run it is, and what is being made.
    drawn: Option<u64>,
    coming: Option<(u64, mpsc::Receiver<Drawing>)>,
    zoom: f32,
    /// Of the drawing's left upper corner on the screen.
    offset: Vec2,
    fit: bool,
}

impl Default for Canvas {
    fn default() -> Self {
        let drawing = Drawing::default();
        Self { drawing, drawn: None, coming: None, zoom: 1.0, offset: Vec2::ZERO, fit: true }
    }
}

impl Canvas {
    /// Shows all of it with the next frame.
    pub(super) fn fit(&mut self) {
        self.fit = true;
    }

    /// Draws it. Gives the names of what was clicked: none of them beside the boxes, several of a box of many.
    pub(super) fn show(&mut self, ui: &mut Ui, entry: &Entry, chosen: Option<&str>) -> Option<Vec<String>> {
        let live = entry.live()?;
        self.follow(ui.ctx(), entry);
        if self.drawn.is_none() {
            empty(ui, "Drawing…", "The graph is laid out.");
            return None;
        }
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        self.steer(ui, rect, &response);
        let tasks = live.tasks();
        let (dark, zoom) = (ui.visuals().dark_mode, self.zoom);
        let origin = rect.min + self.offset;
        let place = |at: (f32, f32)| origin + vec2(at.0, at.1) * zoom;
        let painter = ui.painter().with_clip_rect(rect);
        let line = Stroke::new(zoom.clamp(0.5, 1.5), ui.visuals().widgets.noninteractive.bg_stroke.color);
        for (from, to) in &self.drawing.edges {
            let (from, to) = (self.drawing.boxes[*from].at, self.drawing.boxes[*to].at);
            let (a, b) = (place((from.0 + BOX.0, from.1 + BOX.1 / 2.0)), place((to.0, to.1 + BOX.1 / 2.0)));
            if rect.intersects(Rect::from_two_pos(a, b).expand(1.0)) {
                painter.add(curve(a, b, line));
            }
        }
        let mut clicked = response.clicked().then(Vec::new);
        for one in &self.drawing.boxes {
            let at = Rect::from_min_size(place(one.at), vec2(BOX.0, BOX.1) * zoom);
            if !rect.intersects(at) {
                continue;
            }
            // A run that changed meanwhile has another drawing soon.
            let names = || one.tasks.iter().filter_map(|at| tasks.get(*at));
            let marks = marks(names().map(mark_of));
            let Some((gravest, _)) = marks.last_key_value() else { continue };
            let shown = if marks.contains_key(&Mark::Waits) { Mark::Waits } else { *gravest };
            let shown =
                if marks.contains_key(&Mark::Running) && shown < Mark::Waits { Mark::Running } else { shown };
            let colour = shown.colour(dark);
            let is_chosen = names().any(|task| chosen == Some(task.id.as_str()));
            let stroke = if is_chosen { ui.visuals().selection.stroke } else { Stroke::new(1.0, colour) };
            let ground = ui.visuals().window_fill;
            painter.rect(at, 6.0 * zoom, ground, stroke, egui::StrokeKind::Inside);
            let side = 14.0 * zoom;
            let mark_at =
                Rect::from_center_size(pos2(at.left() + 14.0 * zoom, at.center().y), Vec2::splat(side));
            if zoom >= READABLE {
                painter.extend(mark_shapes(shown, mark_at, colour));
                let name = names().next().map(|task| task.id.as_str()).unwrap_or_default();
                let second = names().nth(1).map(|task| task.id.as_str()).unwrap_or_default();
                let text = match one.tasks.len() {
                    1 => one_line(name, 20),
                    // A list, and its items.
                    n if second.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) => {
                        format!("{} × {}", one_line(name, 14), n - 1)
                    }
                    n => format!("{} and {} like it", one_line(name, 10), n - 1),
                };
                let font = FontId::proportional(13.0 * zoom);
                let from = pos2(at.left() + 28.0 * zoom, at.center().y);
                painter.text(from, Align2::LEFT_CENTER, text, font, ui.visuals().text_color());
            } else {
                painter.rect_filled(at.shrink(1.0), 3.0, colour);
            }
            let hit =
                response.interact_pointer_pos().or(response.hover_pos()).is_some_and(|pos| at.contains(pos));
            if hit && response.clicked() {
                clicked = Some(names().map(|task| task.id.to_string()).collect());
            }
        }
        label(ui, entry, &response);
        clicked
    }

    /// Has the drawing made anew where the run has other tasks than it shows.
    fn follow(&mut self, ctx: &egui::Context, entry: &Entry) {
        if let Some((structure, coming)) = &self.coming
            && let Ok(drawing) = coming.try_recv()
        {
            self.fit |= self.drawn.is_none();
            (self.drawing, self.drawn) = (drawing, Some(*structure));
            self.coming = None;
        }
        if self.drawn == Some(entry.structure()) || self.coming.is_some() {
            return;
        }
        let Some(live) = entry.live() else { return };
        let tasks = live.tasks().to_vec();
        let (tell, coming) = mpsc::channel();
        let ctx = ctx.clone();
        let spawned = std::thread::Builder::new().name("cis-layout".to_owned()).spawn(move || {
            let _ = tell.send(graph::draw(&tasks));
            ctx.request_repaint();
        });
        if spawned.is_ok() {
            self.coming = Some((entry.structure(), coming));
        }
    }

    fn steer(&mut self, ui: &Ui, rect: Rect, response: &egui::Response) {
        let focused = ui.ctx().memory(|memory| memory.focused().is_some());
        if !focused && ui.input(|input| input.key_pressed(Key::F) && input.modifiers.is_none()) {
            self.fit = true;
        }
        if std::mem::take(&mut self.fit) {
            let whole = vec2(self.drawing.size.0.max(1.0), self.drawing.size.1.max(1.0));
            let room = rect.size() - Vec2::splat(32.0);
            self.zoom = (room / whole).min_elem().clamp(ZOOM.0, 1.2);
            self.offset = (rect.size() - whole * self.zoom) / 2.0;
        }
        self.offset += response.drag_delta();
        if let Some(pointer) = response.hover_pos() {
            let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta(), input.zoom_delta()));
            let factor = if (pinch - 1.0).abs() > f32::EPSILON { pinch } else { (scroll.y / 300.0).exp() };
            let zoom = (self.zoom * factor).clamp(ZOOM.0, ZOOM.1);
            // What is under the pointer stays there.
            let under = pointer - rect.min - self.offset;
            self.offset -= under * (zoom / self.zoom - 1.0);
            self.zoom = zoom;
        }
    }
}

/// What the graph shows, for those who do not see it.
fn label(ui: &Ui, entry: &Entry, response: &egui::Response) {
    let run = entry.view();
    let counts: Vec<String> = run.counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let text =
        format!("Graph of {}: {}. The list of tasks shows each.", one_line(&run.dag, 60), counts.join(", "));
    let _ = ui;
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Canvas, true, &text));
}

fn curve(from: Pos2, to: Pos2, stroke: Stroke) -> egui::epaint::CubicBezierShape {
    let bend = ((to.x - from.x) / 2.0).max(8.0);
    let points = [from, from + vec2(bend, 0.0), to - vec2(bend, 0.0), to];
    egui::epaint::CubicBezierShape::from_points_stroke(points, false, egui::Color32::TRANSPARENT, stroke)
}

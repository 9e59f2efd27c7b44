//! The graph of a run: panned, zoomed, and laid out beside the frame loop.
//!
//! What is drawn of boxes and wires is kept as meshes until something of it changes; how much of each is drawn
//! depends on how near one is.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use cis_core::ids::TaskId;
use eframe::egui::{
    self, Align2, Color32, FontId, Key, Mesh, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, pos2, vec2,
};

use super::paint::{self, Pen};
use super::times::Times;
use crate::graph::{self, BOX, Drawing, End};
use crate::model::{Entry, Stand};
use crate::theme::{self, Mark};
use crate::widgets::{empty, one_line};

/// How far it is zoomed; less where all of it would not be seen otherwise.
const ZOOM: (f32, f32) = (0.02, 2.5);
/// Smaller, names are not written.
const READABLE: f32 = 0.45;
/// Smaller, boxes have no frames and wires are straight.
const FRAMED: f32 = 0.16;
/// So many wires are curved at most.
const CURVED_MAX: usize = 1_000;
/// And so many are drawn at all: of more than that nobody follows one, and a part shows how they go.
const WIRES_MAX: usize = 8_000;

/// Where it is looked at, and the drawing.
#[derive(Debug)]
pub(super) struct Canvas {
    drawing: Arc<Drawing>,
    /// Of which structure of the run it is, and what is being made.
    drawn: Option<u64>,
    coming: Option<(u64, mpsc::Receiver<Drawing>)>,
    zoom: f32,
    /// Of the drawing's left upper corner on the screen.
    offset: Vec2,
    /// The next frame shows the whole graph: the first frame, or at the user's request.
    fit: bool,
    /// The critical path is shown.
    pub(super) critical: bool,
    path: Path,
    looks: Kept<(u64, u64), Vec<Look>>,
    wires: Kept<View, Arc<Mesh>>,
    boxes: Kept<(View, u64), Arc<Mesh>>,
    marked: Kept<(View, u64), Arc<Mesh>>,
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            drawing: Arc::default(),
            drawn: None,
            coming: None,
            zoom: 1.0,
            offset: Vec2::ZERO,
            fit: true,
            critical: false,
            path: Path::default(),
            looks: Kept::default(),
            wires: Kept::default(),
            boxes: Kept::default(),
            marked: Kept::default(),
        }
    }
}

/// Something that was made, and what of.
#[derive(Debug)]
struct Kept<K, T>(Option<(K, T)>);

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: PartialEq, T> Kept<K, T> {
    /// It, made anew where it was made of something else.
    fn of(&mut self, key: K, make: impl FnOnce() -> T) -> &T {
        let kept = self.0.take().filter(|(of, _)| *of == key);
        &self.0.insert(kept.unwrap_or_else(|| (key, make()))).1
    }
}

/// Everything that says where things are on the screen.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    structure: u64,
    rect: Rect,
    zoom: f32,
    offset: Vec2,
    pixels: f32,
    dark: bool,
}

impl View {
    fn place(&self, at: (f32, f32)) -> Pos2 {
        self.rect.min + self.offset + vec2(at.0, at.1) * self.zoom
    }

    fn of_box(&self, at: (f32, f32)) -> Rect {
        Rect::from_min_size(self.place(at), vec2(BOX.0, BOX.1) * self.zoom)
    }
}

/// How a box stands.
#[derive(Debug, Clone, Copy)]
struct Look {
    mark: Mark,
    /// How many of its tasks have ended.
    ended: usize,
}

impl Look {
    /// What matters most of several is shown: what waits, what went wrong, what is at work, what is to come.
    fn of(stands: impl Iterator<Item = Stand>) -> Self {
        let rank = |mark: Mark| match mark {
            Mark::Waits => 9,
            Mark::Broken => 8,
            Mark::Failed => 7,
            Mark::Running => 6,
            Mark::Cancelled => 5,
            Mark::Queued => 4,
            Mark::Pending => 3,
            Mark::Paused => 2,
            Mark::Good => 1,
            Mark::Passed => 0,
        };
        let mut look: Option<Self> = None;
        for stand in stands {
            let mark = Mark::of_task(stand.state, stand.waits);
            let look = look.get_or_insert(Self { mark, ended: 0 });
            if rank(mark) > rank(look.mark) {
                look.mark = mark;
            }
            look.ended += usize::from(stand.state.is_terminal());
        }
        look.unwrap_or(Self { mark: Mark::Pending, ended: 0 })
    }
}

/// The critical path as boxes and wires.
#[derive(Debug, Default)]
struct Path {
    /// The drawing and the answer of the node that it belongs to.
    of: Option<(u64, u64)>,
    ends: Vec<End>,
    /// Changes with it.
    version: u64,
}

impl Canvas {
    /// Shows all of it with the next frame.
    pub(super) fn fit(&mut self) {
        self.fit = true;
    }

    /// Returns zoom and offset.
    #[cfg(test)]
    pub(super) fn looks(&self) -> (f32, Vec2) {
        (self.zoom, self.offset)
    }

    /// Returns the tasks in the boxes that are marked as the critical path.
    #[cfg(test)]
    pub(super) fn marked(&self) -> Vec<usize> {
        let boxes = self.path.ends.iter().filter_map(|end| match end {
            End::Box(at) => self.drawing.boxes.get(*at),
            End::Bend(_) => None,
        });
        boxes.flat_map(|one| one.tasks.clone()).collect()
    }

    /// Draws it. Gives the names of what was clicked: none of them beside the boxes, several of a box of many.
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        entry: &Entry,
        chosen: Option<&str>,
        times: &Times,
    ) -> Option<Vec<String>> {
        let live = entry.live()?;
        self.follow(ui.ctx(), entry);
        let Some(structure) = self.drawn else {
            empty(ui, "Drawing…", "The graph is laid out.");
            return None;
        };
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        self.steer(ui, rect, &response);
        self.find(entry, times);
        let view = View {
            structure,
            rect,
            zoom: self.zoom,
            offset: self.offset,
            pixels: ui.ctx().pixels_per_point(),
            dark: ui.visuals().dark_mode,
        };
        let painter = ui.painter().with_clip_rect(rect);
        let pen = || Pen::new(ui.ctx(), rect);
        let drawing = Arc::clone(&self.drawing);
        let line = theme::wire(ui.visuals().dark_mode);
        let wires = self.wires.of(view, || wires(&drawing, &view, line, pen()));
        painter.add(Shape::Mesh(Arc::clone(wires)));
        let stands = entry.stands();
        let looks = self.looks.of((structure, entry.version()), || {
            let of = |at: &usize| stands.get(*at).copied();
            drawing.boxes.iter().map(|one| Look::of(one.tasks.iter().filter_map(of))).collect()
        });
        let ground = ui.visuals().window_fill;
        let boxes = self.boxes.of((view, entry.version()), || boxes(&drawing, looks, &view, ground, pen()));
        painter.add(Shape::Mesh(Arc::clone(boxes)));
        if self.critical {
            let strong = ui.visuals().strong_text_color();
            let path = &self.path;
            let marked =
                self.marked.of((view, path.version), || marked(&drawing, &path.ends, &view, strong, pen()));
            painter.add(Shape::Mesh(Arc::clone(marked)));
        }
        let tasks = live.tasks();
        let name = |at: &usize| tasks.get(*at).map(|task| task.id.as_str());
        if view.zoom >= READABLE {
            for one in &drawing.boxes {
                let at = view.of_box(one.at);
                if rect.intersects(at) {
                    // Sizes by halves: each is drawn into the fonts' picture once.
                    let font = FontId::proportional((26.0 * view.zoom).round() / 2.0);
                    let from = pos2(at.left() + 28.0 * view.zoom, at.center().y);
                    let text = title(&one.tasks, name);
                    painter.text(from, Align2::LEFT_CENTER, text, font, ui.visuals().text_color());
                }
            }
        }
        let place = chosen.and_then(|chosen| live.place(chosen));
        if let Some(one) = place.and_then(|place| drawing.boxes.iter().find(|one| one.tasks.contains(&place)))
        {
            let stroke = Stroke::new(2.0, ui.visuals().selection.stroke.color);
            let at = view.of_box(one.at).expand(1.0);
            painter.rect_stroke(at, 6.0 * view.zoom, stroke, egui::StrokeKind::Outside);
        }
        label(entry, &response);
        let clicked = response.clicked();
        let pointer = response.interact_pointer_pos().filter(|_| clicked).or(response.hover_pos());
        let hit =
            pointer.and_then(|pos| drawing.boxes.iter().position(|one| view.of_box(one.at).contains(pos)));
        if clicked {
            let names = hit.map(|at| drawing.boxes[at].tasks.iter().filter_map(name).map(str::to_owned));
            return Some(names.map(Iterator::collect).unwrap_or_default());
        }
        if let Some(at) = hit {
            let tasks = &drawing.boxes[at].tasks;
            let said = match tasks.as_slice() {
                [one] => name(one).unwrap_or_default().to_owned(),
                _ => format!("{}: {} of {} ended", title(tasks, name), looks[at].ended, tasks.len()),
            };
            response.on_hover_text_at_pointer(said);
        }
        None
    }

    /// Has the drawing made anew where the run has other tasks than it shows.
    fn follow(&mut self, ctx: &egui::Context, entry: &Entry) {
        if let Some((structure, coming)) = &self.coming
            && let Ok(drawing) = coming.try_recv()
        {
            self.fit |= self.drawn.is_none();
            (self.drawing, self.drawn) = (Arc::new(drawing), Some(*structure));
            self.path = Path { version: self.path.version + 1, ..Path::default() };
            self.coming = None;
        }
        if self.drawn == Some(entry.structure()) || self.coming.is_some() {
            return;
        }
        let shape = Arc::clone(entry.shape());
        let (tell, coming) = mpsc::channel();
        let ctx = ctx.clone();
        let spawned = std::thread::Builder::new().name("cis-layout".to_owned()).spawn(move || {
            let _ = tell.send(graph::draw(&shape));
            ctx.request_repaint_after(Duration::from_millis(1));
        });
        if spawned.is_ok() {
            self.coming = Some((entry.structure(), coming));
        }
    }

    /// Finds the boxes and wires of the critical path, if it is shown.
    fn find(&mut self, entry: &Entry, times: &Times) {
        let (Some(live), Some(structure), true) = (entry.live(), self.drawn, self.critical) else { return };
        let of = Some((structure, times.version()));
        if structure != entry.structure() || self.path.of == of {
            return;
        }
        let Some(view) = times.view() else { return };
        let place = |task: &TaskId| live.place(task.as_str());
        let tasks: Vec<usize> =
            view.path.iter().filter_map(|step| step.task.as_ref().and_then(place)).collect();
        let ends = ends(&self.drawing, live.tasks().len(), &tasks);
        if ends != self.path.ends {
            self.path.version += 1;
        }
        (self.path.of, self.path.ends) = (of, ends);
    }

    fn steer(&mut self, ui: &Ui, rect: Rect, response: &egui::Response) {
        let focused = ui.ctx().memory(|memory| memory.focused().is_some());
        if !focused && ui.input(|input| input.key_pressed(Key::F) && input.modifiers.is_none()) {
            self.fit = true;
        }
        let whole = vec2(self.drawing.size.0.max(1.0), self.drawing.size.1.max(1.0));
        let all = ((rect.size() - Vec2::splat(32.0)) / whole).min_elem().max(1e-6);
        // A panel that opens beside the graph must not move it.
        if std::mem::take(&mut self.fit) {
            self.zoom = all.min(1.2);
            self.offset = (rect.size() - whole * self.zoom) / 2.0;
        }
        if response.dragged() {
            self.offset += response.drag_delta();
        }
        if let Some(pointer) = response.hover_pos() {
            let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta(), input.zoom_delta()));
            let factor = if (pinch - 1.0).abs() > f32::EPSILON { pinch } else { (scroll.y / 300.0).exp() };
            if (factor - 1.0).abs() > f32::EPSILON {
                let zoom = (self.zoom * factor).clamp(ZOOM.0.min(all), ZOOM.1);
                // What is under the pointer stays there.
                let under = pointer - rect.min - self.offset;
                self.offset -= under * (zoom / self.zoom - 1.0);
                self.zoom = zoom;
            }
        }
    }
}

/// What stands in a box.
fn title<'a>(tasks: &[usize], name: impl Fn(&usize) -> Option<&'a str>) -> String {
    let first = tasks.first().and_then(&name).unwrap_or_default();
    let second = tasks.get(1).and_then(&name).unwrap_or_default();
    match tasks.len() {
        1 => one_line(first, 20),
        // A list, and its items.
        n if second.strip_prefix(first).is_some_and(|rest| rest.starts_with('.')) => {
            format!("{} × {}", one_line(first, 14), n - 1)
        }
        n => format!("{} and {} like it", one_line(first, 10), n - 1),
    }
}

/// The ends that a path goes along: each of its boxes, and the bends between.
fn ends(drawing: &Drawing, tasks: usize, path: &[usize]) -> Vec<End> {
    let mut of = vec![usize::MAX; tasks];
    for (at, one) in drawing.boxes.iter().enumerate() {
        for task in &one.tasks {
            if let Some(of) = of.get_mut(*task) {
                *of = at;
            }
        }
    }
    let mut boxes: Vec<usize> =
        path.iter().filter_map(|task| of.get(*task).copied()).filter(|at| *at != usize::MAX).collect();
    boxes.dedup();
    let mut ends: Vec<End> = boxes.first().map(|first| End::Box(*first)).into_iter().collect();
    for pair in boxes.windows(2) {
        match drawing.edges.binary_search(&(pair[0], pair[1])) {
            Ok(edge) => ends.extend(drawing.way(edge).skip(1)),
            Err(_) => ends.push(End::Box(pair[1])),
        }
    }
    ends
}

/// All wires, as near as they are looked at.
fn wires(drawing: &Drawing, view: &View, colour: Color32, mut pen: Pen) -> Arc<Mesh> {
    let seen: Vec<(Pos2, Pos2, bool)> = drawing
        .wires
        .iter()
        .map(|(from, to)| {
            let (a, b) = (view.place(drawing.sides(*from).0), view.place(drawing.sides(*to).1));
            (a, b, matches!(to, End::Bend(_)))
        })
        .filter(|(a, b, bend)| {
            let end = if *bend { b.x + BOX.0 * view.zoom } else { b.x };
            let span = Rect::from_two_pos(*a, pos2(end, b.y));
            view.rect.intersects(span.expand(1.0))
        })
        .collect();
    let width = view.zoom.clamp(0.5, 1.5);
    let through = BOX.0 * view.zoom;
    if view.zoom >= FRAMED && seen.len() <= CURVED_MAX {
        for (a, b, bend) in seen {
            pen.curve(a, b, if bend { through } else { 0.0 }, Stroke::new(width, colour));
        }
    } else {
        // The more there are, the fainter.
        #[allow(clippy::cast_precision_loss, reason = "how strong a colour is")]
        let strength = (1_500.0 / seen.len().max(1) as f32).sqrt().clamp(0.3, 1.0);
        let colour = colour.gamma_multiply(strength);
        let every = seen.len().div_ceil(WIRES_MAX).max(1);
        for (a, b, bend) in seen.into_iter().step_by(every) {
            pen.line(a, b, width, colour);
            if bend && through > 2.0 {
                pen.line(b, b + vec2(through, 0.0), width, colour);
            }
        }
    }
    pen.done()
}

/// All boxes but what is written in them.
fn boxes(drawing: &Drawing, looks: &[Look], view: &View, ground: Color32, mut pen: Pen) -> Arc<Mesh> {
    let colours: Vec<Color32> = paint::MARKS.iter().map(|mark| mark.colour(view.dark)).collect();
    for (one, look) in drawing.boxes.iter().zip(looks) {
        let at = view.of_box(one.at);
        if !view.rect.intersects(at) {
            continue;
        }
        let colour = paint::MARKS.iter().position(|mark| *mark == look.mark).map_or(ground, |at| colours[at]);
        if view.zoom >= READABLE {
            pen.framed(at, 6.0 * view.zoom, ground, Stroke::new(1.0, colour));
            let side = 14.0 * view.zoom;
            let mark = Rect::from_center_size(pos2(at.left() + side, at.center().y), Vec2::splat(side));
            pen.mark(look.mark, mark, colour);
            if one.tasks.len() > 1 {
                #[allow(clippy::cast_precision_loss, reason = "a width on a screen")]
                let part = look.ended as f32 / one.tasks.len() as f32;
                let bar =
                    Rect::from_min_max(pos2(at.left() + 4.0, at.bottom() - 3.0), at.max - vec2(4.0, 1.0));
                let bar = bar.with_max_x(bar.left() + bar.width() * part);
                pen.filled(bar, Mark::Good.colour(view.dark));
            }
        } else {
            // What is smaller than a dot is one.
            let least = Vec2::splat(1.0);
            pen.filled(Rect::from_center_size(at.center(), at.size().max(least)), colour);
        }
    }
    pen.done()
}

/// The critical path.
fn marked(drawing: &Drawing, ends: &[End], view: &View, colour: Color32, mut pen: Pen) -> Arc<Mesh> {
    let width = (3.0 * view.zoom).clamp(1.5, 3.0);
    let stroke = Stroke::new(width, colour);
    let through = BOX.0 * view.zoom;
    for pair in ends.windows(2) {
        let (a, b) = (view.place(drawing.sides(pair[0]).0), view.place(drawing.sides(pair[1]).1));
        let bend = if matches!(pair[1], End::Bend(_)) { through } else { 0.0 };
        if !view.rect.expand(width).intersects(Rect::from_two_pos(a, b + vec2(bend, 0.0))) {
            continue;
        }
        if view.zoom >= FRAMED {
            pen.curve(a, b, bend, stroke);
        } else {
            pen.line(a, b, width, colour);
            pen.line(b, b + vec2(bend, 0.0), width, colour);
        }
    }
    for end in ends {
        let End::Box(at) = end else { continue };
        let at = view.of_box(drawing.boxes[*at].at);
        if !view.rect.intersects(at) {
            continue;
        }
        if view.zoom >= FRAMED {
            pen.framed(at.expand(1.0), 6.0 * view.zoom + 1.0, Color32::TRANSPARENT, stroke);
        } else {
            // Its colour stays seen inside.
            let least = at.size().max(Vec2::splat(1.0)) + Vec2::splat(2.0);
            let around = Rect::from_center_size(at.center(), least);
            pen.line(around.left_top(), around.right_top(), 1.0, colour);
            pen.line(around.left_bottom(), around.right_bottom(), 1.0, colour);
        }
    }
    pen.done()
}

/// What the graph shows, for those who do not see it.
fn label(entry: &Entry, response: &egui::Response) {
    response.widget_info(|| {
        let run = entry.view();
        let counts: Vec<String> = run.counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let dag = one_line(&run.dag, 200);
        let text = format!("Graph of {dag}: {}. The list of tasks shows each.", counts.join(", "));
        egui::WidgetInfo::labeled(egui::Role::Canvas, true, text)
    });
}

//! Shapes as triangles, collected into one mesh: it is kept, and given to every frame as it is.

use std::sync::Arc;

use eframe::egui::epaint::{CubicBezierShape, RectShape, Tessellator};
use eframe::egui::{self, Color32, Mesh, Pos2, Rect, Shape, Stroke, StrokeKind, vec2};

use crate::theme::Mark;
use crate::widgets::mark_shapes;

/// All marks.
pub(super) const MARKS: [Mark; 10] = [
    Mark::Pending,
    Mark::Queued,
    Mark::Running,
    Mark::Waits,
    Mark::Good,
    Mark::Passed,
    Mark::Cancelled,
    Mark::Failed,
    Mark::Broken,
    Mark::Paused,
];

/// A curve has a corner each so many points.
const STEP: f32 = 12.0;

/// Draws into a mesh.
pub(super) struct Pen {
    tessellator: Tessellator,
    mesh: Mesh,
    seen: Rect,
}

impl Pen {
    /// One for what is seen through `rect`.
    pub(super) fn new(ctx: &egui::Context, rect: Rect) -> Self {
        let options = ctx.tessellation_options(|options| *options);
        // Prepared discs lie in the fonts' picture, which may change: circles are made of triangles.
        let mut tessellator = Tessellator::new(ctx.pixels_per_point(), options, [1, 1], Vec::new());
        tessellator.set_clip_rect(rect);
        Self { tessellator, mesh: Mesh::default(), seen: rect }
    }

    fn add(&mut self, shape: Shape) {
        self.tessellator.tessellate_shape(shape, &mut self.mesh);
    }

    /// A bend from left to right, and `through` further.
    pub(super) fn curve(&mut self, from: Pos2, to: Pos2, through: f32, stroke: Stroke) {
        let end = to + vec2(through, 0.0);
        if (from.y - to.y).abs() < 0.5 {
            return self.add(Shape::line_segment([from, end], stroke));
        }
        let bend = ((to.x - from.x) / 2.0).max(8.0);
        let points = [from, from + vec2(bend, 0.0), to - vec2(bend, 0.0), to];
        let curve = CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, stroke);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
        let steps = ((to - from).length() / STEP).clamp(6.0, 24.0) as u16;
        let points = (0..=steps).map(|n| curve.sample(f32::from(n) / f32::from(steps)));
        let last = (through > 0.0).then_some(end);
        // Of what goes far only the part that is seen is made.
        let seen = self.seen.expand(stroke.width);
        let mut part: Vec<Pos2> = Vec::new();
        let mut before: Option<Pos2> = None;
        for point in points.chain(last) {
            if let Some(before) = before {
                if seen.intersects(Rect::from_two_pos(before, point)) {
                    if part.is_empty() {
                        part.push(before);
                    }
                    part.push(point);
                } else if !part.is_empty() {
                    self.add(Shape::line(std::mem::take(&mut part), stroke));
                }
            }
            before = Some(point);
        }
        if !part.is_empty() {
            self.add(Shape::line(part, stroke));
        }
    }

    /// A straight line, as little of it as can be.
    pub(super) fn line(&mut self, from: Pos2, to: Pos2, width: f32, colour: Color32) {
        let along = to - from;
        if along.length_sq() < 0.01 {
            return;
        }
        let aside = along.normalized().rot90() * (width.max(1.0) / 2.0);
        let first = u32::try_from(self.mesh.vertices.len()).unwrap_or(u32::MAX);
        for at in [from + aside, from - aside, to + aside, to - aside] {
            self.mesh.colored_vertex(at, colour);
        }
        self.mesh.add_triangle(first, first + 1, first + 2);
        self.mesh.add_triangle(first + 2, first + 1, first + 3);
    }

    /// A rectangle without a frame.
    pub(super) fn filled(&mut self, rect: Rect, colour: Color32) {
        self.mesh.add_colored_rect(rect, colour);
    }

    /// A rectangle with one.
    pub(super) fn framed(&mut self, rect: Rect, radius: f32, ground: Color32, stroke: Stroke) {
        self.add(Shape::Rect(RectShape::new(rect, radius, ground, stroke, StrokeKind::Inside)));
    }

    /// A mark.
    pub(super) fn mark(&mut self, mark: Mark, rect: Rect, colour: Color32) {
        for shape in mark_shapes(mark, rect, colour) {
            self.add(shape);
        }
    }

    /// All of it.
    pub(super) fn done(self) -> Arc<Mesh> {
        Arc::new(self.mesh)
    }
}

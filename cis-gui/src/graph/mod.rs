//! A run's tasks as a layered drawing: what is folded together, where each box stands, and how wires go
//! between them. Pure.

mod layers;
mod order;
mod places;
mod shape;

use std::collections::BTreeMap;

pub use shape::Shape;

/// So many tasks with the same needs and the same dependents are one box.
const FOLDED_MIN: usize = 7;
/// Size of a box.
pub const BOX: (f32, f32) = (176.0, 34.0);
/// Room between boxes.
const GAP: f32 = 26.0;
/// Room between layers.
const LAYER_GAP: f32 = 70.0;
/// Parts that do not hang together stand below each other, unless that is higher than this.
const STACKED_MAX: f32 = 1_600.0;
/// Otherwise side by side, in so many times the width of a square.
const WIDER: f32 = 1.5;

/// A box.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxed {
    /// Places of its tasks in the run; of a folded box several.
    pub tasks: Vec<usize>,
    /// Its left upper corner.
    pub at: (f32, f32),
}

/// An end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A box, by its place.
    Box(usize),
    /// A bend, by its place.
    Bend(usize),
}

/// A drawing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawing {
    /// Its boxes.
    pub boxes: Vec<Boxed>,
    /// From a box to one that needs it, by their places; sorted.
    pub edges: Vec<(usize, usize)>,
    /// For each edge the bends that it goes through: from, and up to.
    pub through: Vec<(usize, usize)>,
    /// Where edges that pass other layers do so: as wide as a box, this is the left end's height.
    pub bends: Vec<(f32, f32)>,
    /// From an end to the next one: what several edges have in common is there once.
    pub wires: Vec<(End, End)>,
    /// Width and height of all.
    pub size: (f32, f32),
}

impl Drawing {
    /// The ends that an edge goes along.
    pub fn way(&self, edge: usize) -> impl Iterator<Item = End> + '_ {
        let ((from, to), (first, end)) = (self.edges[edge], self.through[edge]);
        std::iter::once(End::Box(from))
            .chain((first..end).map(End::Bend))
            .chain(std::iter::once(End::Box(to)))
    }

    /// Where a wire leaves an end, and where one comes to it.
    #[must_use]
    pub fn sides(&self, end: End) -> ((f32, f32), (f32, f32)) {
        let (x, y) = match end {
            End::Box(at) => (self.boxes[at].at.0, self.boxes[at].at.1 + BOX.1 / 2.0),
            End::Bend(at) => self.bends[at],
        };
        ((x + BOX.0, y), (x, y))
    }
}

/// Draws tasks. Those that stand at the same place of the DAG are one box where they are many.
#[must_use]
pub fn draw(shape: &Shape) -> Drawing {
    let folded = fold(shape);
    let mut of = vec![0; shape.len()];
    for (at, members) in folded.iter().enumerate() {
        for task in members {
            of[*task] = at;
        }
    }
    let mut edges: Vec<(usize, usize)> = shape
        .needs
        .iter()
        .enumerate()
        .flat_map(|(task, needs)| needs.iter().map(move |need| (*need, task)))
        .map(|(need, task)| (of[need], of[task]))
        .filter(|(need, task)| need != task)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    lay_out(folded, edges)
}

/// Items with their list, and tasks with the same needs and dependents where they are many; in the order of the file.
fn fold(shape: &Shape) -> Vec<Vec<usize>> {
    let Shape { needs, list: items } = shape;
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (task, needs) in needs.iter().enumerate() {
        for need in needs {
            wanted_by[*need].push(task);
        }
    }
    let mut twins: BTreeMap<(&[usize], &[usize]), Vec<usize>> = BTreeMap::new();
    let mut lists: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (item, list) in items.iter().enumerate() {
        if let Some(list) = list {
            lists.entry(*list).or_insert_with(|| vec![*list]).push(item);
        }
    }
    for task in 0..needs.len() {
        if items[task].is_none() && !lists.contains_key(&task) {
            twins.entry((&needs[task], &wanted_by[task])).or_default().push(task);
        }
    }
    let mut folded: Vec<Vec<usize>> = lists.into_values().collect();
    for members in twins.into_values() {
        if members.len() >= FOLDED_MIN {
            folded.push(members);
        } else {
            folded.extend(members.into_iter().map(|task| vec![task]));
        }
    }
    folded.sort_unstable_by_key(|members| members[0]);
    folded
}

/// Gives every box its place, from left to right in the order of needs, and every edge its way.
fn lay_out(folded: Vec<Vec<usize>>, edges: Vec<(usize, usize)>) -> Drawing {
    let parts = layers::layer(folded.len(), &edges);
    let placed: Vec<_> = parts
        .parts
        .into_iter()
        .map(|mut part| {
            order::order(&mut part);
            let (heights, height) = places::heights(&part);
            (part, heights, height)
        })
        .collect();
    let mut drawing = Drawing {
        boxes: folded.into_iter().map(|tasks| Boxed { tasks, at: (0.0, 0.0) }).collect(),
        through: vec![(0, 0); edges.len()],
        edges,
        bends: vec![(0.0, 0.0); parts.bends],
        ..Drawing::default()
    };
    let sizes: Vec<(f32, f32)> =
        placed.iter().map(|(part, _, height)| (width(part.layers.len()), *height)).collect();
    let corners = packed(&sizes);
    for ((part, heights, height), corner) in placed.iter().zip(corners) {
        for (vertex, end) in part.ends.iter().enumerate() {
            let x = corner.0 + width(part.layer_of[vertex] + 1) - BOX.0;
            let y = corner.1 + heights[vertex];
            match end {
                End::Box(at) => drawing.boxes[*at].at = (x, y - BOX.1 / 2.0),
                End::Bend(at) => drawing.bends[*at] = (x, y),
            }
        }
        drawing.size.0 = drawing.size.0.max(corner.0 + width(part.layers.len()));
        drawing.size.1 = drawing.size.1.max(corner.1 + height);
    }
    // A source's bends are numbered from layer to layer: all that goes out of it goes along them.
    for (edge, (from, to)) in drawing.edges.iter().enumerate() {
        let (first, chain) = parts.chains[*from];
        let passed = parts.layer_of[*to].saturating_sub(parts.layer_of[*from] + 1).min(chain);
        // Where there is no chain for all of it the edge goes straight.
        let passed = if passed + parts.layer_of[*from] + 1 == parts.layer_of[*to] { passed } else { 0 };
        drawing.through[edge] = (first, first + passed);
        let last = if passed > 0 { End::Bend(first + passed - 1) } else { End::Box(*from) };
        drawing.wires.push((last, End::Box(*to)));
    }
    for (from, (first, chain)) in parts.chains.iter().enumerate() {
        let ends = std::iter::once(End::Box(from)).chain((*first..first + chain).map(End::Bend));
        let ends: Vec<End> = ends.collect();
        drawing.wires.extend(ends.windows(2).map(|pair| (pair[0], pair[1])));
    }
    drawing
}

/// So many layers are so wide.
#[allow(clippy::cast_precision_loss, reason = "places on a screen")]
fn width(layers: usize) -> f32 {
    layers as f32 * (BOX.0 + LAYER_GAP) - LAYER_GAP
}

/// Corners of parts of these sizes: below each other, or in rows where that would be too high.
fn packed(sizes: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let most = sizes.iter().map(|size| size.0).fold(0.0, f32::max);
    let high: f32 = sizes.iter().map(|size| size.1 + GAP).sum();
    let area: f32 = sizes.iter().map(|size| (size.0 + LAYER_GAP) * (size.1 + GAP)).sum();
    let room = if high <= STACKED_MAX { 0.0 } else { most.max(area.sqrt() * WIDER) };
    let (mut x, mut top, mut bottom) = (0.0_f32, 0.0_f32, 0.0_f32);
    sizes
        .iter()
        .map(|size| {
            if x > 0.0 && x + size.0 > room {
                (x, top) = (0.0, bottom + GAP);
            }
            let corner = (x, top);
            x += size.0 + LAYER_GAP;
            bottom = bottom.max(top + size.1);
            corner
        })
        .collect()
}

#[cfg(test)]
mod tests;

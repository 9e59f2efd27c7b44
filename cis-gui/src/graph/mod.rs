//! A run's tasks as a layered drawing: what is folded together, and where each box stands. Pure.

use std::collections::BTreeMap;

use cis_core::api::TaskView;
use rust_sugiyama::configure::Config;

/// So many tasks with the same needs and the same dependents are one box.
const FOLDED_MIN: usize = 7;
/// Size of a box.
pub const BOX: (f32, f32) = (176.0, 34.0);
/// Room between boxes.
const GAP: f64 = 26.0;
/// Room between layers.
const LAYER_GAP: f32 = 70.0;

/// A box.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxed {
    /// Places of its tasks in the run; of a folded box several.
    pub tasks: Vec<usize>,
    /// Its left upper corner.
    pub at: (f32, f32),
}

/// A drawing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawing {
    /// Its boxes.
    pub boxes: Vec<Boxed>,
    /// From a box to one that needs it, by their places.
    pub edges: Vec<(usize, usize)>,
    /// Width and height of all.
    pub size: (f32, f32),
}

/// Draws tasks. Those that stand at the same place of the DAG are one box where they are many.
#[must_use]
pub fn draw(tasks: &[TaskView]) -> Drawing {
    let index: BTreeMap<&str, usize> =
        tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = tasks
        .iter()
        .map(|task| {
            let mut needs: Vec<usize> =
                task.needs.iter().filter_map(|need| index.get(need.as_str())).copied().collect();
            needs.sort_unstable();
            needs
        })
        .collect();
    let folded = fold(&needs, &items(tasks, &index));
    let mut of = vec![0; tasks.len()];
    for (at, members) in folded.iter().enumerate() {
        for task in members {
            of[*task] = at;
        }
    }
    let mut edges: Vec<(usize, usize)> = needs
        .iter()
        .enumerate()
        .flat_map(|(task, needs)| needs.iter().map(move |need| (*need, task)))
        .map(|(need, task)| (of[need], of[task]))
        .filter(|(need, task)| need != task)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let (places, size) = layout(folded.len(), &edges);
    let boxes = folded.into_iter().zip(places).map(|(tasks, at)| Boxed { tasks, at }).collect();
    Drawing { boxes, edges, size }
}

/// For each task the one of whose list it is an item (`deploy.1` of `deploy`), where it is one.
fn items(tasks: &[TaskView], index: &BTreeMap<&str, usize>) -> Vec<Option<usize>> {
    let of = |task: &TaskView| {
        let (stem, number) = task.id.as_str().rsplit_once('.')?;
        number.parse::<u32>().ok()?;
        index.get(stem).copied()
    };
    tasks.iter().map(of).collect()
}

/// Items with their list, and tasks with the same needs and dependents where they are many; in the order of the file.
fn fold(needs: &[Vec<usize>], items: &[Option<usize>]) -> Vec<Vec<usize>> {
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

/// Where boxes stand, from left to right in the order of needs, and how large the whole is.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "places on a screen")]
fn layout(boxes: usize, edges: &[(usize, usize)]) -> (Vec<(f32, f32)>, (f32, f32)) {
    let id = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    // The library draws from top to bottom.
    let vertices: Vec<(u32, (f64, f64))> =
        (0..boxes).map(|at| (id(at), (f64::from(BOX.1), f64::from(BOX.0)))).collect();
    let arrows: Vec<(u32, u32)> = edges.iter().map(|(from, to)| (id(*from), id(*to))).collect();
    let config = Config { vertex_spacing: GAP, ..Config::default() };
    let mut places = vec![(0.0, 0.0); boxes];
    let mut below = 0.0;
    let mut size = (0.0_f32, 0.0_f32);
    for (part, _, _) in rust_sugiyama::from_vertices_and_edges(&vertices, &arrows, &config) {
        let mut layers: Vec<f64> = part.iter().map(|(_, (_, y))| *y).collect();
        layers.sort_by(f64::total_cmp);
        layers.dedup_by(|a, b| (*a - *b).abs() < 1.0);
        let top = part.iter().map(|(_, (x, _))| *x).fold(f64::INFINITY, f64::min);
        // Needs come first, whichever way the library counts.
        let layer_of = |y: f64| layers.iter().position(|layer| (layer - y).abs() < 1.0).unwrap_or(0);
        let index: BTreeMap<usize, usize> = part.iter().map(|(at, (_, y))| (*at, layer_of(*y))).collect();
        let backwards = edges
            .iter()
            .filter_map(|(from, to)| Some((index.get(from)?, index.get(to)?)))
            .any(|(from, to)| from > to);
        let mut bottom: f32 = below;
        for (at, (x, y)) in &part {
            let layer = layer_of(*y);
            let layer = if backwards { layers.len() - 1 - layer } else { layer };
            let place = (layer as f32 * (BOX.0 + LAYER_GAP), below + (x - top) as f32);
            places[*at] = place;
            bottom = bottom.max(place.1 + BOX.1);
            size.0 = size.0.max(place.0 + BOX.0);
        }
        below = bottom + GAP as f32;
        size.1 = size.1.max(bottom);
    }
    (places, size)
}

#[cfg(test)]
mod tests;

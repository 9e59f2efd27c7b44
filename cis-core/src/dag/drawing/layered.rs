//! Places of tasks in layers: each to the right of all that it needs, in an order within its layer that
//! lets few lines cross (barycentres, swept to and fro).

use std::collections::BTreeMap;

use super::Net;

/// Lines that pass layers take a place in each; more of both together are not laid out.
const PLACES_MAX: usize = 50_000;
/// So often the order is improved, to the right and to the left.
const SWEEPS: usize = 12;
/// So often places move towards their neighbours.
const PULLS: usize = 24;

/// It cannot be drawn in a time and size that anybody wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} tasks with these needs make too large a drawing: `cis dag graph` without --svg lists them")]
pub struct TooLarge {
    /// How many there are.
    pub tasks: usize,
}

/// A task, or the place where a line passes a layer.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// None: a line passes.
    pub(super) task: Option<usize>,
    pub(super) layer: usize,
    /// From the top, in rows.
    pub(super) row: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// The layer of each task, from 0.
#[must_use]
pub fn layers(net: &Net) -> Vec<usize> {
    let mut layers = vec![0; net.len()];
    for task in &net.order {
        layers[*task] = net.needs(*task).iter().map(|need| layers[*need] + 1).max().unwrap_or(0);
    }
    layers
}

/// All places, those of tasks first and in their order; and each line as the places that it leads through.
pub(super) fn places(net: &Net) -> Result<(Vec<Place>, Vec<Vec<usize>>), TooLarge> {
    let layers = layers(net);
    let too_large = TooLarge { tasks: net.len() };
    let place = |task, layer| Place { task, layer, row: 0.0, left: Vec::new(), right: Vec::new() };
    let mut places: Vec<Place> = layers.iter().enumerate().map(|(n, layer)| place(Some(n), *layer)).collect();
    let mut lines = Vec::new();
    for task in 0..net.len() {
        for need in net.needs(task) {
            let mut line = vec![*need];
            for layer in layers[*need] + 1..layers[task] {
                places.push(place(None, layer));
                line.push(places.len() - 1);
            }
            line.push(task);
            for pair in line.windows(2) {
                places[pair[0]].right.push(pair[1]);
                places[pair[1]].left.push(pair[0]);
            }
            lines.push(line);
            if places.len() + lines.len() > PLACES_MAX {
                return Err(too_large);
            }
        }
    }
    let rows = improved(&places);
    spread(&mut places, &rows);
    Ok((places, lines))
}

/// Places of each layer, from the top.
type Rows = Vec<Vec<usize>>;

fn improved(places: &[Place]) -> Rows {
    let depth = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut rows: Rows = vec![Vec::new(); depth];
    for (n, place) in places.iter().enumerate() {
        rows[place.layer].push(n);
    }
    let mut best = (crossings(places, &rows), rows.clone());
    for sweep in 0..SWEEPS {
        let to_right = sweep % 2 == 0;
        for step in 1..depth {
            let layer = if to_right { step } else { depth - 1 - step };
            let beside = if to_right { layer - 1 } else { layer + 1 };
            let at = index(&rows[beside]);
            let own = index(&rows[layer]);
            let centre = |place: &usize| {
                let neighbours = if to_right { &places[*place].left } else { &places[*place].right };
                mean(neighbours.iter().filter_map(|one| at.get(one)).map(|at| *at as f64))
                    // Without neighbours there it stays where it is, as far as that goes.
                    .unwrap_or_else(|| own.get(place).map_or(0.0, |at| *at as f64))
            };
            let mut sorted: Vec<(f64, usize)> =
                rows[layer].iter().map(|place| (centre(place), *place)).collect();
            sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
            rows[layer] = sorted.into_iter().map(|(_, place)| place).collect();
        }
        let count = crossings(places, &rows);
        if count < best.0 {
            best = (count, rows.clone());
        }
    }
    best.1
}

fn index(row: &[usize]) -> BTreeMap<usize, usize> {
    row.iter().enumerate().map(|(at, place)| (*place, at)).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    (count > 0.0).then(|| sum / count)
}

/// How many lines cross: inversions, counted with a tree of sums (Barth, Mutzel and Jünger, 2004).
pub(super) fn crossings(places: &[Place], rows: &Rows) -> usize {
    let mut count = 0;
    for pair in rows.windows(2) {
        let at = index(&pair[1]);
        let mut sums = vec![0usize; pair[1].len() + 1];
        let mut seen = 0;
        for place in &pair[0] {
            let mut ends: Vec<usize> =
                places[*place].right.iter().filter_map(|right| at.get(right).copied()).collect();
            ends.sort_unstable();
            for end in &ends {
                // Those that were seen and end further down.
                let mut upto = 0;
                let mut n = end + 1;
                while n > 0 {
                    upto += sums[n];
                    n -= n & n.wrapping_neg();
                }
                count += seen - upto;
            }
            for end in ends {
                seen += 1;
                let mut n = end + 1;
                while n < sums.len() {
                    sums[n] += 1;
                    n += n & n.wrapping_neg();
                }
            }
        }
    }
    count
}

/// Gives each place a row: near its neighbours, in its order, and no two closer than one row.
fn spread(places: &mut [Place], rows: &Rows) {
    for row in rows {
        for (at, place) in row.iter().enumerate() {
            places[*place].row = at as f64;
        }
    }
    for pull in 0..PULLS {
        let mut order: Vec<&Vec<usize>> = rows.iter().collect();
        if pull % 2 == 1 {
            order.reverse();
        }
        for row in order {
            let wanted: Vec<f64> = row
                .iter()
                .map(|place| {
                    let place = &places[*place];
                    let beside = place.left.iter().chain(&place.right).map(|one| places[*one].row);
                    mean(beside).unwrap_or(place.row)
                })
                .collect();
            for (place, at) in row.iter().zip(apart(&wanted)) {
                places[*place].row = at;
            }
        }
    }
    let top = places.iter().map(|place| place.row).fold(f64::INFINITY, f64::min);
    for place in places {
        place.row -= top;
    }
}

/// The nearest values that grow by one at least: neighbours that would be too close share their mean
/// (pool adjacent violators).
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, f64)> = Vec::new();
    for (at, value) in wanted.iter().enumerate() {
        let mut block = (value - at as f64, 1.0);
        while let Some(last) = blocks.last().filter(|last| last.0 > block.0) {
            let count = last.1 + block.1;
            block = ((last.0 * last.1 + block.0 * block.1) / count, count);
            blocks.pop();
        }
        blocks.push(block);
    }
    let mut out = Vec::with_capacity(wanted.len());
    for (value, count) in blocks {
        let mut left = count;
        while left > 0.5 {
            out.push(value + out.len() as f64);
            left -= 1.0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::net;
    use super::*;

    #[test]
    fn lines_do_not_cross_where_they_need_not() {
        let (net, _) = net("a b c x<c y<b z<a end<x,y,z");
        assert_eq!(layers(&net), [0, 0, 0, 1, 1, 1, 2]);
        let (places, lines) = places(&net).unwrap();
        assert_eq!(crossings(&places, &improved(&places)), 0);
        assert_eq!(lines.len(), 6);
        assert!(lines.iter().all(|line| line.len() == 2));
    }

    #[test]
    fn a_line_over_layers_has_a_place_in_each() {
        let (net, _) = net("a b<a c<b d<c,a");
        let (places, lines) = places(&net).unwrap();
        let long = lines.iter().find(|line| line.len() > 2).unwrap();
        let layers: Vec<usize> = long.iter().map(|place| places[*place].layer).collect();
        assert_eq!(layers, [0, 1, 2, 3]);
    }

    #[test]
    fn what_is_too_large_is_said() {
        let names: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
        let needs =
            |n: usize| if n == 0 { Vec::new() } else { vec![names[n - 1].as_str(), names[0].as_str()] };
        let net = Net::new((0..2000).map(|n| (names[n].as_str(), needs(n))));
        assert_eq!(places(&net).unwrap_err(), TooLarge { tasks: 2000 });
    }

    proptest! {
        #[test]
        fn rows_of_a_layer_are_apart_and_layers_go_to_the_right(
            edges in prop::collection::vec((0usize..25, 0usize..25), 0..60),
        ) {
            let names: Vec<String> = (0..25).map(|n| n.to_string()).collect();
            let needs = |task: usize| {
                edges.iter().filter(|(from, to)| *to == task && from < to).map(|(from, _)| names[*from].as_str()).collect()
            };
            let net = Net::new((0..25).map(|task| (names[task].as_str(), needs(task))));
            let (places, lines) = places(&net).unwrap();
            for line in lines {
                prop_assert!(line.windows(2).all(|pair| places[pair[0]].layer + 1 == places[pair[1]].layer));
            }
            let mut by_layer: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
            for place in &places {
                prop_assert!(place.row >= 0.0);
                by_layer.entry(place.layer).or_default().push(place.row);
            }
            for rows in by_layer.values_mut() {
                rows.sort_by(f64::total_cmp);
                prop_assert!(rows.windows(2).all(|pair| pair[1] - pair[0] > 0.999));
            }
        }
    }
}

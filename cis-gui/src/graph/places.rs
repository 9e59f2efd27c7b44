//! How high everything in a layer stands: as near to its neighbours as its order and size allow.

use super::layers::Part;
use super::{BOX, End, GAP};

/// Height of a bend, and room beside it.
const BEND: f32 = 4.0;
const BEND_GAP: f32 = 12.0;
/// Rounds over all layers, for so many vertices.
const ROUNDS: &[(usize, usize)] = &[(3_000, 24), (usize::MAX, 10)];
/// What one without neighbours on this side pulls to where it is.
const STAYS: f64 = 0.05;

/// The middle of every vertex above 0, and how high all of it is.
#[allow(clippy::cast_possible_truncation, reason = "places on a screen")]
pub(super) fn heights(part: &Part) -> (Vec<f32>, f32) {
    let mut y = vec![0.0_f64; part.ends.len()];
    for layer in &part.layers {
        let mut at = 0.0;
        for (n, one) in layer.iter().enumerate() {
            at += n.checked_sub(1).map_or(0.0, |before| apart(part, layer[before], *one));
            y[*one] = at;
        }
        // All layers around one line.
        for one in layer {
            y[*one] -= at / 2.0;
        }
    }
    let rounds = ROUNDS.iter().find(|(most, _)| y.len() <= *most).map_or(1, |(_, rounds)| *rounds);
    let mut solver = Solver::default();
    for round in 0..rounds {
        let both = round + 2 >= rounds;
        if round % 2 == 0 {
            for layer in &part.layers {
                solver.place(part, layer, &mut y, true, both);
            }
        } else {
            for layer in part.layers.iter().rev() {
                solver.place(part, layer, &mut y, both, true);
            }
        }
    }
    let top = part.ends.iter().zip(&y).map(|(end, y)| y - f64::from(height(*end)) / 2.0);
    let top = top.fold(f64::INFINITY, f64::min);
    let heights: Vec<f32> = y.iter().map(|y| (y - top) as f32).collect();
    let bottom = part.ends.iter().zip(&heights).map(|(end, y)| y + height(*end) / 2.0).fold(0.0, f32::max);
    (heights, bottom)
}

fn height(end: End) -> f32 {
    match end {
        End::Box(_) => BOX.1,
        End::Bend(_) => BEND,
    }
}

/// How far the middles of two neighbours are apart at least.
fn apart(part: &Part, above: usize, below: usize) -> f64 {
    let (above, below) = (part.ends[above], part.ends[below]);
    let gap = match (above, below) {
        (End::Box(_), End::Box(_)) => GAP,
        _ => BEND_GAP,
    };
    f64::from(gap + height(above).midpoint(height(below)))
}

/// How much an edge wants to be straight: that of long ones most.
fn weight(a: End, b: End) -> f64 {
    match (a, b) {
        (End::Box(_), End::Box(_)) => 1.0,
        (End::Bend(_), End::Bend(_)) => 8.0,
        _ => 2.0,
    }
}

/// What stands together because there is no room between.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Sum of weights, and of weighted places without the room between.
    weight: f64,
    sum: f64,
    members: usize,
}

impl Block {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }
}

#[derive(Debug, Default)]
struct Solver {
    blocks: Vec<Block>,
    /// Room between the layer's first and each.
    room: Vec<f64>,
}

impl Solver {
    /// Places a layer's vertices as near as can be to their neighbours (the least squares of an order that is
    /// kept: neighbours that would overlap are joined, and stand around their common middle).
    fn place(&mut self, part: &Part, layer: &[usize], y: &mut [f64], before: bool, after: bool) {
        self.blocks.clear();
        self.room.clear();
        let mut room = 0.0;
        for (n, one) in layer.iter().enumerate() {
            room += n.checked_sub(1).map_or(0.0, |above| apart(part, layer[above], *one));
            self.room.push(room);
            let none: &[usize] = &[];
            let sides = [
                if before { &part.before[*one] } else { none },
                if after { &part.after[*one] } else { none },
            ];
            let (mut sum, mut all) = (STAYS * y[*one], STAYS);
            for other in sides.into_iter().flatten() {
                let weight = weight(part.ends[*one], part.ends[*other]);
                sum += weight * y[*other];
                all += weight;
            }
            let mut block = Block { weight: all, sum: sum - all * room, members: 1 };
            while let Some(above) = self.blocks.pop_if(|above| above.mean() >= block.mean()) {
                block.weight += above.weight;
                block.sum += above.sum;
                block.members += above.members;
            }
            self.blocks.push(block);
        }
        let mut at = 0;
        for block in &self.blocks {
            for _ in 0..block.members {
                y[layer[at]] = block.mean() + self.room[at];
                at += 1;
            }
        }
    }
}

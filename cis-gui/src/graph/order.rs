//! The order within layers: few edges cross.

use super::layers::Part;

/// Rounds over all layers, for so many edges between neighbours.
const ROUNDS: &[(usize, usize)] = &[(3_000, 24), (30_000, 10), (usize::MAX, 5)];
/// So few edges are looked at pair by pair as well.
const PAIRS_MAX: usize = 3_000;
/// And so many times.
const PAIR_ROUNDS: usize = 6;

/// Orders every layer.
pub(super) fn order(part: &mut Part) {
    if part.layers.len() < 2 {
        return;
    }
    first(part);
    let edges: usize = part.after.iter().map(Vec::len).sum();
    let rounds = ROUNDS.iter().find(|(most, _)| edges <= *most).map_or(1, |(_, rounds)| *rounds);
    let mut place = places(part);
    let mut best = (crossings(part, &place), part.layers.clone());
    let mut worse = 0;
    for round in 0..rounds {
        if best.0 == 0 || worse > 4 {
            break;
        }
        sweep(part, &mut place, round % 2 == 0);
        if edges <= PAIRS_MAX {
            swap_pairs(part, &mut place);
        }
        let now = crossings(part, &place);
        if now < best.0 {
            best = (now, part.layers.clone());
            worse = 0;
        } else {
            worse += 1;
        }
    }
    part.layers = best.1;
}

/// As one comes to them from the first layer on: a tree has no crossings that way.
fn first(part: &mut Part) {
    let mut seen = vec![false; part.ends.len()];
    let mut layers = vec![Vec::new(); part.layers.len()];
    for start in part.layers.iter().flatten() {
        if seen[*start] || !part.before[*start].is_empty() {
            continue;
        }
        let mut stack = vec![*start];
        while let Some(one) = stack.pop() {
            if std::mem::replace(&mut seen[one], true) {
                continue;
            }
            layers[part.layer_of[one]].push(one);
            stack.extend(part.after[one].iter().rev().filter(|next| !seen[**next]));
        }
    }
    part.layers = layers;
}

fn places(part: &Part) -> Vec<usize> {
    let mut place = vec![0; part.ends.len()];
    for layer in &part.layers {
        for (at, one) in layer.iter().enumerate() {
            place[*one] = at;
        }
    }
    place
}

/// Puts every vertex where its neighbours before it (or after it) are on the whole.
#[allow(clippy::cast_precision_loss, reason = "a mean of places")]
fn sweep(part: &mut Part, place: &mut [usize], forwards: bool) {
    let count = part.layers.len();
    let mut keyed: Vec<(f32, usize)> = Vec::new();
    for step in 1..count {
        let at = if forwards { step } else { count - 1 - step };
        let neighbours = if forwards { &part.before } else { &part.after };
        keyed.clear();
        keyed.extend(part.layers[at].iter().map(|one| {
            let near = &neighbours[*one];
            let sum: usize = near.iter().map(|other| place[*other]).sum();
            let mean = if near.is_empty() { place[*one] as f32 } else { sum as f32 / near.len() as f32 };
            (mean, *one)
        }));
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (to, (slot, (_, one))) in part.layers[at].iter_mut().zip(&keyed).enumerate() {
            *slot = *one;
            place[*one] = to;
        }
    }
}

/// Swaps neighbours where that crosses less.
fn swap_pairs(part: &mut Part, place: &mut [usize]) {
    let crossed = |a: &[usize], b: &[usize], place: &[usize]| -> usize {
        a.iter().map(|one| b.iter().filter(|other| place[*one] > place[**other]).count()).sum()
    };
    for _ in 0..PAIR_ROUNDS {
        let mut better = false;
        for layer in &mut part.layers {
            for at in 1..layer.len() {
                let (a, b) = (layer[at - 1], layer[at]);
                let count = |x: usize, y: usize| {
                    crossed(&part.before[x], &part.before[y], place)
                        + crossed(&part.after[x], &part.after[y], place)
                };
                if count(b, a) < count(a, b) {
                    layer.swap(at - 1, at);
                    place.swap(a, b);
                    better = true;
                }
            }
        }
        if !better {
            return;
        }
    }
}

/// How many edges cross.
pub(super) fn crossings(part: &Part, place: &[usize]) -> usize {
    let mut sum = 0;
    let mut targets = Vec::new();
    for pair in part.layers.windows(2) {
        targets.clear();
        for one in &pair[0] {
            let from = targets.len();
            targets.extend(part.after[*one].iter().map(|to| place[*to]));
            targets[from..].sort_unstable();
        }
        sum += inversions(&targets, pair[1].len());
    }
    sum
}

/// Pairs that are in the wrong order, by a tree of sums.
fn inversions(values: &[usize], below: usize) -> usize {
    let mut tree = vec![0_usize; below + 1];
    let mut sum = 0;
    for (seen, value) in values.iter().enumerate() {
        let mut not_above = 0;
        let mut at = value + 1;
        while at > 0 {
            not_above += tree[at];
            at &= at - 1;
        }
        sum += seen - not_above;
        let mut at = value + 1;
        while at <= below {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_counted() {
        assert_eq!(inversions(&[0, 1, 2], 3), 0);
        assert_eq!(inversions(&[2, 1, 0], 3), 3);
        assert_eq!(inversions(&[1, 1, 0], 2), 2);
    }
}

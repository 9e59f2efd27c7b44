//! Which tasks come after which, for many pairs at once.

use super::super::super::graph::Edges;

/// Sources that are followed in one pass, as bits.
const WORDS: usize = 4;
const LANES: usize = WORDS * 64;

/// For each pair (source, user): whether `user` needs `source`, directly or through others.
///
/// Direct needs are looked up. The rest is answered for 256 sources in one walk over that part of
/// `order` (tasks after their needs) which lies between the sources and their users: so even a long
/// chain whose tasks all refer far back costs a few hundred walks, not one for each task.
pub(super) fn all_after(edges: &Edges, order: &[u32], pairs: &[(u32, u32)]) -> Vec<bool> {
    let mut place = vec![0u32; order.len()];
    for (task, at) in order.iter().zip(0u32..) {
        place[*task as usize] = at;
    }
    let mut after = vec![false; pairs.len()];
    let mut open: Vec<usize> = Vec::new();
    for (index, (source, user)) in pairs.iter().enumerate() {
        after[index] = edges.needs(*user).any(|need| need == *source);
        if !after[index] && place[*source as usize] < place[*user as usize] {
            open.push(index);
        }
    }
    open.sort_by_key(|index| place[pairs[*index].0 as usize]);
    let mut rest = &open[..];
    while !rest.is_empty() {
        let batch = batch(rest, pairs);
        walk(edges, order, &place, pairs, &rest[..batch], &mut after);
        rest = &rest[batch..];
    }
    after
}

/// How many of the pairs, sorted by source, have at most [`LANES`] sources among them.
fn batch(sorted: &[usize], pairs: &[(u32, u32)]) -> usize {
    let mut sources = 0;
    let mut last = None;
    for (count, index) in sorted.iter().enumerate() {
        if last.replace(pairs[*index].0) != Some(pairs[*index].0) {
            sources += 1;
            if sources > LANES {
                return count;
            }
        }
    }
    sorted.len()
}

fn walk(
    edges: &Edges,
    order: &[u32],
    place: &[u32],
    pairs: &[(u32, u32)],
    batch: &[usize],
    after: &mut [bool],
) {
    let at = |task: u32| place[task as usize] as usize;
    let Some(first) = batch.first().map(|index| at(pairs[*index].0)) else { return };
    let Some(last) = batch.iter().map(|index| at(pairs[*index].1)).max() else { return };
    let mut lanes = vec![[0u64; WORDS]; last - first + 1];
    let mut lane_of = Vec::with_capacity(batch.len());
    let mut lane = 0;
    for (count, index) in batch.iter().enumerate() {
        let source = pairs[*index].0;
        if count > 0 && pairs[batch[count - 1]].0 != source {
            lane += 1;
        }
        lanes[at(source) - first][lane / 64] |= 1 << (lane % 64);
        lane_of.push(lane);
    }
    for here in first..=last {
        let mut mine = lanes[here - first];
        for need in edges.needs(order[here]) {
            if let Some(before) = at(need).checked_sub(first) {
                let theirs = lanes[before];
                mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
            }
        }
        lanes[here - first] = mine;
    }
    for (index, lane) in batch.iter().zip(lane_of) {
        let user = lanes[at(pairs[*index].1) - first];
        after[*index] = user[lane / 64] & (1 << (lane % 64)) != 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_search(
            needs in prop::collection::vec((1..400u32, any::<prop::sample::Index>()), 0..600),
            pairs in prop::collection::vec((0..400u32, 0..400u32), 0..500),
        ) {
            let mut edges = Edges::default();
            (0..400).for_each(|_| edges.add_task());
            for (task, need) in needs {
                edges.add_need(task, need.index(task as usize) as u32);
            }
            let order = edges.order_from(0).unwrap();
            let found = all_after(&edges, &order, &pairs);
            for ((source, user), is_after) in pairs.iter().zip(found) {
                prop_assert_eq!(edges.descendants(*source).contains(user), is_after);
            }
        }
    }
}

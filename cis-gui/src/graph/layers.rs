//! Which layer every box is in, the parts that hang together, and bends where an edge passes a layer.

use super::End;

/// For each box there are so many bends, and these in any case: edges for which none is left go straight.
const BENDS_PER_BOX: usize = 4;
const BENDS_FREE: usize = 4_000;

/// A part that hangs together: its vertices are boxes and bends.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// What each vertex is.
    pub ends: Vec<End>,
    /// Which layer it is in, the part's first is 0.
    pub layer_of: Vec<usize>,
    /// For each vertex those of the next layer that it goes to.
    pub after: Vec<Vec<usize>>,
    /// For each vertex those of the layer before that come to it.
    pub before: Vec<Vec<usize>>,
    /// Vertices by layer, from above to below.
    pub layers: Vec<Vec<usize>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub parts: Vec<Part>,
    /// For each box its layer in its part.
    pub layer_of: Vec<usize>,
    /// For each box the bends of what goes out of it: the first, and how many; one in each layer after its own.
    pub chains: Vec<(usize, usize)>,
    /// How many bends.
    pub bends: usize,
}

/// Finds layers and parts.
pub(super) fn layer(boxes: usize, edges: &[(usize, usize)]) -> Parts {
    let mut after = vec![Vec::new(); boxes];
    let mut before = vec![Vec::new(); boxes];
    for (from, to) in edges {
        after[*from].push(*to);
        before[*to].push(*from);
    }
    let order = topological(&after, &before);
    let mut rank = vec![0; boxes];
    for (at, one) in order.iter().enumerate() {
        rank[*one] = at;
    }
    // A DAG has no others; what is drawn is what the node showed, whatever that is.
    for (from, after) in after.iter_mut().enumerate() {
        after.retain(|to| rank[*to] > rank[from]);
    }
    for (to, before) in before.iter_mut().enumerate() {
        before.retain(|from| rank[*from] < rank[to]);
    }
    let mut layer_of = vec![0_usize; boxes];
    for one in &order {
        layer_of[*one] = before[*one].iter().map(|need| layer_of[*need] + 1).max().unwrap_or(0);
    }
    // Nearer to what needs it, where that makes more edges shorter than longer.
    for one in order.iter().rev() {
        if after[*one].len() > before[*one].len()
            && let Some(next) = after[*one].iter().map(|to| layer_of[*to]).min()
        {
            layer_of[*one] = next - 1;
        }
    }
    let part_of = components(boxes, edges);
    shift(&mut layer_of, &part_of);
    split(&after, layer_of, &part_of)
}

/// Boxes, each after those that it needs; of a circle in the order of the file.
fn topological(after: &[Vec<usize>], before: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..open.len()).rev().filter(|one| open[*one] == 0).collect();
    let mut done = vec![false; open.len()];
    let mut order = Vec::with_capacity(open.len());
    let mut next = 0;
    while order.len() < open.len() {
        let one = ready.pop().unwrap_or_else(|| {
            while done[next] {
                next += 1;
            }
            next
        });
        if std::mem::replace(&mut done[one], true) {
            continue;
        }
        order.push(one);
        for to in after[one].iter().rev() {
            open[*to] -= 1;
            if open[*to] == 0 && !done[*to] {
                ready.push(*to);
            }
        }
    }
    order
}

/// For each box its part, numbered in the order of the file.
fn components(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    fn root(parent: &mut [usize], mut one: usize) -> usize {
        while parent[one] != one {
            parent[one] = parent[parent[one]];
            one = parent[one];
        }
        one
    }
    let mut parent: Vec<usize> = (0..boxes).collect();
    for (from, to) in edges {
        let (a, b) = (root(&mut parent, *from), root(&mut parent, *to));
        parent[a.max(b)] = a.min(b);
    }
    let mut number = vec![usize::MAX; boxes];
    let mut next = 0;
    (0..boxes)
        .map(|one| {
            let root = root(&mut parent, one);
            if number[root] == usize::MAX {
                number[root] = next;
                next += 1;
            }
            number[root]
        })
        .collect()
}

/// Lets every part begin with layer 0.
fn shift(layer_of: &mut [usize], part_of: &[usize]) {
    let parts = part_of.iter().max().map_or(0, |most| most + 1);
    let mut first = vec![usize::MAX; parts];
    for (layer, part) in layer_of.iter().zip(part_of) {
        first[*part] = first[*part].min(*layer);
    }
    for (layer, part) in layer_of.iter_mut().zip(part_of) {
        *layer -= first[*part];
    }
}

/// Makes parts of it, with bends where edges pass layers.
fn split(after: &[Vec<usize>], layer_of: Vec<usize>, part_of: &[usize]) -> Parts {
    let boxes = layer_of.len();
    let reach: Vec<usize> = (0..boxes)
        .map(|from| {
            let last = after[from].iter().map(|to| layer_of[*to]).max().unwrap_or(0);
            last.saturating_sub(layer_of[from] + 1)
        })
        .collect();
    // Short ones first: of long ones there are few that anybody can follow.
    let mut by_reach: Vec<usize> = (0..boxes).filter(|from| reach[*from] > 0).collect();
    by_reach.sort_by_key(|from| reach[*from]);
    let mut left = boxes * BENDS_PER_BOX + BENDS_FREE;
    let mut chains = vec![(0, 0); boxes];
    let mut bends = 0;
    for from in by_reach {
        if reach[from] > left {
            break;
        }
        left -= reach[from];
        chains[from] = (bends, reach[from]);
        bends += reach[from];
    }
    let count = part_of.iter().max().map_or(0, |most| most + 1);
    let mut parts: Vec<Part> = (0..count).map(|_| Part::default()).collect();
    let mut vertex_of = vec![0; boxes];
    for (one, part) in part_of.iter().enumerate() {
        vertex_of[one] = parts[*part].add(End::Box(one), layer_of[one]);
    }
    for from in 0..boxes {
        let part = &mut parts[part_of[from]];
        let (first, chain) = chains[from];
        let mut passes = vec![vertex_of[from]];
        for step in 0..chain {
            let bend = part.add(End::Bend(first + step), layer_of[from] + 1 + step);
            part.join(passes[step], bend);
            passes.push(bend);
        }
        for to in &after[from] {
            if let Some(last) = passes.get(layer_of[*to] - layer_of[from] - 1) {
                part.join(*last, vertex_of[*to]);
            }
        }
    }
    Parts { parts, layer_of, chains, bends }
}

impl Part {
    fn add(&mut self, end: End, layer: usize) -> usize {
        let vertex = self.ends.len();
        self.ends.push(end);
        self.layer_of.push(layer);
        self.after.push(Vec::new());
        self.before.push(Vec::new());
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, Vec::new());
        }
        self.layers[layer].push(vertex);
        vertex
    }

    fn join(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }
}

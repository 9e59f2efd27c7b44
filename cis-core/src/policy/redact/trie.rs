//! Many patterns in one pass over bytes (Aho and Corasick, 1975), with what a stream needs to know
//! at every byte: how many of the last ones are the beginning of a pattern.
//!
//! Ready crates find matches as well, but do not tell that depth; without it a stream would have to
//! hold back as many bytes as the longest pattern has, and no echo would be seen in time.

/// The state in which no byte belongs to a pattern.
pub(super) const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// As many bytes of a secret may be shown before it is known to be one.
const SHOW_MAX: usize = 3;

/// Number of pairs of bytes.
const PAIRS: usize = 1 << 16;

fn pair(one: u8, two: u8) -> usize {
    usize::from(one) << 8 | usize::from(two)
}

#[derive(Debug, Clone)]
struct Node {
    byte: u8,
    child: u32,
    sibling: u32,
    /// The longest proper suffix of this prefix that is a prefix too.
    fail: u32,
    /// Length of this prefix.
    depth: u32,
    /// Length of the longest pattern that ends here; 0: none does.
    matched: u32,
    /// Length of the shortest pattern that goes through here.
    shortest: u32,
}

impl Node {
    fn new(byte: u8, depth: u32) -> Self {
        Self { byte, child: NONE, sibling: NONE, fail: ROOT, depth, matched: 0, shortest: u32::MAX }
    }
}

/// The patterns.
#[derive(Debug, Clone)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Children of the root.
    first: Box<[u32; 256]>,
    /// One bit for each pair of bytes: whether a pattern begins with it. Empty without patterns. With many
    /// patterns, most bytes begin one, but few pairs do.
    pairs: Box<[u64]>,
    longest: usize,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::new(0, 0)], first: Box::new([ROOT; 256]), pairs: Box::default(), longest: 0 }
    }
}

impl Trie {
    pub(super) fn is_empty(&self) -> bool {
        self.longest == 0
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Adds a pattern. `link` must follow before the first search.
    pub(super) fn insert(&mut self, pattern: &[u8]) {
        let Ok(length) = u32::try_from(pattern.len()) else { return };
        if length == 0 {
            return;
        }
        let mut at = ROOT;
        for (depth, byte) in (1..).zip(pattern) {
            at = match self.child(at, *byte) {
                Some(child) => child,
                None => self.grow(at, *byte, depth),
            };
            let node = &mut self.nodes[at as usize];
            node.shortest = node.shortest.min(length);
        }
        self.nodes[at as usize].matched = length;
        if self.pairs.is_empty() {
            self.pairs = vec![0; PAIRS / 64].into_boxed_slice();
        }
        // Any byte may follow a pattern of one byte.
        let pairs = match pattern {
            [one] => pair(*one, 0)..=pair(*one, u8::MAX),
            [one, two, ..] => pair(*one, *two)..=pair(*one, *two),
            [] => return,
        };
        pairs.for_each(|pair| self.pairs[pair / 64] |= 1 << (pair % 64));
        self.longest = self.longest.max(pattern.len());
    }

    fn grow(&mut self, at: u32, byte: u8, depth: u32) -> u32 {
        // Bounded by SECRETS_BYTES_MAX times the number of forms: far below 2^32.
        let new = self.nodes.len() as u32;
        let mut node = Node::new(byte, depth);
        if at == ROOT {
            self.first[usize::from(byte)] = new;
        } else {
            let parent = &mut self.nodes[at as usize];
            node.sibling = std::mem::replace(&mut parent.child, new);
        }
        self.nodes.push(node);
        new
    }

    /// Sets where the search goes on after a mismatch.
    pub(super) fn link(&mut self) {
        let mut queue: Vec<u32> = self.first.iter().copied().filter(|node| *node != ROOT).collect();
        let mut next = 0;
        while let Some(&at) = queue.get(next) {
            next += 1;
            let mut child = self.nodes[at as usize].child;
            while child != NONE {
                let Node { byte, sibling, .. } = self.nodes[child as usize];
                let fail = self.step(self.nodes[at as usize].fail, byte);
                let inherited = self.nodes[fail as usize].matched;
                let node = &mut self.nodes[child as usize];
                node.fail = fail;
                if node.matched == 0 {
                    node.matched = inherited;
                }
                queue.push(child);
                child = sibling;
            }
        }
    }

    fn child(&self, at: u32, byte: u8) -> Option<u32> {
        if at == ROOT {
            return Some(self.first[usize::from(byte)]).filter(|node| *node != ROOT);
        }
        let mut child = self.nodes[at as usize].child;
        while child != NONE {
            let node = &self.nodes[child as usize];
            if node.byte == byte {
                return Some(child);
            }
            child = node.sibling;
        }
        None
    }

    /// The state after `byte`.
    pub(super) fn step(&self, mut at: u32, byte: u8) -> u32 {
        loop {
            if let Some(child) = self.child(at, byte) {
                return child;
            }
            if at == ROOT {
                return ROOT;
            }
            at = self.nodes[at as usize].fail;
        }
    }

    /// So many bytes at the beginning cannot begin a pattern.
    pub(super) fn skip(&self, bytes: &[u8]) -> usize {
        if self.pairs.is_empty() {
            return bytes.len();
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.first[usize::from(*byte)] == ROOT {
                continue;
            }
            // The byte after the last one is not known yet.
            let Some(next) = bytes.get(at + 1) else { return at };
            let pair = pair(*byte, *next);
            if self.pairs[pair / 64] >> (pair % 64) & 1 != 0 {
                return at;
            }
        }
        bytes.len()
    }

    /// Length of the longest pattern that ends in this state; 0: none.
    pub(super) fn matched(&self, at: u32) -> usize {
        self.nodes[at as usize].matched as usize
    }

    /// So many of the last bytes are the beginning of a pattern.
    pub(super) fn depth(&self, at: u32) -> usize {
        self.nodes[at as usize].depth as usize
    }

    /// Of those, so many may be shown: a quarter of each pattern that may be beginning, at most three.
    pub(super) fn may_show(&self, at: u32) -> usize {
        let depth = self.depth(at);
        let mut show = usize::MAX;
        let mut node = at;
        while node != ROOT {
            let of = &self.nodes[node as usize];
            let quarter = (of.shortest as usize / 4).min(SHOW_MAX);
            show = show.min(depth - of.depth as usize + quarter);
            node = of.fail;
        }
        show.min(depth)
    }
}

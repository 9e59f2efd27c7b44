//! Many patterns in one pass over bytes (Aho and Corasick, 1975), with what a stream needs to know
//! at every byte: how many of the last ones are the beginning of a pattern.
//!
//! Ready crates find matches as well, but do not tell that depth; without it a stream would have to
//! hold back as many bytes as the longest pattern has, and no echo would be seen in time.

use std::sync::OnceLock;

use super::{ESCAPE_BYTES, NODES_MAX};

/// The state in which no byte belongs to a pattern.
pub(super) const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// As many bytes of a secret may be shown before it is known to be one.
const SHOW_MAX: u8 = 3;

/// Minimum length of the lines of a wrapped pattern, bytes. `xxd -p` makes lines of 60.
const COLUMNS_MIN: usize = 32;

/// Number of pairs of bytes.
const PAIRS: usize = 1 << 16;

fn pair(one: u8, two: u8) -> usize {
    usize::from(one) << 8 | usize::from(two)
}

#[derive(Debug, Clone)]
struct Node {
    byte: u8,
    /// Number of bytes of each pattern through this node that may be shown: a quarter, at most [`SHOW_MAX`].
    show: u8,
    /// Whether a pattern through this node may be wrapped into lines.
    wraps: bool,
    /// Whether a value itself, or a line of one, ends here.
    plain: bool,
    child: u32,
    sibling: u32,
    /// The longest proper suffix of this prefix that is a prefix too.
    fail: u32,
    /// Length of this prefix.
    depth: u32,
    /// Length of the longest pattern that ends here; 0: none does.
    matched: u32,
}

impl Node {
    fn new(byte: u8, depth: u32) -> Self {
        let (show, wraps, plain) = (SHOW_MAX, false, false);
        Self { byte, show, wraps, plain, child: NONE, sibling: NONE, fail: ROOT, depth, matched: 0 }
    }
}

/// A pattern of a [`Trie`].
struct Pattern {
    bytes: Vec<u8>,
    wraps: bool,
    plain: bool,
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
    /// The patterns from their last byte to their first, made at the first use.
    reversed: OnceLock<Box<Self>>,
}

impl Default for Trie {
    fn default() -> Self {
        let (nodes, first) = (vec![Node::new(0, 0)], Box::new([ROOT; 256]));
        Self { nodes, first, pairs: Box::default(), longest: 0, reversed: OnceLock::new() }
    }
}

impl Trie {
    pub(super) fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// Length of the longest text that a pattern matches, bytes. Includes the line ends of wrapped patterns.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Number of nodes.
    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a value itself, or a line of one. It is found also if each of its bytes is percent-encoded.
    pub(super) fn insert_plain(&mut self, pattern: &[u8]) {
        if let Some(end) = self.insert(pattern, false) {
            self.nodes[end as usize].plain = true;
            self.longest = self.longest.max(ESCAPE_BYTES * pattern.len());
        }
    }

    /// Adds a pattern. `wraps`: it is also found if it is wrapped into lines. Call `link` before the first search. Returns
    /// its last node.
    pub(super) fn insert(&mut self, pattern: &[u8], wraps: bool) -> Option<u32> {
        let length = u32::try_from(pattern.len()).ok().filter(|length| *length > 0)?;
        let show = u8::try_from(length / 4).unwrap_or(SHOW_MAX);
        let mut at = ROOT;
        for (depth, byte) in (1..).zip(pattern) {
            at = match self.child(at, *byte) {
                Some(child) => child,
                None => self.grow(at, *byte, depth),
            };
            let node = &mut self.nodes[at as usize];
            node.show = node.show.min(show);
            node.wraps |= wraps;
        }
        self.nodes[at as usize].matched = length;
        if self.pairs.is_empty() {
            self.pairs = vec![0; PAIRS / 64].into_boxed_slice();
        }
        // Any byte may follow a pattern of one byte.
        let (one, next) = match pattern {
            [one] => (*one, 0..=u8::MAX),
            [one, two, ..] => (*one, *two..=*two),
            [] => return None,
        };
        let line_ends: &[u8] = if wraps { b"\r\n" } else { b"" };
        for pair in next.chain(line_ends.iter().copied()).map(|next| pair(one, next)) {
            self.pairs[pair / 64] |= 1 << (pair % 64);
        }
        let line_ends = if wraps { 2 * (pattern.len() / COLUMNS_MIN + 1) } else { 0 };
        self.longest = self.longest.max(pattern.len() + line_ends);
        Some(at)
    }

    /// Returns a search for the same patterns from their last byte to their first. It has all plain ones, and of the others, the
    /// short ones first, as many as fit into `NODES_MAX` nodes.
    pub(super) fn reversed(&self) -> &Self {
        self.reversed.get_or_init(|| {
            let mut patterns = self.patterns();
            patterns.sort_by_key(|pattern| (!pattern.plain, pattern.bytes.len()));
            let mut reversed = Box::<Self>::default();
            for Pattern { mut bytes, wraps, plain } in patterns {
                if plain || reversed.size() + bytes.len() <= NODES_MAX {
                    bytes.reverse();
                    reversed.insert(&bytes, wraps);
                }
            }
            reversed.link();
            reversed
        })
    }

    fn patterns(&self) -> Vec<Pattern> {
        let (mut patterns, mut prefix) = (Vec::new(), Vec::new());
        let mut open: Vec<u32> = self.first.iter().copied().filter(|node| *node != ROOT).collect();
        while let Some(at) = open.pop() {
            let Node { byte, wraps, plain, child, sibling, depth, matched, .. } = self.nodes[at as usize];
            prefix.truncate(depth as usize - 1);
            prefix.push(byte);
            // A shorter match is that of another pattern.
            if matched == depth {
                patterns.push(Pattern { bytes: prefix.clone(), wraps, plain });
            }
            let next = if depth > 1 { sibling } else { NONE };
            open.extend([next, child].into_iter().filter(|node| *node != NONE));
        }
        patterns
    }

    fn grow(&mut self, at: u32, byte: u8, depth: u32) -> u32 {
        // Bounded by NODES_MAX and the length of all values: far below 2^32.
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
        self.nodes.shrink_to_fit();
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

    /// Returns the state after a line end that is part of no pattern at this place, but may wrap one. [`ROOT`]: it does
    /// not.
    pub(super) fn wrapped(&self, mut at: u32) -> u32 {
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if node.wraps && node.child != NONE {
                break;
            }
            at = node.fail;
        }
        at
    }

    /// Returns the number of bytes at the beginning in which no pattern begins. There may be more if a pattern
    /// begins, or may begin, soon after them.
    pub(super) fn plain(&self, bytes: &[u8]) -> usize {
        let mut plain = 0;
        loop {
            plain += self.skip(&bytes[plain..]);
            let (mut state, mut at) = (ROOT, plain);
            loop {
                let Some(byte) = bytes.get(at) else { return plain };
                let next = self.step(state, *byte);
                at += 1;
                if next == ROOT {
                    if state != ROOT && matches!(byte, b'\r' | b'\n') {
                        match self.plain_line_end(state, &bytes[at - 1..]) {
                            Some(length) => at += length - 1,
                            None => return plain,
                        }
                    }
                    plain = at;
                    break;
                }
                if self.matched(next) > 0 {
                    return plain;
                }
                plain = at - self.depth(next);
                state = next;
            }
        }
    }

    /// Returns the length of the line end with which `bytes` begin, if no pattern continues after it.
    fn plain_line_end(&self, state: u32, bytes: &[u8]) -> Option<usize> {
        let state = self.wrapped(state);
        if state == ROOT {
            return Some(1);
        }
        let length = if bytes.starts_with(b"\r\n") && self.step(state, b'\n') == ROOT { 2 } else { 1 };
        let next = bytes.get(length).filter(|next| !matches!(next, b'\r' | b'\n'))?;
        (self.depth(self.step(state, *next)) <= 1).then_some(length)
    }

    /// So many bytes at the beginning cannot begin a pattern.
    fn skip(&self, bytes: &[u8]) -> usize {
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

    /// Returns the state of the next shorter beginning of a pattern that the same bytes end with.
    pub(super) fn shorter(&self, at: u32) -> u32 {
        self.nodes[at as usize].fail
    }

    /// Of those, so many may be shown: a quarter of each pattern that may be beginning, at most three.
    pub(super) fn may_show(&self, at: u32) -> usize {
        let depth = self.depth(at);
        let mut show = usize::MAX;
        let mut node = at;
        while node != ROOT {
            let of = &self.nodes[node as usize];
            show = show.min(depth - of.depth as usize + usize::from(of.show));
            node = of.fail;
        }
        show.min(depth)
    }
}

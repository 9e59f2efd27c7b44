//! How tasks hang together, as a tree that can be listed: every task stands below the one of its needs that
//! comes last, and an item below its list. What is long and dull folds. Pure.

use cis_core::event::TaskState;

use super::{Board, More};
use crate::progress::model::Index;

/// Brothers that are listed one by one, however dull.
const PLAIN_MAX: usize = 24;

/// Which tasks stand below which.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    parent: Vec<Option<Index>>,
    children: Vec<Vec<Index>>,
    roots: Vec<Index>,
    /// Every task after the one that it stands below.
    order: Vec<Index>,
}

/// How many tasks are in which state.
pub(crate) type Counts = [u32; TaskState::ALL.len()];

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What stands there.
    pub(crate) key: Key,
    /// How far below the first level.
    pub(crate) depth: u16,
    /// For each level above: whether more follows there. The lowest bit is the first level.
    pub(crate) lanes: u64,
    /// The last one of its level.
    pub(crate) last: bool,
    /// What it hides, where something is folded.
    pub(crate) folded: Option<Counts>,
    /// It has something below it that is shown or could be.
    pub(crate) opens: bool,
}

/// What a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A task.
    Task(Index),
    /// The dull ones of those below that task, or of the first level.
    Rest(Option<Index>),
}

/// What a person wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Filter {
    #[default]
    All,
    Active,
    Failed,
    Waiting,
}

impl Filter {
    /// The next one, round and round.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::All => Self::Active,
            Self::Active => Self::Failed,
            Self::Failed => Self::Waiting,
            Self::Waiting => Self::All,
        }
    }

    /// In a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }

    fn takes(self, board: &Board, index: Index) -> bool {
        let (state, more) = (board.model.task(index).state, &board.more[index]);
        match self {
            Self::All => true,
            Self::Active => state.is_active(),
            Self::Failed => is_bad(state),
            Self::Waiting => more.open().is_some(),
        }
    }
}

/// Which part of the tree is listed.
pub(crate) struct Wanted<'a> {
    /// Which tasks.
    pub(crate) filter: Filter,
    /// Only those with this in their name; empty: all.
    pub(crate) search: &'a str,
    /// What was opened or closed by hand.
    pub(crate) by_hand: &'a dyn Fn(Key) -> Option<bool>,
    /// Stays in sight, however dull.
    pub(crate) selected: Option<Key>,
}

impl Tree {
    pub(super) fn of(more: &[More]) -> Self {
        let depth = depths(more);
        let parent: Vec<Option<Index>> = more
            .iter()
            .map(|task| {
                // Of those that come as late as each other, the one named first.
                let latest = || task.needs.iter().copied().rev().max_by_key(|need| depth[*need]);
                task.item_of.or_else(latest)
            })
            .collect();
        let mut tree = Self {
            children: vec![Vec::new(); more.len()],
            roots: Vec::new(),
            order: Vec::with_capacity(more.len()),
            parent,
        };
        for index in 0..more.len() {
            match tree.parent[index] {
                Some(parent) => tree.children[parent].push(index),
                None => tree.roots.push(index),
            }
        }
        for below in &mut tree.children {
            below.sort_by_key(|index| more[*index].item_of.is_none());
        }
        let mut todo: Vec<Index> = tree.roots.iter().rev().copied().collect();
        while let Some(index) = todo.pop() {
            tree.order.push(index);
            todo.extend(tree.children[index].iter().rev());
        }
        tree
    }

    /// Those directly below a task, or the first level.
    pub(crate) fn below(&self, parent: Option<Index>) -> &[Index] {
        parent.map_or(&self.roots, |parent| &self.children[parent])
    }

    /// The one that a task stands below.
    pub(crate) fn above(&self, index: Index) -> Option<Index> {
        self.parent[index]
    }
}

/// The longest way to each task from one without needs. A task comes after its needs in no particular order of
/// the list, so they are followed; what stands in a circle, which no node sends, has depth 0.
fn depths(more: &[More]) -> Vec<u32> {
    let mut left: Vec<usize> = more.iter().map(|task| task.needs.len()).collect();
    let mut needed_by: Vec<Vec<Index>> = vec![Vec::new(); more.len()];
    for (index, task) in more.iter().enumerate() {
        for need in &task.needs {
            needed_by[*need].push(index);
        }
    }
    let mut depth = vec![0; more.len()];
    let mut ready: Vec<Index> = (0..more.len()).filter(|index| left[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        for next in &needed_by[index] {
            depth[*next] = depth[*next].max(depth[index] + 1);
            left[*next] -= 1;
            if left[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    depth
}

fn is_bad(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Error | TaskState::Cancelled)
}

/// The lines of the board as they are wanted.
pub(crate) fn rows(board: &Board, wanted: &Wanted<'_>) -> Vec<Row> {
    if wanted.filter != Filter::All || !wanted.search.is_empty() {
        return flat(board, wanted);
    }
    let mut listing = Listing { board, wanted, sums: Sums::of(board, wanted.selected), rows: Vec::new() };
    listing.run();
    listing.rows
}

fn flat(board: &Board, wanted: &Wanted<'_>) -> Vec<Row> {
    let hits = |index: &Index| {
        wanted.filter.takes(board, *index) && board.model.task(*index).name.contains(wanted.search)
    };
    let row =
        |index| Row { key: Key::Task(index), depth: 0, lanes: 0, last: false, folded: None, opens: false };
    board.tree.order.iter().copied().filter(hits).map(row).collect()
}

/// What stands at and below every task.
struct Sums {
    counts: Vec<Counts>,
    /// Something at or below it is worth a look now.
    lively: Vec<bool>,
}

impl Sums {
    fn of(board: &Board, selected: Option<Key>) -> Self {
        let tasks = board.model.tasks();
        let mut sums =
            Self { counts: vec![Counts::default(); tasks.len()], lively: vec![false; tasks.len()] };
        for &index in board.tree.order.iter().rev() {
            let state = tasks[index].state;
            let own = state.is_active()
                || is_bad(state)
                || !board.more[index].asked.is_empty()
                || selected == Some(Key::Task(index));
            sums.counts[index][state as usize] += 1;
            sums.lively[index] |= own;
            if let Some(parent) = board.tree.above(index) {
                let counts = sums.counts[index];
                add(&mut sums.counts[parent], &counts);
                sums.lively[parent] |= sums.lively[index];
            }
        }
        sums
    }
}

fn add(to: &mut Counts, what: &Counts) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

struct Listing<'a> {
    board: &'a Board,
    wanted: &'a Wanted<'a>,
    sums: Sums,
    rows: Vec<Row>,
}

/// Lines that are still to be listed: those below a task, from one of them on.
struct Level {
    tasks: Vec<Index>,
    next: usize,
    rest: Option<Row>,
    depth: u16,
    lanes: u64,
}

impl Listing<'_> {
    /// Goes through the tree without recursion: a chain may be as long as a file.
    fn run(&mut self) {
        let mut levels = vec![self.level(None, 0, 0)];
        while let Some(level) = levels.last_mut() {
            let Some(&index) = level.tasks.get(level.next) else {
                self.rows.extend(level.rest.take());
                levels.pop();
                continue;
            };
            level.next += 1;
            let last = level.next == level.tasks.len() && level.rest.is_none();
            let (depth, lanes) = (level.depth, level.lanes);
            let below = self.board.tree.below(Some(index));
            let open = self.is_open(index);
            self.rows.push(Row {
                key: Key::Task(index),
                depth,
                lanes,
                last,
                folded: (!below.is_empty() && !open).then(|| self.hidden(index)),
                opens: !below.is_empty(),
            });
            if below.iter().any(|below| self.shows(*below, index, open)) {
                let lane = u64::from(!last).checked_shl(depth.into()).unwrap_or(0);
                levels.push(self.level(Some(index), depth + 1, lanes | lane));
            }
        }
    }

    /// A list is folded unless somebody wants to see its items; everything else is open.
    fn is_open(&self, index: Index) -> bool {
        (self.wanted.by_hand)(Key::Task(index)).unwrap_or(self.board.more[index].items == 0)
    }

    /// Of a list only its items fold: what needs it has a place of its own.
    fn shows(&self, below: Index, parent: Index, open: bool) -> bool {
        open || (self.board.more[parent].items > 0 && self.board.more[below].item_of.is_none())
    }

    fn hidden(&self, index: Index) -> Counts {
        let mut counts = Counts::default();
        for below in self.board.tree.below(Some(index)) {
            if !self.shows(*below, index, false) {
                add(&mut counts, &self.sums.counts[*below]);
            }
        }
        counts
    }

    fn level(&self, parent: Option<Index>, depth: u16, lanes: u64) -> Level {
        let all: Vec<Index> = match parent {
            Some(parent) => {
                let open = self.is_open(parent);
                let below = self.board.tree.below(Some(parent)).iter().copied();
                below.filter(|below| self.shows(*below, parent, open)).collect()
            }
            None => self.board.tree.below(None).to_vec(),
        };
        let key = Key::Rest(parent);
        let open = (self.wanted.by_hand)(key) == Some(true);
        if all.len() <= PLAIN_MAX {
            return Level { tasks: all, next: 0, rest: None, depth, lanes };
        }
        let (mut counts, mut tasks) = (Counts::default(), Vec::new());
        for index in all {
            let lively = self.sums.lively[index];
            if open || lively {
                tasks.push(index);
            }
            if !lively {
                add(&mut counts, &self.sums.counts[index]);
            }
        }
        let rest = counts.iter().any(|count| *count > 0).then(|| Row {
            key,
            depth,
            lanes,
            last: true,
            folded: (!open).then_some(counts),
            opens: true,
        });
        Level { tasks, next: 0, rest, depth, lanes }
    }
}

//! Runs: as they were listed, or with their tasks and kept up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::api::{Problem, RunDetail, RunView, TaskView};
use cis_core::event::{Event, TaskState};
use cis_core::ids::{Offset, RunId};
use cis_core::live::{Applied, LiveRun};

use super::Want;
use crate::graph::Shape;

/// Events that are kept for a run while its answer is on the way, bytes; with more of them it is asked for again.
const KEPT_BYTES: usize = 8 << 20;
/// What an event takes beside its body, about.
const EVENT_BYTES: usize = 256;
/// A node that so often shows less than it has told means it.
const OLDER_MAX: u8 = 3;
/// Runs of which it is known that they are not to be had.
const GONE_MAX: usize = 1_000;
/// Runs that have ended and are listed: the newest.
const ENDED_MAX: usize = 1_000;

/// How a task stands, in a byte or two: what is drawn of thousands is made of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Its state.
    pub state: TaskState,
    /// It waits for a human.
    pub waits: bool,
}

impl Stand {
    fn of(task: &TaskView) -> Self {
        Self { state: task.state, waits: task.waits.is_some() || task.approval.is_some() }
    }
}

/// A run.
#[derive(Debug)]
pub struct Entry {
    shown: Shown,
    structure: u64,
    shape: Arc<Shape>,
    stands: Vec<Stand>,
    version: u64,
}

#[derive(Debug)]
enum Shown {
    Listed(Box<RunView>),
    Live(Box<LiveRun>),
}

impl Entry {
    /// The run at a glance.
    #[must_use]
    pub fn view(&self) -> &RunView {
        match &self.shown {
            Shown::Listed(view) => view,
            Shown::Live(live) => live.run(),
        }
    }

    /// The run with its tasks, where they are known.
    #[must_use]
    pub fn detail(&self) -> Option<&RunDetail> {
        self.live().map(LiveRun::detail)
    }

    /// The same, as it is kept up to date.
    #[must_use]
    pub fn live(&self) -> Option<&LiveRun> {
        match &self.shown {
            Shown::Listed(_) => None,
            Shown::Live(live) => Some(live),
        }
    }

    /// A task by its name.
    #[must_use]
    pub fn task(&self, name: &str) -> Option<&TaskView> {
        self.live().and_then(|live| live.task(name))
    }

    /// Changes when its tasks or what they need do: a drawing of them is made anew then.
    #[must_use]
    pub fn structure(&self) -> u64 {
        self.structure
    }

    /// What its tasks need of each other: changes with [`Self::structure`].
    #[must_use]
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// How each of its tasks stands.
    #[must_use]
    pub fn stands(&self) -> &[Stand] {
        &self.stands
    }

    /// Changes whenever something of it does.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// One that is listed.
    fn listed(view: RunView) -> Self {
        Self {
            shown: Shown::Listed(Box::new(view)),
            structure: 0,
            shape: Arc::default(),
            stands: Vec::new(),
            version: 0,
        }
    }

    /// Lets go of the tasks: what is listed of the run stays.
    fn unload(&mut self) {
        if let Shown::Live(live) = &self.shown {
            let view = live.run().clone();
            self.shown = Shown::Listed(Box::new(view));
            (self.shape, self.stands) = (Arc::default(), Vec::new());
            self.version += 1;
        }
    }

    /// Takes in an event: of the run that it has only what is touched is looked at.
    fn fold(&mut self, event: &Event) -> Applied {
        match &mut self.shown {
            Shown::Live(live) => {
                let applied = live.apply(event);
                for at in live.take_touched() {
                    self.stands[at] = Stand::of(&live.tasks()[at]);
                }
                if applied != Applied::Known {
                    self.version += 1;
                }
                applied
            }
            Shown::Listed(view) if event.offset <= view.last_offset => Applied::Known,
            Shown::Listed(_) => Applied::Ask,
        }
    }

    /// Tasks that have ended, and all.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let counts = &self.view().counts;
        let ended = counts.iter().filter(|(state, _)| state.is_terminal()).map(|(_, n)| n).sum();
        (ended, counts.values().sum())
    }

    /// How many tasks are in that state.
    #[must_use]
    pub fn count(&self, state: TaskState) -> u32 {
        self.view().counts.get(&state).copied().unwrap_or(0)
    }
}

/// A run that was asked for, until it comes.
#[derive(Debug, Default)]
struct Asking {
    /// The request has gone out: what happens from then on is kept, to be folded into what comes.
    out: bool,
    /// What the view had when the request went out: what comes has that too.
    base: Offset,
    /// What the view had counts for nothing: the node may have been put back to an earlier state.
    any: bool,
    kept: Vec<Event>,
    bytes: usize,
    /// The newest event that happened since then and is not kept.
    lost: Offset,
    /// So often what came was older than the view.
    older: u8,
}

impl Asking {
    fn keep(&mut self, event: &Event) {
        let bytes = event.body.get().len() + EVENT_BYTES;
        if self.out && self.bytes + bytes <= KEPT_BYTES {
            self.bytes += bytes;
            self.kept.push(event.clone());
        } else {
            self.lost = self.lost.max(event.offset);
        }
    }

    fn goes_out(&mut self, base: Offset) {
        let (any, older) = (self.any, self.older);
        *self = Self { out: true, base: if any { 0 } else { base }, any, older, ..Self::default() };
    }
}

/// A run as it came, made ready before the model is held for it.
#[derive(Debug)]
pub(crate) struct Loaded {
    live: Box<LiveRun>,
    shape: Shape,
}

impl Loaded {
    pub(crate) fn of(detail: RunDetail) -> Self {
        // What events change of tasks is nothing that a shape is made of.
        let shape = Shape::of(&detail.tasks);
        Self { live: Box::new(LiveRun::new(detail)), shape }
    }
}

/// All runs that are known.
#[derive(Debug, Default)]
pub struct Runs {
    entries: BTreeMap<RunId, Entry>,
    asking: BTreeMap<RunId, Asking>,
    /// Why they are not to be had, where the node said more than that there are none.
    gone: BTreeMap<RunId, Option<Box<Problem>>>,
    /// The run that somebody looks at.
    looked_at: Option<RunId>,
    listed: bool,
}

impl Runs {
    /// Whether the node has been asked for its runs.
    #[must_use]
    pub fn listed(&self) -> bool {
        self.listed
    }

    /// All, newest first.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().rev()
    }

    /// One.
    #[must_use]
    pub fn get(&self, id: RunId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The node told that there is no such run, or that it does not show it.
    #[must_use]
    pub fn gone(&self, id: RunId) -> bool {
        self.gone.contains_key(&id)
    }

    /// Why the node does not show it, where it refused to.
    #[must_use]
    pub fn refused(&self, id: RunId) -> Option<&Problem> {
        self.gone.get(&id)?.as_deref()
    }

    pub(super) fn list(&mut self, runs: Vec<RunView>, whole: bool, wants: &mut BTreeSet<Want>) {
        self.listed = true;
        let ids: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
        if whole {
            self.entries.retain(|id, _| ids.contains(id));
        }
        // What became of older ones while the line was lost is in no list.
        let older = self.entries.iter().filter(|(id, entry)| {
            !ids.contains(id) && (!entry.view().state.is_terminal() || self.asking.contains_key(id))
        });
        for id in older.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.asking.insert(id, Asking { any: true, ..Asking::default() });
            wants.insert(Want::Run(id));
        }
        for run in runs {
            let id = run.id;
            let again = self.gone.remove(&id).is_some() && !run.state.is_terminal();
            let wanted = match self.entries.get(&id) {
                // Whatever was known of it comes from before the line was lost, or from before the store was restored.
                Some(entry) => entry.view().last_offset != run.last_offset,
                None => {
                    let open = !run.state.is_terminal();
                    self.entries.insert(id, Entry::listed(run));
                    open
                }
            };
            if wanted || again {
                self.asking.insert(id, Asking { any: true, ..Asking::default() });
                wants.insert(Want::Run(id));
            }
        }
        self.forget_oldest();
    }

    /// Somebody looks at this run: its tasks are kept also when it has ended.
    pub(super) fn look_at(&mut self, run: Option<RunId>) {
        let before = std::mem::replace(&mut self.looked_at, run);
        if before != run
            && let Some(before) = before
        {
            self.settle(before);
        }
    }

    /// Nobody looks at it, and nothing of it is on the way.
    fn is_idle(&self, id: RunId) -> bool {
        self.looked_at != Some(id) && !self.asking.contains_key(&id)
    }

    /// Lets go of the tasks of a run that has ended, if it is idle: they are loaded again when somebody looks at it.
    fn settle(&mut self, id: RunId) {
        let is_idle = self.is_idle(id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if is_idle && entry.view().state.is_terminal() {
            entry.unload();
            self.forget_oldest();
        }
    }

    /// Forgets the oldest runs that have ended, above the number that is kept.
    fn forget_oldest(&mut self) {
        if self.entries.len() <= ENDED_MAX {
            return;
        }
        let ended = self.entries.iter().filter(|(_, entry)| entry.view().state.is_terminal());
        let ended: Vec<RunId> = ended.map(|(id, _)| *id).filter(|id| self.is_idle(*id)).collect();
        for id in &ended[..ended.len().saturating_sub(ENDED_MAX)] {
            self.entries.remove(id);
        }
    }

    /// The node is asked for it from now on.
    pub(super) fn taken(&mut self, id: RunId) {
        let base = self.offset(id);
        self.asking.entry(id).or_default().goes_out(base);
    }

    /// It did not come, and is asked for again some time: until then nothing is kept for it.
    pub(super) fn missed(&mut self, id: RunId) {
        if let Some(asking) = self.asking.get_mut(&id) {
            let lost = asking.kept.last().map_or(asking.lost, |event| asking.lost.max(event.offset));
            let (base, any, older) = (asking.base, asking.any, asking.older);
            *asking = Asking { base, any, lost, older, ..Asking::default() };
        }
    }

    /// Newest event in what is shown of it with its tasks.
    fn offset(&self, id: RunId) -> Offset {
        self.get(id).and_then(Entry::live).map_or(0, LiveRun::offset)
    }

    fn ask(&mut self, id: RunId, older: u8, wants: &mut BTreeSet<Want>) -> &mut Asking {
        wants.insert(Want::Run(id));
        let base = self.offset(id);
        let asking = self.asking.entry(id).or_default();
        *asking = Asking { base, older, ..Asking::default() };
        asking
    }

    /// Takes a run as it came; gives what is shown no more, which may be much.
    pub(super) fn show(&mut self, loaded: Loaded, wants: &mut BTreeSet<Want>) -> Option<Entry> {
        let Loaded { mut live, shape } = loaded;
        let id = live.id();
        self.gone.remove(&id);
        let known = self.offset(id);
        let asking = self.asking.remove(&id).unwrap_or_else(|| Asking { base: known, ..Asking::default() });
        let behind = live.offset() < asking.base.max(asking.lost);
        let is_live = self.get(id).is_some_and(|entry| entry.live().is_some());
        if behind && is_live && asking.older < OLDER_MAX {
            // What the view has is newer, and what lies between is not there any more.
            self.ask(id, asking.older + 1, wants).any = asking.any;
            return None;
        }
        let mut again = live.offset() < asking.lost;
        for event in &asking.kept {
            again |= live.apply(event) == Applied::Ask;
        }
        live.take_touched();
        let before = self.entries.remove(&id);
        let known = before.as_ref().map(|entry| (entry.structure, &entry.shape, entry.version));
        let (structure, version) = known.map_or((0, 0), |known| (known.0, known.2));
        let (structure, shape) = match known {
            // Asked for again, most runs have the tasks that they had: their drawing stays.
            Some((structure, before, _)) if structure > 0 && **before == shape => {
                (structure, Arc::clone(before))
            }
            _ => (structure + 1, Arc::new(shape)),
        };
        let stands = live.tasks().iter().map(Stand::of).collect();
        let entry = Entry { shown: Shown::Live(live), structure, shape, stands, version: version + 1 };
        self.entries.insert(id, entry);
        if again {
            self.ask(id, 0, wants);
        }
        self.settle(id);
        before
    }

    /// Of events that are kept.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.asking.values().map(|asking| asking.bytes).sum()
    }

    /// The node does not show it: there is none, or `why`.
    pub(super) fn is_gone(&mut self, run: RunId, why: Option<Box<Problem>>) {
        self.asking.remove(&run);
        // What was listed of one that is refused stays.
        if why.is_none() {
            self.entries.remove(&run);
        }
        self.settle(run);
        self.gone.insert(run, why);
        if self.gone.len() > GONE_MAX {
            self.gone.pop_first();
        }
    }

    pub(super) fn event(&mut self, event: &Event, wants: &mut BTreeSet<Want>) {
        let Some(id) = event.run else { return };
        let asking = self.asking.get_mut(&id).map(|asking| {
            asking.keep(event);
            asking.out
        });
        match self.entries.get_mut(&id).map_or(Applied::Ask, |entry| entry.fold(event)) {
            Applied::Known => return,
            Applied::Folded => return self.settle(id),
            Applied::Ask => {}
        }
        match asking {
            // What comes has it, or it is asked for again then.
            Some(true) => {}
            Some(false) => {
                wants.insert(Want::Run(id));
            }
            // Each event of a run that is refused would be refused.
            None if self.refused(id).is_some() => {}
            None => self.ask(id, 0, wants).keep(event),
        }
    }
}

//! Runs: as they were listed, or with their tasks and kept up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_core::api::{RunDetail, RunView, TaskView};
use cis_core::event::{Event, TaskState};
use cis_core::ids::RunId;
use cis_core::live::{Applied, LiveRun};

use super::Want;
use crate::graph::Shape;

/// Events that are kept for a run that was asked for; with more of them it is asked for again when it comes.
const KEPT_MAX: usize = 20_000;

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
    /// It was asked for: what has happened to it since then is kept, to be folded into what comes.
    asked: bool,
    kept: Vec<Event>,
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
    fn listed(view: RunView, asked: bool) -> Self {
        Self {
            shown: Shown::Listed(Box::new(view)),
            asked,
            kept: Vec::new(),
            structure: 0,
            shape: Arc::default(),
            stands: Vec::new(),
            version: 0,
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

/// All runs that are known.
#[derive(Debug, Default)]
pub struct Runs {
    entries: BTreeMap<RunId, Entry>,
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

    pub(super) fn list(&mut self, runs: Vec<RunView>, whole: bool, wants: &mut BTreeSet<Want>) {
        self.listed = true;
        if whole {
            let ids: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
            self.entries.retain(|id, _| ids.contains(id));
        }
        for run in runs {
            let id = run.id;
            let open = !run.state.is_terminal();
            let entry = self.entries.entry(id);
            let newer = |entry: &mut Entry| {
                // Whatever was known of it comes from before the line was lost, or from before the store was restored.
                if entry.view().last_offset != run.last_offset {
                    wants.insert(Want::Run(id));
                    entry.asked = true;
                }
            };
            entry.and_modify(newer).or_insert_with(|| {
                if open {
                    wants.insert(Want::Run(id));
                }
                Entry::listed(run, open)
            });
        }
    }

    pub(super) fn show(&mut self, detail: RunDetail) {
        let id = detail.run.id;
        let mut live = LiveRun::new(detail);
        let before = self.entries.remove(&id);
        let (kept, known) = match before {
            Some(entry) => (entry.kept, Some((entry.structure, entry.shape, entry.version))),
            None => (Vec::new(), None),
        };
        for event in &kept {
            live.apply(event);
        }
        live.take_touched();
        let shape = Shape::of(live.tasks());
        let (structure, version) = known.as_ref().map_or((0, 0), |known| (known.0, known.2));
        let (structure, shape) = match known {
            // Asked for again, most runs have the tasks that they had: their drawing stays.
            Some((structure, before, _)) if structure > 0 && *before == shape => (structure, before),
            _ => (structure + 1, Arc::new(shape)),
        };
        let stands = live.tasks().iter().map(Stand::of).collect();
        let shown = Shown::Live(Box::new(live));
        let entry =
            Entry { shown, asked: false, kept: Vec::new(), structure, shape, stands, version: version + 1 };
        self.entries.insert(id, entry);
    }

    pub(super) fn gone(&mut self, run: RunId) {
        self.entries.remove(&run);
    }

    pub(super) fn event(&mut self, event: &Event, wants: &mut BTreeSet<Want>) {
        let Some(id) = event.run else { return };
        let Some(entry) = self.entries.get_mut(&id) else {
            wants.insert(Want::Run(id));
            return;
        };
        if entry.asked {
            if entry.kept.len() < KEPT_MAX {
                entry.kept.push(event.clone());
            } else {
                wants.insert(Want::Run(id));
            }
        }
        let applied = entry.fold(event);
        if applied == Applied::Ask && !std::mem::replace(&mut entry.asked, true) {
            entry.kept.push(event.clone());
            wants.insert(Want::Run(id));
        } else if applied == Applied::Ask {
            wants.insert(Want::Run(id));
        }
    }
}

//! Runs: as they were listed, or with their tasks and kept up to date.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::api::{RunDetail, RunView, TaskView};
use cis_core::event::{Event, TaskState};
use cis_core::ids::RunId;
use cis_core::live::{Applied, LiveRun};

use super::Want;

/// Events that are kept for a run that was asked for; with more of them it is asked for again when it comes.
const KEPT_MAX: usize = 20_000;

/// A run.
#[derive(Debug)]
pub struct Entry {
    shown: Shown,
    /// It was asked for: what has happened to it since then is kept, to be folded into what comes.
    asked: bool,
    kept: Vec<Event>,
    structure: u64,
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
                Entry { shown: Shown::Listed(Box::new(run)), asked: open, kept: Vec::new(), structure: 0 }
            });
        }
    }

    pub(super) fn show(&mut self, detail: RunDetail) {
        let id = detail.run.id;
        let mut live = LiveRun::new(detail);
        let before = self.entries.remove(&id);
        let (kept, structure) = before.map_or((Vec::new(), 0), |entry| (entry.kept, entry.structure));
        for event in &kept {
            live.apply(event);
        }
        live.take_touched();
        let shown = Shown::Live(Box::new(live));
        self.entries.insert(id, Entry { shown, asked: false, kept: Vec::new(), structure: structure + 1 });
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
        let applied = match &mut entry.shown {
            Shown::Live(live) => live.apply(event),
            Shown::Listed(view) if event.offset <= view.last_offset => Applied::Known,
            Shown::Listed(_) => Applied::Ask,
        };
        if applied == Applied::Ask && !std::mem::replace(&mut entry.asked, true) {
            entry.kept.push(event.clone());
            wants.insert(Want::Run(id));
        } else if applied == Applied::Ask {
            wants.insert(Want::Run(id));
        }
    }
}

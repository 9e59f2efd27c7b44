//! What the list of runs shows: pure.

use cis_core::api::RunView;
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_core::ids::{RunId, TimestampMs};

use crate::model::{Entry, Model};
use crate::widgets::{clock, has, lasted, one_line};

/// Which runs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those that have not ended.
    Open,
    /// Those of which something waits for a human.
    Waiting,
    /// Those that did not end well.
    Failed,
}

impl Filter {
    /// All of them, as they stand side by side.
    pub const ALL: [Self; 4] = [Self::All, Self::Open, Self::Waiting, Self::Failed];

    /// As it stands on a button.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Open => "Open",
            Self::Waiting => "Waiting",
            Self::Failed => "Failed",
        }
    }
}

/// A run in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: RunId,
    /// Its DAG.
    pub dag: String,
    /// Its state.
    pub state: RunState,
    /// It is being cancelled.
    pub cancelling: bool,
    /// Its tasks by state, those that have ended first.
    pub counts: Vec<(TaskState, u32)>,
    /// Tasks that have ended, and all.
    pub progress: (u32, u32),
    /// How long it has lasted.
    pub lasted: String,
    /// So many things of it wait for a human.
    pub waits: usize,
    /// Where it is told.
    pub place: String,
}

/// The runs that are shown, newest first.
#[must_use]
pub fn entries<'m>(model: &'m Model, filter: Filter, search: &str) -> Vec<&'m Entry> {
    let needle = search.trim().to_lowercase();
    let shown = |entry: &&Entry| passes(model, entry, filter) && matches(entry, &needle);
    model.runs.all().filter(shown).collect()
}

fn passes(model: &Model, entry: &Entry, filter: Filter) -> bool {
    let state = entry.view().state;
    match filter {
        Filter::All => true,
        Filter::Open => !state.is_terminal(),
        Filter::Waiting => model.inbox.of_run(entry.view().id).next().is_some(),
        Filter::Failed => matches!(state, RunState::Failed | RunState::Error),
    }
}

fn matches(entry: &Entry, needle: &str) -> bool {
    let view = entry.view();
    needle.is_empty()
        || has(&view.dag, needle)
        || has(&view.id.to_string(), needle)
        || view.state.as_str().contains(needle)
}

/// Tasks by state, those that have ended first, then those at work.
pub(in crate::panels) fn counts(run: &RunView) -> Vec<(TaskState, u32)> {
    let mut counts: Vec<(TaskState, u32)> = run.counts.iter().map(|(state, n)| (*state, *n)).collect();
    counts.sort_by_key(|(state, _)| (!state.is_terminal(), !state.is_active(), *state));
    counts
}

/// A run as a row of the list.
#[must_use]
pub fn row(model: &Model, entry: &Entry, now: TimestampMs) -> Row {
    let view = entry.view();
    let from = view.runs_since_ms().unwrap_or(view.created_ms);
    let place = match (view.mode, &view.room) {
        (ExecutionMode::Local, _) => "local".to_owned(),
        (mode, Some(room)) => format!("{mode} in {}", one_line(room, 80)),
        (mode, None) => mode.to_string(),
    };
    Row {
        id: view.id,
        dag: one_line(&view.dag, 60),
        state: view.state,
        cancelling: view.cancelling,
        counts: counts(view),
        progress: entry.progress(),
        lasted: view.ended_ms.map_or_else(|| clock(from, now).0, |ended| lasted(from, ended)),
        waits: model.inbox.of_run(view.id).count(),
        place,
    }
}

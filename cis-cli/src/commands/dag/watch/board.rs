//! What is known of the run that is watched: the folded model of its progress, and beside every task what
//! else is shown of it: needs, session, prompts, times. Pure. Knows nothing of what is drawn, or where.

mod fold;
mod times;
pub(super) mod tree;

use cis_core::api::{InboxItem, RunDetail, TaskView, TimeSplit, TimeView};
use cis_core::event::{AskRecord, PromptKind, PromptOption, PromptRecord, TaskState};
use cis_core::ids::{InboxId, Offset, RunId, SessionId, TimestampMs};

use self::times::{Phase, Times};
use self::tree::Tree;
use crate::progress::model::{Index, Model};

/// Prompts of one task that are kept; a session can ask without waiting as often as it likes.
const ASKED_MAX: usize = 20;

/// The run.
#[derive(Debug)]
pub(super) struct Board {
    /// Its id.
    pub(super) run: RunId,
    /// State, counts, and a line for every task.
    pub(super) model: Model,
    /// What else is known of each task, at the same place.
    pub(super) more: Vec<More>,
    /// How the tasks hang together.
    pub(super) tree: Tree,
    /// Where the time on the critical path went, once that was asked for.
    pub(super) critical: Option<TimeSplit>,
    /// Newest event that was taken in.
    pub(super) offset: Offset,
    /// An event that this version could not read.
    pub(super) unread: Option<String>,
}

/// What else is known of a task.
#[derive(Debug, Default)]
pub(super) struct More {
    /// What it needs.
    pub(super) needs: Vec<Index>,
    /// The task with `foreach` whose item it is.
    pub(super) item_of: Option<Index>,
    /// How many items it became.
    pub(super) items: u32,
    /// Session of its newest try.
    pub(super) session: Option<SessionId>,
    /// When that try ended.
    pub(super) ended_ms: Option<TimestampMs>,
    /// Its exit code.
    pub(super) exit_code: Option<i32>,
    /// Why it is in its state, where that is not obvious.
    pub(super) reason: String,
    /// What is asked of humans, oldest first.
    pub(super) asked: Vec<Asked>,
    /// What its session told last.
    pub(super) said: Option<Told>,
    /// Where its time went.
    pub(super) times: Times,
}

/// What a session told without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// In its words.
    pub(super) text: String,
    /// How far it is, percent.
    pub(super) percent: Option<u8>,
}

/// Something that waits for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// What it is called when it is answered; none: an approval, which its task names.
    pub(super) item: Option<InboxId>,
    /// Which prompt of its session; none: it does not stop the session, or is an approval.
    pub(super) episode: Option<u32>,
    /// What an answer names, so that it answers nothing else.
    pub(super) hash: String,
    /// What is wanted.
    pub(super) kind: PromptKind,
    /// The question.
    pub(super) question: String,
    /// What can be answered, where that is known.
    pub(super) options: Vec<PromptOption>,
    /// Whether words of one's own are an answer.
    pub(super) takes_words: bool,
    /// Since when.
    pub(super) since_ms: TimestampMs,
    /// What happens then by itself.
    pub(super) until_ms: Option<TimestampMs>,
    /// Somebody answered, and it is still there.
    pub(super) answered_by: Option<String>,
}

impl Asked {
    /// The session, or the task, does nothing until it is answered.
    pub(super) fn stops(&self) -> bool {
        self.item.is_none() || self.episode.is_some()
    }

    fn of_prompt(prompt: PromptRecord, since_ms: TimestampMs) -> Self {
        Self {
            item: Some(prompt.item),
            episode: Some(prompt.episode),
            hash: prompt.hash,
            kind: prompt.kind,
            question: prompt.question,
            options: prompt.options,
            takes_words: true,
            since_ms,
            until_ms: None,
            answered_by: None,
        }
    }

    fn of_ask(ask: AskRecord, since_ms: TimestampMs) -> Self {
        Self {
            item: Some(ask.item),
            episode: None,
            hash: String::new(),
            kind: ask.ask_type.kind(),
            question: ask.text,
            takes_words: ask.options.is_empty(),
            options: ask.options,
            since_ms,
            until_ms: None,
            answered_by: None,
        }
    }

    fn of_item(item: InboxItem) -> Self {
        let takes_words = item.takes_text();
        Self {
            item: Some(item.id),
            episode: item.episode,
            hash: item.hash,
            kind: item.kind,
            question: item.question,
            takes_words,
            options: item.options,
            since_ms: item.since,
            until_ms: item.until_ms,
            answered_by: item.answered_by,
        }
    }

    fn of_approval(question: &str, since_ms: TimestampMs, until_ms: Option<TimestampMs>) -> Self {
        Self {
            item: None,
            episode: None,
            hash: String::new(),
            kind: PromptKind::Approval,
            question: question.to_owned(),
            options: Vec::new(),
            takes_words: false,
            since_ms,
            until_ms,
            answered_by: None,
        }
    }
}

impl Board {
    /// The run as the node shows it. `now` is when it showed it.
    pub(super) fn of(detail: &RunDetail, now: TimestampMs) -> Self {
        let model = Model::of(detail);
        let mut board = Self {
            run: detail.run.id,
            more: Vec::with_capacity(model.tasks().len()),
            tree: Tree::default(),
            critical: None,
            offset: detail.run.last_offset,
            unread: None,
            model,
        };
        for task in &detail.tasks {
            let more = board.more_of(task, now);
            board.more.push(more);
        }
        board.hang();
        for (task, more) in detail.tasks.iter().zip(&mut board.more) {
            // Where the time before went, the node tells next.
            let since = task.started_ms.filter(|_| task.state.is_active()).unwrap_or(now);
            more.times.begin(since);
            more.turn(task.state, since);
        }
        board
    }

    fn more_of(&self, task: &TaskView, now: TimestampMs) -> More {
        let needs = task.needs.iter().filter_map(|need| self.model.place(need.as_str())).collect();
        let mut more = More {
            needs,
            session: task.session,
            ended_ms: task.ended_ms,
            exit_code: task.exit_code,
            reason: task.reason.clone().unwrap_or_default(),
            said: task.said.as_ref().map(|said| Told { text: said.text.clone(), percent: said.percent }),
            ..More::default()
        };
        if let Some(approval) = &task.approval {
            more.asked.push(Asked::of_approval(&approval.prompt, now, approval.until_ms));
            // Said with the question.
            more.reason.clear();
        }
        more
    }

    /// What waits for humans, as the node lists it: takes the place of what is known.
    pub(super) fn take_inbox(&mut self, items: Vec<InboxItem>) {
        for item in items {
            let Some(index) = item.task.as_ref().and_then(|task| self.model.place(task.as_str())) else {
                continue;
            };
            if item.run != Some(self.run) {
                continue;
            }
            let more = &mut self.more[index];
            if item.kind == PromptKind::Approval {
                // It is answered by its task's name. The list knows since when it waits.
                if let Some(asked) = more.asked.iter_mut().find(|asked| asked.item.is_none()) {
                    asked.since_ms = item.since;
                }
                continue;
            }
            let since = item.since;
            more.ask(Asked::of_item(item));
            more.turn(self.model.task(index).state, since);
        }
    }

    /// Where time went, as the node counts it; goes on from there.
    pub(super) fn take_times(&mut self, view: &TimeView, now: TimestampMs) {
        self.critical = Some(view.critical);
        // A retry counts from its own beginning.
        self.model.started_ms = view.from_ms.or(self.model.started_ms);
        for task in &view.tasks {
            let Some(index) = self.model.place(task.task.as_str()) else { continue };
            let more = &mut self.more[index];
            more.times.set(task.split, now);
            more.turn(self.model.task(index).state, now);
        }
    }

    /// Tasks that wait for humans, those that wait longest first.
    pub(super) fn waiting(&self) -> Vec<Index> {
        let mut waiting: Vec<(TimestampMs, Index)> = self
            .more
            .iter()
            .enumerate()
            .filter_map(|(index, more)| Some((more.open()?.since_ms, index)))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, index)| index).collect()
    }

    /// Whether something moves without an event: the clocks of what is under way.
    pub(super) fn ticks(&self) -> bool {
        !self.model.state.is_terminal() && self.model.started_ms.is_some()
    }

    /// Whether its session may be looked at and typed into.
    pub(super) fn is_live(&self, index: Index) -> bool {
        self.model.task(index).state == TaskState::Running && self.more[index].session.is_some()
    }

    fn hang(&mut self) {
        for index in 0..self.more.len() {
            let name = &self.model.task(index).name;
            let parent = name.rsplit_once('.').filter(|(_, number)| number.parse::<u32>().is_ok());
            let parent = parent.and_then(|(parent, _)| self.model.place(parent));
            if self.more[index].item_of.is_none()
                && let Some(parent) = parent
            {
                self.more[index].item_of = Some(parent);
                self.more[parent].items += 1;
            }
        }
        self.tree = Tree::of(&self.more);
    }
}

impl More {
    /// What a human is to answer first: what stops it, otherwise what it asks beside its work.
    pub(super) fn open(&self) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.stops()).or_else(|| self.asked.first())
    }

    /// Whether it does nothing until somebody answers.
    pub(super) fn stopped(&self) -> bool {
        self.asked.iter().any(Asked::stops)
    }

    /// Its state is that from then on.
    fn turn(&mut self, state: TaskState, at_ms: TimestampMs) {
        let phase = match state {
            TaskState::Queued | TaskState::Running if self.stopped() => Phase::Human,
            // The time of its items is theirs.
            TaskState::Queued if self.items > 0 => Phase::None,
            TaskState::Queued => Phase::Queue,
            TaskState::Running | TaskState::Processing => Phase::Machine,
            _ => Phase::None,
        };
        self.times.turn(phase, at_ms);
    }

    fn ask(&mut self, asked: Asked) {
        let known = self.asked.iter().position(|known| known.item == asked.item);
        match known {
            Some(place) => self.asked[place] = asked,
            None if self.asked.len() < ASKED_MAX => self.asked.push(asked),
            None => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

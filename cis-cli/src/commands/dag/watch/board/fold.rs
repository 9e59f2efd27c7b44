//! Events into the board.

use cis_client::EventRef;
use cis_core::event::{AttemptResult, EndReason, EventBody, ExitStatus, QueueReason, TaskChange, TaskState};
use cis_core::ids::{InboxId, SessionId, TaskId, TimestampMs};

use super::{Asked, Board, More, Told};
use crate::output::human::span;
use crate::progress::model::Index;

impl Board {
    /// Takes one event of the run in. One that this version cannot read is noted and left out.
    pub(in super::super) fn fold(&mut self, event: &EventRef<'_>) {
        if event.offset <= self.offset {
            return;
        }
        self.offset = event.offset;
        if let Err(error) = self.model.fold(event, &mut Vec::new()) {
            self.unread = Some(format!("{}: {error}", event.type_name));
        }
        let known = self.more.len();
        self.more.resize_with(self.model.tasks().len(), More::default);
        // A type that is newer than we are says nothing to us.
        if let Ok(body) = EventBody::from_parts(&event.type_name, event.body.get()) {
            self.take(body, event.at_ms);
        }
        if self.more.len() != known {
            self.hang();
        }
        for index in self.model.take_touched() {
            self.touched(index, event.at_ms);
        }
    }

    fn take(&mut self, body: EventBody, at_ms: TimestampMs) {
        match body {
            EventBody::TaskAssigned(grant) => self.with(&grant.task, |more| {
                more.begins(grant.session);
            }),
            EventBody::SessionStarted { session, task: Some(task), .. } => {
                self.with(&task, |more| more.begins(session));
            }
            EventBody::TaskResult(result) => self.result(&result),
            EventBody::TaskStatus { changes } => self.changed(changes, at_ms),
            EventBody::RunRetried { changes, .. } => {
                self.critical = None;
                for change in &changes {
                    let Some(index) = self.model.place(change.task.as_str()) else { continue };
                    self.more[index].times.begin(at_ms);
                    self.more[index].turn(change.state, at_ms);
                }
                self.changed(changes, at_ms);
            }
            EventBody::TaskApproved { task, .. } => {
                self.with(&task, |more| {
                    more.reason.clear();
                    more.asked.retain(|asked| asked.item.is_some());
                });
            }
            EventBody::SessionBlocked { task: Some(task), prompt, .. } => {
                let asked = Asked::of_prompt(*prompt, at_ms);
                self.with(&task, |more| {
                    // A session shows one prompt at a time.
                    more.asked.retain(|known| known.episode.is_none() || known.episode == asked.episode);
                    more.ask(asked);
                });
            }
            EventBody::SessionRecovered { task: Some(task), episode, .. } => self.with(&task, |more| {
                more.asked.retain(|asked| asked.episode.is_none_or(|other| other > episode));
            }),
            EventBody::SessionAsked { task: Some(task), ask, .. } if !ask.waits => {
                self.with(&task, |more| more.ask(Asked::of_ask(*ask, at_ms)));
            }
            EventBody::SessionSaid { task: Some(task), said, .. } => self.with(&task, |more| {
                // How far it is holds until it says so again.
                let before = more.said.take().and_then(|told| told.percent);
                more.said = Some(Told { text: said.text, percent: said.percent.or(before) });
            }),
            EventBody::AskWithdrawn { task: Some(task), item, .. } => {
                self.with(&task, |more| more.asked.retain(|asked| asked.item.as_ref() != Some(&item)));
            }
            EventBody::SessionAnswered { task: Some(task), item, answer, .. } => {
                self.answered(&task, &item, Some(answer.by));
            }
            EventBody::AnswerVoid { task: Some(task), item, .. } => self.answered(&task, &item, None),
            _ => {}
        }
    }

    fn with(&mut self, task: &TaskId, what: impl FnOnce(&mut More)) {
        if let Some(index) = self.model.place(task.as_str()) {
            what(&mut self.more[index]);
        }
    }

    fn result(&mut self, result: &AttemptResult) {
        let why = match (&result.end, &result.queued) {
            (Some(end @ (EndReason::AllowedFailure { .. } | EndReason::Killed)), _) => end.to_string(),
            (Some(_), _) if result.state == TaskState::Succeeded => String::new(),
            (_, Some(queued)) => reason(queued, result.ended_ms),
            (Some(end), None) if result.outcome.detail().is_empty() => end.to_string(),
            _ => result.outcome.detail(),
        };
        let exit_code = result.exit.and_then(exit_code);
        self.with(&result.task, |more| {
            more.session = Some(result.session);
            more.ended_ms = Some(result.ended_ms);
            more.exit_code = exit_code;
            more.reason = why;
            more.asked.clear();
        });
    }

    fn changed(&mut self, changes: Vec<TaskChange>, at_ms: TimestampMs) {
        for change in changes {
            let why = match (&change.end, &change.queued) {
                (Some(end), _) => end.to_string(),
                (None, Some(queued)) => reason(queued, at_ms),
                (None, None) => String::new(),
            };
            self.with(&change.task, |more| {
                more.reason = why;
                if change.state.is_terminal() || change.state == TaskState::Pending {
                    more.asked.clear();
                }
                if let Some(QueueReason::Approval { prompt, until_ms }) = &change.queued {
                    more.ask(Asked::of_approval(prompt, at_ms, *until_ms));
                }
            });
        }
    }

    /// What only asks is over when it is answered; what stops the session, when the session goes on.
    fn answered(&mut self, task: &TaskId, item: &InboxId, by: Option<String>) {
        self.with(task, |more| {
            more.asked
                .retain(|asked| asked.item.as_ref() != Some(item) || asked.episode.is_some() || by.is_none());
            if let Some(asked) = more.asked.iter_mut().find(|asked| asked.item.as_ref() == Some(item)) {
                asked.answered_by = by;
            }
        });
    }

    fn touched(&mut self, index: Index, at_ms: TimestampMs) {
        let state = self.model.task(index).state;
        let more = &mut self.more[index];
        if state.is_active() || state.is_terminal() {
            // Approvals are of tasks that have not begun.
            more.asked.retain(|asked| asked.item.is_some());
        }
        if !state.is_active() {
            more.asked.retain(|asked| asked.item.is_none());
        }
        more.turn(state, at_ms);
    }
}

impl More {
    fn begins(&mut self, session: SessionId) {
        if self.session != Some(session) {
            self.asked.clear();
            self.said = None;
        }
        self.session = Some(session);
        self.ended_ms = None;
        self.exit_code = None;
        self.reason.clear();
    }
}

fn exit_code(exit: ExitStatus) -> Option<i32> {
    match exit {
        ExitStatus::Code(code) => Some(code),
        ExitStatus::Signal(_) => None,
    }
}

/// Why a task waits, said at `now`.
fn reason(queued: &QueueReason, now: TimestampMs) -> String {
    match queued {
        QueueReason::Slot | QueueReason::Withdrawn => "waits for its turn".to_owned(),
        QueueReason::RetryAt { at_ms, after } => {
            format!("{after}; the next try comes {} later", span(now, *at_ms))
        }
        QueueReason::Resources { at_ms, detail } => {
            format!("the machine is short of something ({detail}); tried again {} later", span(now, *at_ms))
        }
        QueueReason::Lost { detail } => format!("its session was lost ({detail}); it runs again"),
        QueueReason::Group { name } => format!("waits for its turn in group `{name}`"),
        // Said with the question.
        QueueReason::Approval { .. } => String::new(),
        QueueReason::Account { name, until_ms } => {
            format!("account `{name}` is logged out; it is tried again {} later", span(now, *until_ms))
        }
        QueueReason::Items { count } => format!("its {count} items are at work"),
    }
}

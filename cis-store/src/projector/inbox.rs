//! Rows of what waits for a human, of what was answered, and of what sessions say.
//!
//! Stands on events alone, and on no other table: an older store gets these rows from its events ([`fill`]).

mod rows;

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use self::rows::{Row, Thread, decision, load, message, recovered, told, void};
use super::Place;
use crate::error::RowError;
use crate::values::{EVENT_COLUMNS, event};
use cis_core::event::{
    AnswerRecord, AskRecord, EndReason, Event, EventBody, PromptKind, PromptOption, PromptRecord,
    QueueReason, TaskChange,
};
use cis_core::ids::{InboxId, InputId, RunId, SessionId, TaskId};

/// Types of events of an older store that these rows follow from.
const FILLED_FROM: &str = "'cis.dag.task.status', 'cis.dag.task.approved', 'cis.dag.task.expanded',
    'cis.dag.task.result', 'cis.dag.run.retried', 'cis.dag.run.completed', 'cis.dag.run.failed',
    'cis.dag.run.error', 'cis.dag.run.cancelled', 'cis.dag.session.ended'";

/// Knows who has open items, so that the many events that concern none cost a look at a set.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    open: Option<Open>,
}

#[derive(Debug, Default)]
struct Open {
    approvals: HashSet<(RunId, TaskId)>,
    sessions: HashSet<SessionId>,
}

/// Why an item is closed.
struct Closing<'a> {
    how: &'a str,
    detail: Option<&'a str>,
    answer: Option<&'a AnswerRecord>,
}

impl Closing<'_> {
    const ENDED: Self = Self { how: "ended", detail: None, answer: None };
}

/// Gives a store of an older version its rows.
pub(crate) fn fill(conn: &Connection) -> Result<(), RowError> {
    let mut inbox = Inbox::default();
    let mut read = conn.prepare(&format!(
        "SELECT {EVENT_COLUMNS} FROM events WHERE type IN ({FILLED_FROM}) ORDER BY offset"
    ))?;
    let mut rows = read.query(())?;
    while let Some(row) = rows.next()? {
        // What cannot be read is for the check to tell; it must not keep the store from opening.
        let Ok(event) = event(row) else { continue };
        let Event { offset, run, at_ms, .. } = event;
        if let Ok(body) = event.decode() {
            inbox.apply(conn, Place { offset, run, at_ms }, &body)?;
        }
    }
    Ok(())
}

impl Inbox {
    /// Applies one event, whatever it is.
    pub(super) fn apply(&mut self, conn: &Connection, at: Place, body: &EventBody) -> Result<(), RowError> {
        match body {
            EventBody::SessionBlocked { session, task, prompt } => {
                self.blocked(conn, at, *session, task.as_ref(), prompt)
            }
            EventBody::SessionRecovered { session, episode, .. } => recovered(conn, at, *session, *episode),
            EventBody::SessionAsked { session, task, ask } => {
                self.asked(conn, at, *session, task.as_ref(), ask)
            }
            EventBody::AskWithdrawn { session, item, detail, .. } => {
                let closing = Closing { how: "withdrawn", detail: Some(detail), answer: None };
                self.close_ask(conn, at, *session, item, &closing)
            }
            EventBody::SessionSaid { session, said, .. } => told(conn, at, *session, said),
            EventBody::SessionAnswered { session, item, input, answer, .. } => {
                self.answered(conn, at, *session, item, *input, answer)
            }
            EventBody::AnswerVoid { session, item, input, .. } => void(conn, *session, item, *input),
            EventBody::TaskResult(result) => self.session_over(conn, at, result.session),
            EventBody::SessionEnded { session, .. } => self.session_over(conn, at, *session),
            EventBody::TaskStatus { changes } | EventBody::RunRetried { changes, .. } => {
                self.tasks_changed(conn, at, changes)
            }
            EventBody::TaskApproved { task, by, comment } => {
                let answer = decision("approve", by, comment.clone());
                let closing = Closing { how: "answered", detail: None, answer: Some(&answer) };
                self.decided(conn, at, task, &closing)
            }
            EventBody::TaskExpanded { task, .. } => self.decided(conn, at, task, &Closing::ENDED),
            EventBody::RunCompleted {}
            | EventBody::RunFailed { .. }
            | EventBody::RunErrored { .. }
            | EventBody::RunCancelled {} => self.run_over(conn, at),
            _ => Ok(()),
        }
    }

    fn open(&mut self, conn: &Connection) -> Result<&mut Open, RowError> {
        match &mut self.open {
            Some(open) => Ok(open),
            slot => Ok(slot.insert(load(conn)?)),
        }
    }

    fn blocked(
        &mut self,
        conn: &Connection,
        at: Place,
        session: SessionId,
        task: Option<&TaskId>,
        prompt: &PromptRecord,
    ) -> Result<(), RowError> {
        if let Some(ask) = prompt.ask {
            // The ask has its row: that its session waits for it is all that is new.
            conn.prepare_cached(
                "UPDATE inbox SET episode = ?3, hash = ?4, until_ms = ?5, waited = 1 - waits
                 WHERE session = ?1 AND ask = ?2 AND closed_ms IS NULL",
            )?
            .execute(params![
                session.0.to_bytes(),
                ask.0.to_bytes(),
                prompt.episode,
                prompt.hash,
                prompt.until_ms
            ])?;
            return Ok(());
        }
        self.open(conn)?.sessions.insert(session);
        let row = Row {
            id: &prompt.item,
            task,
            session: Some(session),
            kind: prompt.kind,
            question: &prompt.question,
            options: &prompt.options,
            confidence: prompt.confidence,
            layer: Some(prompt.layer.as_str()),
            episode: Some(prompt.episode),
            hash: &prompt.hash,
            screen: &prompt.screen,
            ask: None,
            until_ms: prompt.until_ms,
        };
        row.insert(conn, at)
    }

    fn asked(
        &mut self,
        conn: &Connection,
        at: Place,
        session: SessionId,
        task: Option<&TaskId>,
        ask: &AskRecord,
    ) -> Result<(), RowError> {
        self.open(conn)?.sessions.insert(session);
        let row = Row {
            id: &ask.item,
            task,
            session: Some(session),
            kind: ask.ask_type.kind(),
            question: &ask.text,
            options: &ask.options,
            confidence: 100,
            layer: Some("asked"),
            episode: None,
            hash: "",
            screen: "",
            ask: Some(ask),
            until_ms: None,
        };
        row.insert(conn, at)?;
        let thread = Thread { session, id: &ask.thread };
        message(conn, at, thread, &session.to_string(), "asked", &ask.text, Some(&ask.item))
    }

    /// An answer: of an ask it closes it, of a prompt on a screen it is noted until the prompt is gone.
    fn answered(
        &mut self,
        conn: &Connection,
        at: Place,
        session: SessionId,
        item: &InboxId,
        input: InputId,
        answer: &AnswerRecord,
    ) -> Result<(), RowError> {
        conn.prepare_cached(
            // One more answer keeps the one before it, in case it does not arrive.
            "UPDATE inbox SET answered_ms = ?3, input = ?5, answer = iif(answer IS NULL, ?4, json_set(?4, '$.before',
                json_object('answer', json_remove(answer, '$.before'), 'at_ms', answered_ms, 'input', hex(input))))
             WHERE session = ?1 AND id = ?2 AND closed_ms IS NULL",
        )?
        .execute(params![
            session.0.to_bytes(),
            item.0,
            at.at_ms,
            serde_json::to_string(answer)?,
            input.0.to_bytes()
        ])?;
        let closing = Closing { how: "answered", detail: None, answer: Some(answer) };
        self.close_ask(conn, at, session, item, &closing)
    }

    /// Closes an ask, where the item is one and open, and tells its thread.
    fn close_ask(
        &mut self,
        conn: &Connection,
        at: Place,
        session: SessionId,
        item: &InboxId,
        closing: &Closing<'_>,
    ) -> Result<(), RowError> {
        let thread: Option<String> = conn
            .prepare_cached(
                "UPDATE inbox SET closed_ms = ?3, closed = ?4, detail = ?5
                 WHERE session = ?1 AND id = ?2 AND ask IS NOT NULL AND closed_ms IS NULL
                 RETURNING coalesce(thread, id)",
            )?
            .query_row(params![session.0.to_bytes(), item.0, at.at_ms, closing.how, closing.detail], |row| {
                row.get(0)
            })
            .optional()?;
        let Some(id) = thread.map(InboxId) else { return Ok(()) };
        let thread = Thread { session, id: &id };
        match closing.answer {
            Some(answer) => {
                let text = match &answer.reason {
                    Some(reason) => format!("{}: {reason}", answer.text),
                    None => answer.text.clone(),
                };
                message(conn, at, thread, &answer.by, "answered", &text, Some(item))
            }
            None => {
                let text = closing.detail.unwrap_or_default();
                message(conn, at, thread, &session.to_string(), closing.how, text, Some(item))
            }
        }
    }

    fn session_over(&mut self, conn: &Connection, at: Place, session: SessionId) -> Result<(), RowError> {
        if self.open(conn)?.sessions.remove(&session) {
            conn.prepare_cached(
                "UPDATE inbox SET closed_ms = ?2, closed = iif(answer IS NULL, 'ended', 'answered')
                 WHERE session = ?1 AND closed_ms IS NULL",
            )?
            .execute(params![session.0.to_bytes(), at.at_ms])?;
        }
        Ok(())
    }

    fn run_over(&mut self, conn: &Connection, at: Place) -> Result<(), RowError> {
        let Some(run) = at.run else { return Ok(()) };
        let open = self.open(conn)?;
        if open.approvals.is_empty() && open.sessions.is_empty() {
            return Ok(());
        }
        open.approvals.retain(|(of, _)| *of != run);
        conn.prepare_cached(
            "UPDATE inbox SET closed_ms = ?2, closed = 'ended' WHERE run = ?1 AND closed_ms IS NULL",
        )?
        .execute(params![run.0.to_bytes(), at.at_ms])?;
        Ok(())
    }

    /// Approvals that are asked for from now on, and those that are over.
    fn tasks_changed(
        &mut self,
        conn: &Connection,
        at: Place,
        changes: &[TaskChange],
    ) -> Result<(), RowError> {
        let Some(run) = at.run else { return Ok(()) };
        for change in changes {
            if let Some(QueueReason::Approval { prompt, until_ms }) = &change.queued {
                self.approval(conn, at, run, &change.task, prompt, *until_ms)?;
                continue;
            }
            match &change.end {
                Some(EndReason::Rejected { by, reason }) => {
                    let reason = (!reason.is_empty()).then(|| reason.clone());
                    let answer = decision("reject", by, reason);
                    let closing = Closing { how: "answered", detail: None, answer: Some(&answer) };
                    self.decided(conn, at, &change.task, &closing)?;
                }
                Some(EndReason::ApprovalTimeout { .. }) => {
                    let closing = Closing { how: "expired", detail: None, answer: None };
                    self.decided(conn, at, &change.task, &closing)?;
                }
                _ => self.decided(conn, at, &change.task, &Closing::ENDED)?,
            }
        }
        Ok(())
    }

    fn approval(
        &mut self,
        conn: &Connection,
        at: Place,
        run: RunId,
        task: &TaskId,
        prompt: &str,
        until_ms: Option<i64>,
    ) -> Result<(), RowError> {
        if !self.open(conn)?.approvals.insert((run, task.clone())) {
            conn.prepare_cached(
                "UPDATE inbox SET question = ?3, until_ms = ?4
                 WHERE run = ?1 AND task = ?2 AND session IS NULL AND closed_ms IS NULL",
            )?
            .execute(params![run.0.to_bytes(), task.as_str(), prompt, until_ms])?;
            return Ok(());
        }
        let row = Row {
            id: &InboxId::of_approval(run, task, at.at_ms),
            task: Some(task),
            session: None,
            kind: PromptKind::Approval,
            question: prompt,
            options: &PromptOption::of_approvals(),
            confidence: 100,
            layer: None,
            episode: None,
            hash: "",
            screen: "",
            ask: None,
            until_ms,
        };
        row.insert(conn, at)
    }

    /// A task waits for approval no more.
    fn decided(
        &mut self,
        conn: &Connection,
        at: Place,
        task: &TaskId,
        closing: &Closing<'_>,
    ) -> Result<(), RowError> {
        let Some(run) = at.run else { return Ok(()) };
        let open = self.open(conn)?;
        if open.approvals.is_empty() || !open.approvals.remove(&(run, task.clone())) {
            return Ok(());
        }
        let answer = closing.answer.map(serde_json::to_string).transpose()?;
        conn.prepare_cached(
            "UPDATE inbox SET closed_ms = ?3, closed = ?4, answered_ms = iif(?5 IS NULL, NULL, ?3), answer = ?5
             WHERE run = ?1 AND task = ?2 AND session IS NULL AND closed_ms IS NULL",
        )?
        .execute(params![run.0.to_bytes(), task.as_str(), at.at_ms, closing.how, answer])?;
        Ok(())
    }
}

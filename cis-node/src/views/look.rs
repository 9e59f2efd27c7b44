//! Looking at a session of another node: its terminal and its log, as if it were here.
//!
//! Owns the viewer's end of a view, and filters what the other node says once more: it may lie.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::until;
use crate::account::boot_ms;
use crate::commands::Command;
use crate::node::Node;
use crate::open_views::{Registered, TheirEnd};
use crate::problems::internal;
use crate::server::{AttachFrame, AttachInput, AttachStreams};
use crate::streams::Viewer;
use cis_core::api::log_pieces::LogPiece;
use cis_core::api::{Attach, Problem, ProblemKind, ReadLog, RoomNodeState, RoomNodeView, SessionView};
use cis_core::event::Actor;
use cis_core::federation::view::{Frame, Open, Pipe, Role, ViewMessage, What};
use cis_core::ids::{InputId, SessionId};
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::sanitizer::{Form, Sanitizer};
use cis_core::text::visible_text;

/// How long somebody waits for the other node.
const FIRST_TIME_MAX: Duration = Duration::from_secs(15);
/// The same where this node does not hear the other one any more, or was told that it stops: it may be back without having said so.
const SILENT_TIME_MAX: Duration = Duration::from_secs(3);
/// The same for the end of a view, which the other node is told for so long.
const LAST_TIME_MAX_MS: i64 = 10_000;
/// So long after a viewer has read on, what the other node said meanwhile is heard, ms.
const DEAF_MS: i64 = 60_000;
/// Frames on their way to a slow viewer.
const FRAMES_AHEAD: usize = 8;
/// Bytes of a value as JSON.
const VALUE_BYTES_MAX: usize = 4 << 20;
/// What somebody types, on its way.
const INPUTS_AHEAD: usize = 64;

/// A session that another node has.
pub(crate) struct Elsewhere {
    end: TheirEnd,
    view: SessionView,
}

/// The viewer's end of a view.
struct Looking {
    frames: mpsc::Receiver<Frame>,
    input: mpsc::Sender<AttachInput>,
    viewer: Viewer,
    /// It asks the other node to type something.
    is_input: bool,
}

impl Node {
    /// Where a session is that another node of a room has; none: this one has it, or had it.
    pub(crate) async fn elsewhere(&self, session: SessionId) -> Result<Option<Elsewhere>, Problem> {
        let view = match self.session_view(session).await {
            Ok(view) => view,
            // This node has it, and its room has not told of it yet.
            Err(problem) if problem.kind == ProblemKind::NotFound => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let Some(run) = view.run else { return Ok(None) };
        let node = self.read(move |reader| reader.node_of(session)).await?;
        let Some(node) = node.filter(|node| !self.identity.is_or_was(node)) else { return Ok(None) };
        let room = self.read(move |reader| reader.run(run)).await?.room;
        let served = room.filter(|room| self.shared.served.borrow().contains(room));
        let Some(room) = served else {
            let detail = format!("session {session} runs on {node}");
            let hint =
                "this node does not share tasks in its room: attach to it, or read its log, on that machine";
            return Err(Problem::new(ProblemKind::Conflict, detail).hint(hint));
        };
        Ok(Some(Elsewhere { end: TheirEnd { room, node }, view }))
    }

    /// Attaches to the terminal of such a session.
    pub(crate) async fn attach_elsewhere(
        &self,
        place: Elsewhere,
        attach: Attach,
        by: Actor,
    ) -> Result<AttachStreams, Problem> {
        let mut looking = self.look(&place, What::Terminal { attach }, by)?;
        let first = self.first(&place, &mut looking).await?;
        let Looking { frames, input, viewer, .. } = looking;
        let output = Sanitizer::new(Form::Screen, Arc::new(Redactor::default()), Mask::SameWidth);
        let state = (Some(first), frames, output, viewer);
        let output = stream::unfold(state, |(mut first, mut frames, mut filter, viewer)| async move {
            let ended = viewer.ended();
            let frame = match first.take() {
                Some(frame) => frame,
                None => tokio::select! {
                    biased;
                    frame = frames.recv() => frame?,
                    () = ended => return None,
                },
            };
            let frame = match frame {
                Frame::Output { data, next } => {
                    let mut bytes = Vec::with_capacity(data.len());
                    filter.push(&data, &mut bytes);
                    AttachFrame::Output { bytes, next: next.filter(|_| filter.is_settled()) }
                }
                Frame::Notice { notice } => AttachFrame::Notice(notice),
                // The client comes again, and is told why it cannot.
                _ => return None,
            };
            Some((frame, (first, frames, filter, viewer)))
        });
        Ok(AttachStreams { output: output.boxed(), input })
    }

    /// Reads the log of such a session.
    pub(crate) async fn log_elsewhere(
        &self,
        place: Elsewhere,
        read: ReadLog,
        by: Actor,
    ) -> Result<BoxStream<'static, LogPiece>, Problem> {
        let (form, is_marked) = (crate::logs::form_of(&read), read.marks);
        let mut looking = self.look(&place, What::Log { read }, by)?;
        let first = self.first(&place, &mut looking).await?;
        let Looking { frames, input, viewer, .. } = looking;
        let filter = Sanitizer::new(form, Arc::new(Redactor::default()), Mask::Stars);
        let state = Some((Some(first), frames, filter, (input, viewer)));
        let pieces = stream::unfold(state, move |state| async move {
            let (mut first, mut frames, mut filter, open) = state?;
            let frame = match first.take() {
                Some(frame) => Some(frame),
                None => frames.recv().await,
            };
            let mut bytes = Vec::new();
            match frame {
                Some(Frame::Output { data, next }) => {
                    filter.push(&data, &mut bytes);
                    let piece = LogPiece { bytes, next: next.filter(|_| filter.is_settled()), last: false };
                    Some((piece, Some((first, frames, filter, open))))
                }
                Some(Frame::End { problem: None }) => {
                    filter.finish(&mut bytes);
                    Some((LogPiece { bytes, next: None, last: true }, None))
                }
                // Without a last piece the reader comes again, and is told why it cannot.
                _ if is_marked => None,
                _ => {
                    let bytes = crate::logs::line(form, "[cis: the other node did not send the rest]");
                    Some((LogPiece { bytes, next: None, last: true }, None))
                }
            }
        });
        Ok(pieces.boxed())
    }

    /// Asks the node of such a session for one value.
    pub(crate) async fn ask_elsewhere<T: DeserializeOwned>(
        &self,
        place: Elsewhere,
        what: What,
        by: Actor,
    ) -> Result<T, Problem> {
        let mut looking = self.look(&place, what, by)?;
        let first = self.first(&place, &mut looking).await?;
        let (mut next, mut json) = (Some(first), Vec::new());
        loop {
            match next {
                Some(Frame::Output { data, .. }) if json.len() + data.len() <= VALUE_BYTES_MAX => {
                    json.extend_from_slice(&data);
                }
                Some(Frame::End { problem: None }) => break,
                Some(Frame::End { problem: Some(problem) }) => return Err(cleaned(*problem)),
                _ => return Err(self.no_answer(&place, &looking)),
            }
            next = timeout(FIRST_TIME_MAX, looking.frames.recv()).await.ok().flatten();
        }
        let value = serde_json::from_slice(&json).map(visible);
        value.and_then(serde_json::from_value).map_err(|error| internal(&error))
    }

    /// Opens a view.
    fn look(&self, place: &Elsewhere, what: What, by: Actor) -> Result<Looking, Problem> {
        let Elsewhere { end, view } = place;
        let (Some(run), Some(task), Some(attempt)) = (view.run, view.task.clone(), view.attempt) else {
            return Err(Problem::new(ProblemKind::NotFound, format!("session {} has no task", view.id)));
        };
        let is_input = matches!(what, What::Input { .. });
        let open = Open { run, task, attempt, session: view.id, by: by.name, what };
        let id = InputId(ulid::Ulid::new());
        let registered = self.views.register(id, end.clone(), false);
        let (to_viewer, frames) = mpsc::channel(FRAMES_AHEAD);
        let (input, typed) = mpsc::channel(INPUTS_AHEAD);
        let mut pipe = Pipe::new(id, Role::Viewer { life: None }, boot_ms());
        pipe.push(Frame::Open(Box::new(open)));
        let end = end.clone();
        let end = OwnEnd { node: self.clone(), end, view: registered, pipe, to_viewer, typed, is_input };
        tokio::spawn(end.run());
        let viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        Ok(Looking { frames, input, viewer, is_input })
    }

    /// What a view shows first.
    async fn first(&self, place: &Elsewhere, looking: &mut Looking) -> Result<Frame, Problem> {
        match timeout(self.patience(&place.end).await, looking.frames.recv()).await {
            Ok(Some(Frame::End { problem: Some(problem) })) => Err(cleaned(*problem)),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) | Err(_) => Err(self.no_answer(place, looking)),
        }
    }

    /// How long somebody waits for a node.
    async fn patience(&self, TheirEnd { room, node }: &TheirEnd) -> Duration {
        let nodes = self.driver.ask(|reply| Command::Nodes { reply }).await.unwrap_or_default();
        let known = nodes.iter().find(|other| other.room_id == *room && other.did == *node);
        if known.is_some_and(is_gone) { SILENT_TIME_MAX } else { FIRST_TIME_MAX }
    }

    fn no_answer(&self, place: &Elsewhere, looking: &Looking) -> Problem {
        let Elsewhere { end: TheirEnd { room, node }, view } = place;
        let name = self.members.name_of(room, node).unwrap_or_else(|| node.to_string());
        let detail = format!("no answer from {name}, which has session {}", view.id);
        // Not `Unavailable`: clients take that for this node, and wait for it.
        if looking.is_input {
            let detail = format!("{detail}: the text may have been typed, or may still be typed");
            let hint = format!("`cis dag attach {}` shows it when that node is there again", view.id.short());
            return Problem::new(ProblemKind::Conflict, detail).hint(hint);
        }
        Problem::new(ProblemKind::Conflict, detail)
            .hint("look at `cis node list`; what it shows is on that machine, and can be seen when its node is there again")
    }
}

/// Whether a node said that it stops, or was heard and is not any more.
fn is_gone(node: &RoomNodeView) -> bool {
    node.stopped || node.state == RoomNodeState::Silent
}

/// What another node says went wrong, without what is not seen.
fn cleaned(mut problem: Problem) -> Problem {
    problem.detail = visible_text(&problem.detail);
    problem.hint = problem.hint.as_deref().map(visible_text);
    problem
}

/// A value of another node, without what is not seen.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible_text(&text)),
        Value::Array(items) => items.into_iter().map(visible).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (visible_text(&name), visible(value))).collect()
        }
        other => other,
    }
}

/// The task of the viewer's end.
struct OwnEnd {
    node: Node,
    end: TheirEnd,
    view: Registered,
    pipe: Pipe,
    to_viewer: mpsc::Sender<Frame>,
    typed: mpsc::Receiver<AttachInput>,
    /// It asks the other node to type something.
    is_input: bool,
}

impl OwnEnd {
    async fn run(mut self) {
        let mut leaves_at = None;
        let (mut frames, to_viewer): (VecDeque<Frame>, _) = (VecDeque::new(), self.to_viewer.clone());
        // Since then nothing keeps this end from hearing the other one.
        let mut hears_since = boot_ms();
        loop {
            let now = boot_ms();
            if leaves_at.is_some_and(|at| at <= now) {
                return;
            }
            if !frames.is_empty() {
                hears_since = now;
            }
            while let Some(segment) = self.pipe.poll_transmit(now) {
                let TheirEnd { room, node } = &self.end;
                self.node.link.view(room, node.clone(), ViewMessage::Segment(segment));
            }
            let is_gone = self.pipe.is_gone(now) && now.saturating_sub(hears_since) >= DEAF_MS;
            if self.pipe.is_done() || is_gone {
                return;
            }
            let timeout =
                leaves_at.map_or(self.pipe.poll_timeout(now), |at| self.pipe.poll_timeout(now).min(at));
            tokio::select! {
                permit = to_viewer.reserve(), if leaves_at.is_none() && !frames.is_empty() => {
                    let is_last = match (permit, frames.pop_front()) {
                        (Ok(permit), Some(frame)) => {
                            let is_last = frame.is_last();
                            permit.send(frame);
                            is_last
                        }
                        _ => true,
                    };
                    if is_last {
                        // It is told that all has come, or that nobody looks.
                        leaves_at = Some(self.leave());
                    }
                }
                // Nothing more is asked for while a viewer does not read.
                segment = self.view.came.recv(), if leaves_at.is_some() || frames.is_empty() => {
                    let Some(segment) = segment else { return };
                    frames.extend(self.pipe.handle(segment, boot_ms()));
                    if leaves_at.is_some() {
                        frames.clear();
                    }
                }
                typed = self.typed.recv(), if leaves_at.is_none() && self.pipe.has_room() => match typed {
                    Some(AttachInput::Typed(bytes)) => self.pipe.push(Frame::Typed { data: bytes.to_vec() }),
                    Some(AttachInput::Control(control)) => self.pipe.push(Frame::Control { control }),
                    None => leaves_at = Some(self.leave()),
                },
                () = to_viewer.closed(), if leaves_at.is_none() => leaves_at = Some(self.leave()),
                () = until(timeout) => {}
            }
        }
    }

    /// Says that nobody looks any more; gives when that is given up.
    fn leave(&mut self) -> i64 {
        // What is to be typed is not sent again: the person was told that there is no answer, and may do something else now.
        if self.is_input && !self.pipe.is_heard() {
            return boot_ms();
        }
        self.pipe.push(Frame::Bye {});
        boot_ms().saturating_add(LAST_TIME_MAX_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::ids::NodeDid;

    #[test]
    fn a_node_that_said_that_it_stops_is_gone_before_it_is_silent() {
        let node = |state| RoomNodeView::new("!r:x", NodeDid("did:key:z".to_owned()), state);
        assert!(is_gone(&node(RoomNodeState::Silent)));
        assert!(!is_gone(&node(RoomNodeState::Online)) && !is_gone(&node(RoomNodeState::Draining)));
        assert!(is_gone(&RoomNodeView { stopped: true, ..node(RoomNodeState::Draining) }));
    }
}

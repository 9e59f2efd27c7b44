//! Showing a session of this node to people at another node of the room.
//!
//! Owns who may look, and the session's end of a view. What is typed goes to the session in order and once, as the pipe
//! gives it; nothing is read for a viewer that is sent nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _};
use futures_util::{FutureExt as _, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::until;
use crate::account::boot_ms;
use crate::commands::{Command, HeldFor};
use crate::control::stale;
use crate::node::Node;
use crate::open_views::{Registered, TheirEnd, opens};
use crate::problems::{hub_problem, internal, starting};
use crate::server::{AttachFrame, AttachInput, NodeApi as _};
use crate::streams::{self, Viewer};
use cis_core::api::{Attach, Problem, ProblemKind, ReadLog};
use cis_core::event::Via;
use cis_core::federation::control;
use cis_core::federation::view::{
    Frame, Open, Pace, Pipe, Role, SEGMENT_BYTES_MAX, Segment, ViewId, ViewMessage, What,
};
use cis_core::identity::Right;
use cis_core::ids::AttemptId;
use cis_core::policy::act::{self, Targeted as _};
use cis_core::policy::{Principal, Rights, Who};
use cis_host::hub::Reach;
use cis_local::now_ms;

/// How often it is looked whether a viewer may still look, ms.
const LOOK_MS: i64 = 1000;
/// More is not taken from a viewer before the session takes it, bytes.
const TYPED_AHEAD_MAX: usize = 64 << 10;

/// What a view shows, frame by frame. The last one is a [`Frame::End`]; it is not asked for more after that.
type Shown = BoxStream<'static, Frame>;

/// A source of frames, and the way for what is typed.
struct Source {
    shown: Shown,
    /// None: nothing is typed there.
    typed: Option<mpsc::Sender<AttachInput>>,
}

/// Shows what another node asks for, until one of both ends it.
pub(super) async fn show(node: Arc<Node>, end: TheirEnd, mut view: Registered, first: Segment) {
    let Some(open) = opens(&first).cloned() else { return };
    let Ok(life) = life() else { return };
    let pace = match open.what {
        What::Terminal { .. } => Pace::Screens,
        What::Log { .. } | What::Screen {} | What::Explain {} | What::Input { .. } => Pace::Whole,
    };
    let mut pipe = Pipe::new(view.id, Role::Session { life, pace }, boot_ms());
    pipe.handle(first, boot_ms());
    let (mut members, mut trust) = (node.members.subscribe(), node.shared.trust.subscribe());
    trust.mark_unchanged();
    // A node that ends by itself does not while somebody looks.
    let _looks = Viewer::new(Arc::clone(&node.shared), node.driver.clone());
    let mut source = node.source(&end, view.id, &open).await.unwrap_or_else(refused);
    let (mut typed, mut looked_at) = (Typed::default(), boot_ms());
    loop {
        let now = boot_ms();
        if now.saturating_sub(looked_at) >= LOOK_MS {
            looked_at = now;
            if let Err(problem) = node.may_still_look(&end, &open).await {
                (source, typed) = (refused(problem), Typed::default());
            }
        }
        while let Some(segment) = pipe.poll_transmit(now) {
            node.link.view(&end.room, end.node.clone(), ViewMessage::Segment(segment));
        }
        if pipe.is_done() || pipe.is_gone(now) {
            return;
        }
        // Screens are read at the last moment.
        let (takes, takes_at) = match pace {
            Pace::Screens => (pipe.takes(now), pipe.takes_at(now)),
            Pace::Whole => (pipe.has_room(), None),
        };
        let timeout =
            takes_at.filter(|_| !takes).map_or(pipe.poll_timeout(now), |at| pipe.poll_timeout(now).min(at));
        tokio::select! {
            permit = reserved(source.typed.clone()), if !typed.waiting.is_empty() => {
                match (permit, typed.next()) {
                    (Some(permit), Some(input)) => drop(permit.send(input)),
                    // The session has ended: what was typed for it is dropped.
                    _ => (source.typed, typed) = (None, Typed::default()),
                }
            }
            segment = view.came.recv(), if typed.bytes < TYPED_AHEAD_MAX => {
                let Some(segment) = segment else { return };
                for frame in pipe.handle(segment, boot_ms()) {
                    let input = match frame {
                        Frame::Typed { data } => AttachInput::Typed(data.into()),
                        Frame::Control { control } => AttachInput::Control(control),
                        // Its acknowledgement is the last that is said.
                        Frame::Bye {} => {
                            pipe.push(Frame::End { problem: None });
                            source = Source { shown: stream::pending().boxed(), typed: None };
                            continue;
                        }
                        _ => continue,
                    };
                    if source.typed.is_some() {
                        typed.push(input);
                    }
                }
            }
            frame = source.shown.next(), if takes => {
                let (mut next, mut bytes) = (frame, 0);
                // What is there already goes along.
                while let Some(frame) = next.take() {
                    bytes += frame.size();
                    let is_last = frame.is_last();
                    pipe.push(frame);
                    if is_last {
                        source.shown = stream::pending().boxed();
                    } else if bytes < SEGMENT_BYTES_MAX {
                        next = source.shown.next().now_or_never().flatten();
                    }
                }
            }
            // Also a view in which nothing happens ends with the right to it.
            Ok(()) = members.changed() => looked_at = looked_at.saturating_sub(LOOK_MS),
            Ok(()) = trust.changed() => looked_at = looked_at.saturating_sub(LOOK_MS),
            () = until(timeout) => {}
        }
    }
}

/// What was typed and waits for a session that is slow to take it.
#[derive(Default)]
struct Typed {
    waiting: VecDeque<AttachInput>,
    bytes: usize,
}

impl Typed {
    fn push(&mut self, input: AttachInput) {
        self.bytes += size_of(&input);
        self.waiting.push_back(input);
    }

    fn next(&mut self) -> Option<AttachInput> {
        let input = self.waiting.pop_front()?;
        self.bytes -= size_of(&input);
        Some(input)
    }
}

fn size_of(input: &AttachInput) -> usize {
    const CONTROL: usize = 64;
    match input {
        AttachInput::Typed(bytes) => CONTROL + bytes.len(),
        AttachInput::Control(_) => CONTROL,
    }
}

/// A place for what is typed; none: there is nobody who takes it.
async fn reserved(typed: Option<mpsc::Sender<AttachInput>>) -> Option<mpsc::OwnedPermit<AttachInput>> {
    typed?.reserve_owned().await.ok()
}

/// What a viewer sees that is shown nothing.
fn refused(mut problem: Problem) -> Source {
    // Long, and of no use on another machine.
    (problem.diagnostics, problem.item) = (Vec::new(), None);
    let end = Frame::End { problem: Some(Box::new(problem)) };
    Source { shown: ending(stream::iter([end]).boxed()), typed: None }
}

/// A number that nobody can guess.
fn life() -> Result<u64, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    // Numbers in canonical JSON have 53 bits.
    Ok(u64::from_le_bytes(random) >> 11)
}

impl Node {
    /// What a view is to show.
    async fn source(&self, end: &TheirEnd, id: ViewId, open: &Open) -> Result<Source, Problem> {
        if control::is_stale(id, now_ms()) {
            return Err(stale());
        }
        self.may_look(end, open).await?;
        if !matches!(open.what, What::Log { .. }) {
            // Its room may tell of it a moment before it runs.
            self.shared.leaders.wait_for(open.session).await;
        }
        let by = open.name();
        let (node, name) = (end.node.clone(), by.clone());
        let who =
            || Principal { who: Who::Node { node, by: name }, via: Via::Room, rights: Rights::Operator };
        tracing::info!(session = %open.session, by, node = %end.node, "a session is shown to another node");
        match &open.what {
            What::Terminal { attach } => self.terminal(open, *attach).await,
            What::Log { read } => self.log_for(open, read).await,
            What::Screen {} => {
                let permit = self.admit(&who(), act::ReadSession::on(open.session))?;
                value(&self.screen(permit).await?)
            }
            What::Explain {} => {
                let permit = self.admit(&who(), act::ReadSession::on(open.session))?;
                value(&self.explain(permit).await?)
            }
            What::Input { request } => {
                let permit = self.admit(&who(), act::ControlSession::on(open.session))?;
                value(&self.send_input(permit, request.clone()).await?)
            }
        }
    }

    /// Whether this node shows a session to people at that one: to nodes that may submit runs in its room, and to the one that
    /// coordinates its run. To others it says the same as of a session that does not exist.
    async fn may_look(&self, end: &TheirEnd, open: &Open) -> Result<(), Problem> {
        let (run, session) = (open.run, open.session);
        let attempt = AttemptId { run, task: open.task.clone(), number: open.attempt };
        let held = self.driver.ask(|reply| Command::HeldFor { session, reply }).await?;
        let (is_it, coordinates) = match held {
            Some(HeldFor { room, attempt: held, coordinator }) => {
                (room == end.room && held == attempt, coordinator == end.node)
            }
            None => {
                let known = self.read(move |reader| Ok((reader.run(run)?, reader.session(session)?))).await;
                known.map_or((false, false), |(run, session)| {
                    let names = (session.run, session.task.as_ref(), session.attempt);
                    let is_it = names == (Some(attempt.run), Some(&attempt.task), Some(attempt.number));
                    (run.is_shared_in(&end.room) && is_it, run.node == end.node)
                })
            }
        };
        if !is_it {
            let detail =
                format!("session {session} does not exist in this room, or is not shared with its nodes");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        if coordinates || self.members.may(&end.room, &end.node, Right::Submit) {
            return Ok(());
        }
        Err(self.may_not_submit(&end.room, &end.node))
    }

    /// Whether a view that is open may go on: rights are taken away, and runs get other coordinators.
    async fn may_still_look(&self, end: &TheirEnd, open: &Open) -> Result<(), Problem> {
        if self.members.may(&end.room, &end.node, Right::Submit) {
            return Ok(());
        }
        let session = open.session;
        let coordinates = match self.driver.ask(|reply| Command::HeldFor { session, reply }).await? {
            Some(HeldFor { coordinator, .. }) => coordinator == end.node,
            // It has ended, or is of a run of this node.
            None => true,
        };
        if coordinates && self.members.may(&end.room, &end.node, Right::Coordinate) {
            return Ok(());
        }
        Err(self.may_not_submit(&end.room, &end.node))
    }

    async fn terminal(&self, open: &Open, attach: Attach) -> Result<Source, Problem> {
        self.expose(open.session).await?;
        let attached =
            self.hub.attach(open.session, attach, Reach::Far).await.map_err(|e| hub_problem(&e))?;
        let viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let streams = streams::attach(attached, viewer);
        let shown = streams.output.map(|frame| match frame {
            AttachFrame::Output { bytes, next } => Frame::Output { data: bytes, next },
            AttachFrame::Notice(notice) => Frame::Notice { notice },
        });
        Ok(Source { shown: ending(shown.boxed()), typed: Some(streams.input) })
    }

    async fn log_for(&self, open: &Open, read: &ReadLog) -> Result<Source, Problem> {
        let attempt = (open.run, open.task.clone(), open.attempt);
        let is_live = match self.expose(open.session).await {
            Ok(()) => true,
            Err(problem) => problem == starting(open.session),
        };
        let read = ReadLog { marks: true, ..read.clone() };
        let pieces = self.own_log(open.session, Some(attempt), is_live, &read).await?;
        let shown = pieces.flat_map(|piece| {
            let output = Frame::Output { data: piece.bytes, next: piece.next };
            let end = piece.last.then_some(Frame::End { problem: None });
            stream::iter([Some(output), end].into_iter().flatten())
        });
        Ok(Source { shown: ending(shown.boxed()), typed: None })
    }
}

/// A value as JSON.
fn value(value: &impl Serialize) -> Result<Source, Problem> {
    let data = serde_json::to_vec(value).map_err(|error| internal(&error))?;
    let frames = [Frame::Output { data, next: None }, Frame::End { problem: None }];
    Ok(Source { shown: ending(stream::iter(frames).boxed()), typed: None })
}

/// The same with an end, and nothing after it.
fn ending(shown: Shown) -> Shown {
    stream::unfold(Some(shown), |shown| async move {
        let mut shown = shown?;
        let lost = || Box::new(internal(&"the session cannot be shown any more"));
        let frame = shown.next().await.unwrap_or_else(|| Frame::End { problem: Some(lost()) });
        let is_end = frame.is_last();
        Some((frame, (!is_end).then_some(shown)))
    })
    .boxed()
}

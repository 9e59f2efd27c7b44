//! The hub's task: the one loop that reads the host, takes commands and keeps time.

mod commands;
mod messages;
mod resting;

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::{mpsc, oneshot};

use super::clock::{Clock, Wakes};
use super::env::Env;
use super::session::{Session, Watch};
use super::sighting::Watcher;
use super::wire::{self, Filled, Wire};
use super::{Command, Ended, HubError, Limits};
use crate::frames::Frame;
use crate::protocol::ToHost;
use cis_core::api::InputReceipt;
use cis_core::ids::{HostInstance, InputId, SessionId};
use cis_local::Place;

/// Output is taken in pieces of this size; between them others get their turn.
const PIECE_BYTES: usize = 16 << 10;
/// With so much on its way to the host, commands wait, bytes.
const OUT_BYTES_MAX: usize = 1 << 20;

type Reply<T> = oneshot::Sender<Result<T, HubError>>;

pub(super) struct Task {
    host: Arc<Place>,
    commands: mpsc::UnboundedReceiver<Command>,
    env: Env,
    watcher: Watcher,
    link: Option<Wire>,
    instance: Option<HostInstance>,
    /// Why there is no connection.
    lost: HubError,
    sessions: BTreeMap<SessionId, Session>,
    inputs: BTreeMap<(SessionId, InputId), Vec<Reply<InputReceipt>>>,
    /// Who asked whether the host has taken an input.
    asked: BTreeMap<(SessionId, InputId), Vec<Reply<bool>>>,
    reconnects: Vec<Reply<()>>,
    /// Number of the newest viewer.
    viewers: u64,
    /// When models are looked at next.
    rest_at: Option<Instant>,
    /// The most models there were since memory was given back.
    most_models: usize,
    /// Sessions whose last output is waited for, until when.
    endings: Vec<(Instant, SessionId)>,
    /// Bytes of output taken since other tasks had a turn.
    taken: usize,
}

enum Event {
    Command(Option<Command>),
    Readable,
    Writable,
    Time,
}

impl Task {
    pub(super) fn new(
        host: Arc<Place>,
        limits: Limits,
        commands: mpsc::UnboundedReceiver<Command>,
        own: mpsc::WeakUnboundedSender<Command>,
        watcher: Watcher,
    ) -> Self {
        let lost = wire::lost(&host, "it was not connected yet");
        let env = Env {
            out: Vec::new(),
            limits,
            own,
            dirty: Vec::new(),
            models: false,
            clock: Clock::new(),
            judge: Vec::new(),
            wakes: Wakes::new(),
            news: Vec::new(),
        };
        Self {
            host,
            commands,
            env,
            watcher,
            link: None,
            instance: None,
            lost,
            sessions: BTreeMap::new(),
            inputs: BTreeMap::new(),
            asked: BTreeMap::new(),
            reconnects: Vec::new(),
            viewers: 0,
            rest_at: None,
            most_models: 0,
            endings: Vec::new(),
            taken: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let _ = self.connect().await;
        loop {
            self.settle();
            let judge = self.env.wakes.first().map(|(at, _)| self.env.clock.instant(*at));
            let wake = self.endings.iter().map(|(at, _)| *at).chain(self.rest_at).chain(judge).min();
            let stream = self.link.as_ref().map(|link| &link.stream);
            let event = select! {
                command = self.commands.recv(), if self.env.out.len() < OUT_BYTES_MAX => Event::Command(command),
                () = ready(stream.map(UnixStream::readable)) => Event::Readable,
                () = ready(stream.filter(|_| !self.env.out.is_empty()).map(UnixStream::writable)) => Event::Writable,
                () = at(wake) => Event::Time,
            };
            match event {
                Event::Command(None) => return,
                Event::Command(Some(command)) => {
                    self.command(command);
                    self.take_commands();
                }
                Event::Readable => self.read().await,
                // `settle` writes.
                Event::Writable => {}
                Event::Time => self.keep_time(Instant::now()),
            }
            if !self.reconnects.is_empty() {
                let result = self.connect().await;
                for reply in self.reconnects.drain(..) {
                    let _ = reply.send(result.clone());
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), HubError> {
        if self.link.is_some() {
            self.disconnect(wire::lost(&self.host, "it was left for a new connection"));
        }
        match Wire::connect(&self.host).await {
            Ok(link) => {
                let other_host = self.instance.is_some_and(|instance| instance != link.instance);
                self.instance = Some(link.instance);
                self.link = Some(link);
                for session in self.sessions.values_mut() {
                    if other_host {
                        let detail = "the session host that ran it is gone".to_owned();
                        session.end(Ended { detail, exit_code: None });
                    } else {
                        session.connect(&mut self.env);
                    }
                }
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, "no connection to the session host");
                self.lost = error.clone();
                Err(error)
            }
        }
    }

    /// The connection is of no use any more: everybody who waits for it is told.
    fn disconnect(&mut self, why: HubError) {
        self.link = None;
        self.env.out = Vec::new();
        self.sessions.values_mut().for_each(|session| session.lost(&why));
        for (_, replies) in std::mem::take(&mut self.inputs) {
            replies.into_iter().for_each(|reply| drop(reply.send(Err(why.clone()))));
        }
        for reply in std::mem::take(&mut self.asked).into_values().flatten() {
            let _ = reply.send(Err(why.clone()));
        }
        self.lost = why;
    }

    fn broken(&mut self, why: impl std::fmt::Display) {
        let error = wire::lost(&self.host, why);
        if self.sessions.values().all(|session| session.ended.is_some()) {
            // A host ends after its last session.
            tracing::debug!(%error, "the session host has ended");
        } else {
            tracing::warn!(%error, "the connection to the session host broke");
        }
        self.disconnect(error);
    }

    /// What is due after each turn: verdicts, pictures, writing, and the time of the next look at models.
    fn settle(&mut self) {
        self.judge();
        for id in std::mem::take(&mut self.env.dirty) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.refresh(&mut self.env);
            }
        }
        if std::mem::take(&mut self.env.models) {
            let soon = Instant::now() + self.env.limits.idle_crowded.min(self.env.limits.idle);
            self.rest_at = Some(self.rest_at.map_or(soon, |at| at.min(soon)));
        }
        self.write();
    }

    /// Lets the monitor look at the sessions of which there is news.
    fn judge(&mut self) {
        while !self.env.judge.is_empty() {
            for id in std::mem::take(&mut self.env.judge) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.judge(&mut self.env);
                }
            }
        }
        self.env.news.drain(..).for_each(|news| (self.watcher)(news));
    }

    fn write(&mut self) {
        let Some(link) = &self.link else { return self.env.out.clear() };
        while !self.env.out.is_empty() {
            match link.stream.try_write(&self.env.out) {
                Ok(sent) => drop(self.env.out.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.broken(error),
            }
        }
    }

    async fn read(&mut self) {
        let Some(link) = &mut self.link else { return };
        match link.fill() {
            Ok(Filled::Bytes) => {}
            Ok(Filled::NotNow) => return,
            Err(error) => return self.broken(error),
        }
        let mut decoder = std::mem::take(&mut link.decoder);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Bytes { session, offset, data, .. })) => {
                    self.output(session, offset, data).await
                }
                Ok(Some(Frame::Json(json))) => {
                    if let Some(message) = wire::message(json) {
                        self.message(message);
                    }
                }
                Ok(Some(Frame::Unknown { .. })) => {}
                Ok(None) => break,
                Err(error) => return self.broken(error),
            }
            if self.link.is_none() {
                return;
            }
        }
        if let Some(link) = &mut self.link {
            link.decoder = decoder;
        }
    }

    async fn output(&mut self, id: SessionId, offset: u64, data: &[u8]) {
        let mut offset = offset;
        for piece in data.chunks(PIECE_BYTES) {
            // Commands and other tasks do not wait for the end of a flood, whether it comes in large frames or in many small
            // ones. Without this, the runtime would look for new connections only after 61 turns of this task.
            if self.taken >= PIECE_BYTES {
                self.taken = 0;
                self.take_commands();
                self.settle();
                tokio::task::yield_now().await;
            }
            self.taken += piece.len();
            if let Some(session) = self.sessions.get_mut(&id) {
                session.output(offset, piece, &mut self.env);
            }
            offset += piece.len() as u64;
        }
    }

    fn keep_time(&mut self, now: Instant) {
        for (_, id) in self.endings.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if session.watch == Watch::On {
                self.env.say(&ToHost::Unwatch { session: id });
            }
            let gone = || Ended { detail: "the session host does not know it".to_owned(), exit_code: None };
            let closing = session.closing.take();
            let closed = closing.is_some();
            session.end(closing.unwrap_or_else(gone));
            if closed {
                self.fail_inputs(id);
                self.forget(id);
            }
        }
        if self.rest_at.is_some_and(|at| at <= now) {
            self.rest(now);
        }
        let due = self.env.clock.now();
        while let Some((at, id)) = self.env.wakes.first().copied().filter(|(at, _)| *at <= due) {
            self.env.wakes.remove(&(at, id));
            self.env.judge.push(id);
        }
    }
}

/// Waits for a socket, or for ever. What is wrong with it shows in the read or write that follows.
async fn ready(socket: Option<impl Future<Output = io::Result<()>>>) {
    match socket {
        Some(socket) => drop(socket.await),
        None => pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => pending().await,
    }
}

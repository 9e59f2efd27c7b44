//! The viewer's end of an attach.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::queue::{Next, Queue};
use super::{Command, HubError};
use cis_core::api::{AttachControl, AttachNotice};
use cis_core::ids::SessionId;

/// So much typed is on its way to the host for one viewer, bytes; more waits.
const TYPED_BYTES_MAX: usize = 256 << 10;
/// Typed bytes go in pieces of this size.
const PIECE_BYTES: usize = 16 << 10;

/// What a viewer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachOutput {
    /// For its terminal: safe to write there as it is.
    Bytes(Vec<u8>),
    /// For its client. After `Ended` nothing follows.
    Notice(AttachNotice),
    /// The connection to the host broke. Nothing follows; the session may still run.
    Lost(HubError),
}

/// What a viewer gets, and the first byte of the session's output that it and all before it do not stand for: with that
/// an attach goes on behind it. None where that is not known, or nothing of the output is in it.
pub type Marked = (AttachOutput, Option<u64>);

#[derive(Debug)]
enum Source {
    Terminal(Arc<Queue>),
    Pipe { output: mpsc::Receiver<Marked>, task: AbortHandle },
}

/// A terminal at a session. Dropping it detaches.
#[derive(Debug)]
pub struct Attached {
    source: Source,
    typing: Typing,
}

impl Attached {
    pub(super) fn terminal(
        commands: mpsc::UnboundedSender<Command>,
        id: SessionId,
        viewer: u64,
        queue: Arc<Queue>,
        read_only: bool,
    ) -> Self {
        let to = Some((commands, viewer));
        Self { source: Source::Terminal(queue), typing: Typing::new(id, to, read_only) }
    }

    pub(super) fn pipe(id: SessionId, output: mpsc::Receiver<Marked>, task: AbortHandle) -> Self {
        Self { source: Source::Pipe { output, task }, typing: Typing::new(id, None, true) }
    }

    /// What comes next; none at the end. May be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Option<AttachOutput> {
        self.next_marked().await.map(|(output, _)| output)
    }

    /// The same, with its place.
    pub async fn next_marked(&mut self) -> Option<Marked> {
        let queue = match &mut self.source {
            Source::Pipe { output, .. } => return output.recv().await,
            Source::Terminal(queue) => queue,
        };
        loop {
            match queue.next() {
                Next::Item(item, next) => return Some((item, next)),
                Next::Closed => return None,
                Next::Ask => self.typing.tell(|id, _| Command::Ask { id }).ok()?,
                Next::Wait => queue.changed().await,
            }
        }
    }

    /// The way in, to be used beside [`Self::next`].
    #[must_use]
    pub fn typing(&self) -> Typing {
        self.typing.clone()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        match &self.source {
            // A hub that has ended has no viewers.
            Source::Terminal(_) => drop(self.typing.tell(|id, viewer| Command::Detach { id, viewer })),
            Source::Pipe { task, .. } => task.abort(),
        }
    }
}

/// What a viewer says.
#[derive(Debug, Clone)]
pub struct Typing {
    id: SessionId,
    /// None: the session has pipes.
    to: Option<(mpsc::UnboundedSender<Command>, u64)>,
    read_only: bool,
    room: Arc<Semaphore>,
}

impl Typing {
    fn new(id: SessionId, to: Option<(mpsc::UnboundedSender<Command>, u64)>, read_only: bool) -> Self {
        Self { id, to, read_only, room: Arc::new(Semaphore::new(TYPED_BYTES_MAX)) }
    }

    /// Types what was read from the viewer's terminal in one piece. Answers of that terminal to queries
    /// are dropped. Waits while much of what was typed before has not left.
    ///
    /// # Errors
    /// [`HubError::ReadOnly`], [`HubError::Stopped`].
    pub async fn type_bytes(&self, bytes: &[u8]) -> Result<(), HubError> {
        if self.read_only {
            return Err(HubError::ReadOnly { id: self.id });
        }
        for piece in bytes.chunks(PIECE_BYTES) {
            // PIECE_BYTES fits in 32 bits.
            let room = Arc::clone(&self.room).acquire_many_owned(piece.len() as u32).await;
            let room = room.map_err(|_| HubError::Stopped)?;
            let bytes = piece.to_vec();
            self.tell(|id, viewer| Command::Typed { id, viewer, bytes, _room: room })?;
        }
        Ok(())
    }

    /// Says that the viewer's terminal changed, or needs its picture again.
    ///
    /// # Errors
    /// [`HubError::Stopped`].
    pub fn control(&self, control: AttachControl) -> Result<(), HubError> {
        if self.to.is_none() {
            // Output of pipes is not painted.
            return Ok(());
        }
        self.tell(|id, viewer| Command::Control { id, viewer, control })
    }

    fn tell(&self, command: impl FnOnce(SessionId, u64) -> Command) -> Result<(), HubError> {
        let Some((commands, viewer)) = &self.to else { return Err(HubError::ReadOnly { id: self.id }) };
        commands.send(command(self.id, *viewer)).map_err(|_| HubError::Stopped)
    }
}

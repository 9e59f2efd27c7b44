//! What the task that talks to other nodes of rooms is asked for, and by which channel.
//!
//! Owns both ends. Nobody waits here: what does not fit is lost, as messages are.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::commands::DefaultAnswer;
use crate::file_jobs::Job;
use cis_core::federation::control::Control;
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::protocol::message::Message;
use cis_core::federation::view::ViewMessage;
use cis_core::ids::NodeDid;

/// Messages that wait to be sent; more are dropped, and repeated by those who need an answer.
const WAITING_MAX: usize = 4096;

/// What is wanted of the task.
#[derive(Debug)]
pub(crate) enum Wish {
    /// This room, by its id or a name, is served from now on.
    Serve(String),
    /// This node has tasks of this room, by its id, whatever its role is now: it announces there that it executes tasks.
    HasTasks(String),
    /// Leases depend on what is known of a room, or do not any more.
    Urgent(bool),
    Send {
        room: String,
        to: NodeDid,
        message: Box<Message<TaskPayload>>,
        /// More of the kind follows soon.
        can_wait: bool,
    },
    Control {
        room: String,
        to: NodeDid,
        said: Box<Control>,
    },
    View {
        room: String,
        to: NodeDid,
        message: Box<ViewMessage>,
    },
    /// The file answers a session of another node.
    Answer(Box<DefaultAnswer>),
    /// Something about files of tasks.
    Files(Box<Job>),
}

/// The end of those who want something.
#[derive(Debug, Clone)]
pub(crate) struct Link(mpsc::Sender<Wish>);

/// The task's end.
pub(crate) struct LinkEnd(pub(crate) mpsc::Receiver<Wish>);

/// Both ends.
pub(crate) fn pair() -> (Link, LinkEnd) {
    let (to_task, wishes) = mpsc::channel(WAITING_MAX);
    (Link(to_task), LinkEnd(wishes))
}

impl Link {
    /// Announces this node in a room, and hears the other nodes there. The driver is told once it does.
    pub(crate) fn serve(&self, room: &str) {
        // Full: nothing is sent for long, and the driver asks again with its next start.
        let _ = self.0.try_send(Wish::Serve(room.to_owned()));
    }

    /// Announces in a room, once it is served, that this node executes tasks there. It has some of an earlier life, which may have had
    /// another role or room.
    pub(crate) fn has_tasks(&self, room: &str) {
        let _ = self.0.try_send(Wish::HasTasks(room.to_owned()));
    }

    /// Says whether leases depend on what is known of a room.
    pub(crate) fn be_urgent(&self, is_urgent: bool) {
        let _ = self.0.try_send(Wish::Urgent(is_urgent));
    }

    /// Sends a message. It may be lost.
    pub(crate) fn send(&self, room: &str, to: NodeDid, message: Message<TaskPayload>) {
        self.send_wish(room, to, message, false);
    }

    /// The same of a message that more of its kind follow soon: it may wait a little for those.
    pub(crate) fn send_batched(&self, room: &str, to: NodeDid, message: Message<TaskPayload>) {
        self.send_wish(room, to, message, true);
    }

    fn send_wish(&self, room: &str, to: NodeDid, message: Message<TaskPayload>, can_wait: bool) {
        let _ =
            self.0.try_send(Wish::Send { room: room.to_owned(), to, message: Box::new(message), can_wait });
    }

    /// Sends a control request or response. It may be lost.
    pub(crate) fn control(&self, room: &str, to: NodeDid, said: Control) {
        let _ = self.0.try_send(Wish::Control { room: room.to_owned(), to, said: Box::new(said) });
    }

    /// Sends a message of a view. It may be lost.
    pub(crate) fn view(&self, room: &str, to: NodeDid, message: ViewMessage) {
        let _ = self.0.try_send(Wish::View { room: room.to_owned(), to, message: Box::new(message) });
    }

    /// Does something about files of tasks; the driver is told. Says whether it will be done.
    pub(crate) fn carry(&self, job: Job) -> bool {
        self.try_carry(job).is_ok()
    }

    /// The same, and gives back the job where too many wait.
    pub(crate) fn try_carry(&self, job: Job) -> Result<(), Box<Job>> {
        match self.0.try_send(Wish::Files(Box::new(job))) {
            Err(TrySendError::Full(Wish::Files(job))) => Err(job),
            // The federation task has ended with the node.
            _ => Ok(()),
        }
    }

    /// Forwards the answer of a task's file to the node of its session. It may be lost: then the scheduler fails the attempt.
    pub(crate) fn answer(&self, answer: DefaultAnswer) {
        let _ = self.0.try_send(Wish::Answer(Box::new(answer)));
    }
}

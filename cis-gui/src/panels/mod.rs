//! The views. Each is a file with what is shown, made of the model, beside one that draws it, where the former
//! is more than a loop.

pub mod events;
pub mod inbox;
mod log;
pub mod node;
mod room_nodes;
pub mod run;
pub mod runs;
pub mod session;
pub mod settings;
pub mod start;

use cis_core::ids::{RunId, SessionId, TimestampMs};

use eframe::egui::{Label, RichText, Ui};

use crate::command::Sender;
use crate::model::{Link, Model, Refusal};
use crate::widgets::empty;

/// Where to go from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// To what waits.
    Inbox,
    /// To the list of runs.
    Runs,
    /// To a run.
    Run(RunId),
    /// To a session's terminal.
    Session(SessionId),
    /// To what happens.
    Events,
    /// To the node.
    Node,
    /// Back to where the terminal was opened.
    Back,
    /// To what can be set.
    Settings,
    /// To a file that becomes a run.
    Start,
}

/// Shows why actions are disabled, if they are.
fn refusal(ui: &mut Ui, scene: &Scene<'_>) {
    if let Some(why) = scene.refused() {
        ui.add(Label::new(RichText::new(why).small().weak()).wrap());
    }
}

/// A place for what the node has not said yet.
fn unknown(ui: &mut Ui, model: &Model, what: &str) {
    match model.link {
        Link::Lost { .. } => {
            let advice = "The reason is at the bottom. Its data is shown as soon as it answers.";
            empty(ui, "The node is not there", advice);
        }
        Link::Refused(_) => {
            empty(ui, "The node cannot be asked", "The reason is at the bottom, with what to do.")
        }
        Link::Connecting | Link::Up => empty(ui, "Asking the node…", what),
    }
}

/// What every panel draws with.
pub struct Scene<'a> {
    /// What is known.
    pub model: &'a Model,
    /// Where commands go.
    pub to: &'a Sender,
    /// Now, Unix ms.
    pub now: TimestampMs,
    /// Where somebody wants to go.
    pub go: Option<Go>,
    /// The item of the inbox that somebody wants to see there, by its name.
    pub pick: Option<String>,
    /// Why actions are disabled; none: they are not.
    pub refusal: Option<Refusal>,
}

impl Scene<'_> {
    /// Returns why actions are disabled.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refusal.as_ref().map(Refusal::why)
    }
}

//! The views. Each is a file with what is shown, made of the model, beside one that draws it, where the former
//! is more than a loop.

pub mod events;
pub mod inbox;
pub mod node;
pub mod run;
pub mod runs;
pub mod session;
pub mod settings;
pub mod start;

use cis_core::ids::{RunId, SessionId, TimestampMs};

use eframe::egui::Ui;

use crate::command::Sender;
use crate::model::{Link, Model};
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

/// A place for what the node has not said yet.
fn unknown(ui: &mut Ui, model: &Model, what: &str) {
    match model.link {
        Link::Lost { .. } => {
            let advice = "Why stands above. What it has is shown as soon as it answers.";
            empty(ui, "The node is not there", advice);
        }
        Link::Refused(_) => empty(ui, "The node cannot be asked", "Why stands above, and what helps."),
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
}

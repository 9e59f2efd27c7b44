//! What the dashboard knows: a pure fold of what the node showed and of every event after that.
//!
//! Owns runs, the inbox, sessions, the newest events and how the line to the node stands. Asks nobody and
//! draws nothing: what it lacks it names ([`Want`]), and its owner asks the node.

mod events;
mod inbox;
mod rights;
mod runs;
mod sessions;
mod update;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use cis_core::api::{GroupView, InboxItem, NodeView};
use cis_core::event::{Event, EventBody};
use cis_core::ids::{RunId, TimestampMs};

pub use events::{EventLog, Line};
pub use inbox::{Inbox, Ring};
pub use rights::{Caller, Refusal};
pub(crate) use runs::Loaded;
pub use runs::{Entry, Runs, Stand};
pub use sessions::Sessions;
pub use update::{Link, Note, Tone, Update, Want};

use crate::widgets::one_line;

/// Maximum length of a DAG's name in a notification, characters.
const DAG_CHARS: usize = 60;
/// Notes of what became of commands that are kept.
const NOTES_MAX: usize = 50;

/// Everything that the dashboard knows.
#[derive(Debug, Default)]
pub struct Model {
    /// The line to the node.
    pub link: Link,
    /// The node, as it was when it was asked last.
    pub node: Option<NodeView>,
    /// The user of the dashboard; none: the node did not name them.
    pub caller: Option<Caller>,
    /// Its groups.
    pub groups: Vec<GroupView>,
    /// Runs.
    pub runs: Runs,
    /// What waits for a human.
    pub inbox: Inbox,
    /// Sessions.
    pub sessions: Sessions,
    /// The newest events.
    pub events: EventLog,
    /// What became of commands, oldest first.
    pub notes: Vec<Note>,
    /// Commands whose answers did not come, by their numbers: what is said of them until their outcome is known.
    pub unconfirmed: BTreeMap<u64, String>,
    rings: Vec<Ring>,
    version: u64,
}

impl Model {
    /// Changes whenever anything does: whoever shows something made of it keeps that until then.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes an update in. What is lacking after it is added to `wants`.
    pub fn apply(&mut self, update: Update, wants: &mut BTreeSet<Want>) {
        self.version += 1;
        match update {
            Update::Link(link) => self.link = link,
            Update::Node(node) => self.node = Some(*node),
            Update::Caller(caller) => self.caller = caller,
            Update::Groups(groups) => self.groups = groups,
            Update::Listing { runs, whole } => self.runs.list(runs, whole, wants),
            Update::Run(detail) => drop(self.runs.show(Loaded::of(*detail), wants)),
            Update::RunGone(run) => self.runs.is_gone(run, None),
            Update::RunRefused(run, why) => self.runs.is_gone(run, Some(why)),
            Update::Inbox(items) => {
                let fresh = self.inbox.replace(items, wants);
                let rings = fresh.into_iter().filter_map(|at| self.inbox.at(at).map(|item| self.ring(item)));
                let rings = rings.collect::<Vec<_>>();
                self.rings.extend(rings);
            }
            Update::Sessions(sessions) => self.sessions = Sessions::listed(sessions),
            Update::Events(events) => {
                for event in events {
                    self.event(event, wants);
                }
            }
            Update::Note(note) => {
                if self.notes.len() >= NOTES_MAX {
                    self.notes.remove(0);
                }
                self.notes.push(note);
            }
            Update::Unconfirmed(command, text) => {
                self.unconfirmed.insert(command, text);
                if self.unconfirmed.len() > NOTES_MAX {
                    self.unconfirmed.pop_first();
                }
            }
            Update::LineGone(command) => drop(self.unconfirmed.remove(&command)),
        }
    }

    /// The node is asked for what was wanted, from now on: what happens until it answers may not be in the answer.
    /// To be told before the request goes out.
    pub fn taken(&mut self, want: Want) {
        match want {
            Want::Run(run) => self.runs.taken(run),
            Want::Inbox => self.inbox.taken(),
            Want::Sessions | Want::Node | Want::Groups => {}
        }
    }

    /// It did not come, and whoever asks for it does so again some time.
    pub fn missed(&mut self, want: Want) {
        if let Want::Run(run) = want {
            self.runs.missed(run);
        }
    }

    /// Takes a run in; gives what it takes the place of.
    pub(crate) fn load(&mut self, loaded: Loaded, wants: &mut BTreeSet<Want>) -> Option<Entry> {
        self.version += 1;
        self.runs.show(loaded, wants)
    }

    /// Somebody looks at this run. Of the others that have ended, the tasks are not kept.
    pub fn look_at(&mut self, run: Option<RunId>) {
        self.runs.look_at(run);
    }

    /// How many have begun to wait and were not told of.
    #[must_use]
    pub fn rings(&self) -> usize {
        self.rings.len()
    }

    /// Takes what has begun to wait.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    fn ring(&self, item: &InboxItem) -> Ring {
        // The id tells runs of one DAG apart.
        let name =
            |id: RunId, run: &Entry| format!("{} {}", one_line(&run.view().dag, DAG_CHARS), id.short());
        let run = item.run.map(|id| self.run(id).map_or_else(|| id.short(), |run| name(id, run)));
        Ring::new(item, run)
    }

    fn event(&mut self, event: Event, wants: &mut BTreeSet<Want>) {
        let body = event.decode().ok();
        if let Some(body) = &body {
            self.inbox.event(&event, body, wants);
            match body {
                EventBody::SessionCreated { .. } | EventBody::SessionStarted { .. } => {
                    // The node is asked now and then, however many there are.
                    wants.extend([Want::Sessions, Want::Node]);
                }
                EventBody::SessionEnded { session, .. } => {
                    self.sessions.ended(*session, event.at_ms);
                    wants.extend([Want::Sessions, Want::Node]);
                }
                EventBody::TaskResult(result) => {
                    self.sessions.ended(result.session, event.at_ms);
                    wants.extend([Want::Sessions, Want::Node, Want::Groups]);
                }
                EventBody::TaskAssigned(_) => {
                    wants.extend([Want::Node, Want::Groups]);
                }
                body if body.type_name().starts_with("cis.dag.run.") => {
                    wants.insert(Want::Node);
                }
                EventBody::NodeGroup { .. } => {
                    wants.insert(Want::Groups);
                }
                EventBody::NodeStarted { .. } | EventBody::NodeLost { .. } => {
                    wants.insert(Want::Node);
                }
                _ => {}
            }
        }
        self.runs.event(&event, wants);
        self.events.push(event);
    }

    /// When runs that are open began: their clocks go on.
    pub fn open_runs(&self) -> impl Iterator<Item = TimestampMs> + '_ {
        let open = self.runs.all().map(Entry::view).filter(|run| !run.state.is_terminal());
        open.map(|run| run.runs_since_ms().unwrap_or(run.created_ms))
    }

    /// A run.
    #[must_use]
    pub fn run(&self, id: RunId) -> Option<&Entry> {
        self.runs.get(id)
    }

    /// The node told that there is no such run, or that it does not show it: nobody loads it.
    #[must_use]
    pub fn gone(&self, run: RunId) -> bool {
        self.runs.gone(run)
    }
}

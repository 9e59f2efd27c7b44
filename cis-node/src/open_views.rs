//! Which views between nodes are open, and to which of them a message belongs.
//!
//! Shows nothing and sends nothing. A view opens once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use cis_core::federation::view::{Frame, Open, Segment, ViewId, ViewMessage};
use cis_core::ids::NodeDid;

/// Views through which other nodes look here at a time, and those of one node.
const SHOWN_MAX: usize = 256;
const SHOWN_TO_ONE_MAX: usize = 64;
/// Ids of views that ended: none of them begins again.
const ENDED_MAX: usize = 4096;
/// Segments that wait for the task of their view; more are lost, and come again.
const SEGMENTS_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<ViewId, Known>,
    /// The oldest first.
    ended: VecDeque<ViewId>,
}

#[derive(Debug)]
struct Known {
    end: TheirEnd,
    /// Other nodes look at a session here.
    is_shown: bool,
    to_task: mpsc::Sender<Segment>,
}

/// The other end of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TheirEnd {
    pub(crate) room: String,
    pub(crate) node: NodeDid,
}

/// An open view; it ends when this is dropped.
pub(crate) struct Registered {
    views: Arc<Views>,
    pub(crate) id: ViewId,
    /// What comes for it. Closed: the other end knows it no more.
    pub(crate) came: mpsc::Receiver<Segment>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.views.state();
        state.open.remove(&self.id);
        if state.ended.len() == ENDED_MAX {
            state.ended.pop_front();
        }
        state.ended.push_back(self.id);
    }
}

/// What a message is to this node.
pub(crate) enum Heard {
    Done,
    /// A view that begins here.
    Begins(Registered),
    /// The sender is to know that there is no such view.
    Unknown,
}

impl Views {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(self: &Arc<Self>, id: ViewId, end: TheirEnd, is_shown: bool) -> Registered {
        let (to_task, came) = mpsc::channel(SEGMENTS_MAX);
        self.state().open.insert(id, Known { end, is_shown, to_task });
        Registered { views: Arc::clone(self), id, came }
    }

    pub(crate) fn hear(self: &Arc<Self>, from: &TheirEnd, message: &ViewMessage) -> Heard {
        let id = message.view();
        let mut state = self.state();
        if let Some(known) = state.open.get(&id) {
            if known.end != *from {
                return Heard::Unknown;
            }
            match message {
                // What there is no place for comes again.
                ViewMessage::Segment(segment) => drop(known.to_task.try_send(segment.clone())),
                ViewMessage::Gone(_) => drop(state.open.remove(&id)),
            }
            return Heard::Done;
        }
        let ViewMessage::Segment(segment) = message else { return Heard::Done };
        // An acknowledgement of what ended asks for nothing.
        if segment.number.is_none() && !segment.asks {
            return Heard::Done;
        }
        let of_node = |known: &&Known| known.is_shown && known.end.node == from.node;
        let is_full = state.open.values().filter(of_node).count() >= SHOWN_TO_ONE_MAX
            || state.open.values().filter(|known| known.is_shown).count() >= SHOWN_MAX;
        if is_full || opens(segment).is_none() || state.ended.contains(&id) {
            return Heard::Unknown;
        }
        drop(state);
        Heard::Begins(self.register(id, from.clone(), true))
    }
}

/// What the first segment of a view asks for.
pub(crate) fn opens(segment: &Segment) -> Option<&Open> {
    match segment.frames.first() {
        Some(Frame::Open(open)) if segment.number == Some(0) => Some(open),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::federation::view::What;
    use cis_core::ids::{InputId, RunId, SessionId};

    fn from(name: &str) -> TheirEnd {
        TheirEnd { room: "!r:x".to_owned(), node: NodeDid(name.to_owned()) }
    }

    fn first(n: u128) -> ViewMessage {
        let open = Open {
            run: RunId::from_parts(1, 1),
            task: "a".parse().unwrap(),
            attempt: 1,
            session: SessionId::from_parts(1, 1),
            by: "uid:1".to_owned(),
            what: What::Terminal { attach: cis_core::api::Attach::default() },
        };
        let frames = vec![Frame::Open(Box::new(open))];
        let view = InputId::from_parts(1, n);
        ViewMessage::Segment(Segment { view, number: Some(0), next: 0, life: None, asks: false, frames })
    }

    #[test]
    fn a_view_opens_once_and_belongs_to_its_ends() {
        let views = Arc::new(Views::default());
        let Heard::Begins(mut view) = views.hear(&from("a"), &first(1)) else { panic!() };
        assert!(matches!(views.hear(&from("a"), &first(1)), Heard::Done));
        assert!(view.came.try_recv().is_ok(), "it came again");
        assert!(matches!(views.hear(&from("b"), &first(1)), Heard::Unknown));
        assert!(view.came.try_recv().is_err());
        views.hear(&from("b"), &ViewMessage::Gone(view.id));
        assert!(matches!(views.hear(&from("a"), &first(1)), Heard::Done), "others cannot end it");
        drop(view);
        assert!(matches!(views.hear(&from("a"), &first(1)), Heard::Unknown));
    }

    #[test]
    fn one_node_looks_through_so_many_views_at_most() {
        let views = Arc::new(Views::default());
        let all: Vec<Heard> = (0..100).map(|n| views.hear(&from("a"), &first(n))).collect();
        assert_eq!(all.iter().filter(|heard| matches!(heard, Heard::Begins(_))).count(), SHOWN_TO_ONE_MAX);
        assert!(matches!(views.hear(&from("b"), &first(1000)), Heard::Begins(_)));
    }

    #[test]
    fn what_is_no_beginning_opens_nothing() {
        let views = Arc::new(Views::default());
        let ViewMessage::Segment(mut segment) = first(1) else { panic!() };
        segment.number = Some(1);
        assert!(matches!(views.hear(&from("a"), &ViewMessage::Segment(segment.clone())), Heard::Unknown));
        (segment.number, segment.frames) = (None, Vec::new());
        assert!(matches!(views.hear(&from("a"), &ViewMessage::Segment(segment)), Heard::Done));
    }
}

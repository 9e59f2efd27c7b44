//! Views of sessions between nodes: those through which people here look at sessions of other nodes, and those that other nodes
//! look through.
//!
//! Owns what is done with a message of a view. The viewer's side is `look`'s matter, that of the session is `show`'s; which
//! views are open is `open_views`' matter, and how what they say gets through is the pipe's in `cis_core::federation::view`.

mod look;
mod show;
mod uploaded;

pub(crate) use uploaded::TailElsewhere;

use std::sync::Arc;
use std::time::Duration;

use crate::account::boot_ms;
use crate::node::Node;
use crate::open_views::{Heard, TheirEnd};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::view::ViewMessage;
use cis_core::ids::NodeDid;

impl Node {
    /// Another node of a room says something about a view.
    pub(crate) fn hear_view(self: &Arc<Self>, room: &str, from: NodeDid, message: ViewMessage) {
        let end = TheirEnd { room: room.to_owned(), node: from };
        match self.views.hear(&end, &message) {
            Heard::Done => {}
            Heard::Unknown => {
                let gone = ViewMessage::Gone(message.view());
                self.link.view(&end.room, end.node, gone);
            }
            Heard::Begins(view) => {
                if let ViewMessage::Segment(first) = message {
                    tokio::spawn(show::show(Arc::clone(self), end, view, first));
                }
            }
        }
    }
}

/// Waits until this time of the node's clock.
async fn until(at: BootMs) {
    let ms = u64::try_from(at.saturating_sub(boot_ms())).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

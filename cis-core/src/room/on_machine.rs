//! Prompts that nothing said in a room can answer: which command answers them on the machine of the session.

use crate::event::PromptKind;
use crate::ids::{InboxId, SessionId};

/// The command that answers a prompt which takes nothing from a room. `None`: a room can answer it.
pub(super) fn command_on_machine(
    kind: PromptKind,
    item: &InboxId,
    session: Option<SessionId>,
) -> Option<String> {
    match kind {
        PromptKind::Pager => Some(format!("cis answer {item} --keys q")),
        kind if kind.needs_terminal() => {
            let session = session.map(|session| session.short()).unwrap_or_default();
            Some(format!("cis dag attach {session}"))
        }
        _ => None,
    }
}

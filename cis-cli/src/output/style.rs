//! Colours: of states, and of what is less or more important.

use anstyle::{AnsiColor, Style};
use cis_core::event::{RunState, SessionState, TaskState};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const ACTIVE: Style = AnsiColor::Cyan.on_default();
pub(crate) const ATTENTION: Style = AnsiColor::Yellow.on_default().bold();

pub(crate) fn task(state: TaskState) -> Style {
    match state {
        TaskState::Pending | TaskState::Queued => DIM,
        TaskState::Running | TaskState::Processing => ACTIVE,
        TaskState::Succeeded | TaskState::Completed => GOOD,
        TaskState::Failed | TaskState::Error => BAD,
        TaskState::Cancelled => ATTENTION,
    }
}

pub(crate) fn run(state: RunState) -> Style {
    match state {
        RunState::Created => DIM,
        RunState::Running => ACTIVE,
        RunState::Paused | RunState::Cancelled => ATTENTION,
        RunState::Succeeded => GOOD,
        RunState::Failed | RunState::Error => BAD,
    }
}

pub(crate) fn session(state: SessionState) -> Style {
    match state {
        SessionState::Starting | SessionState::Ready | SessionState::Working => ACTIVE,
        SessionState::Blocked | SessionState::Stalled => ATTENTION,
        SessionState::Exited => PLAIN,
        SessionState::Terminated => DIM,
    }
}

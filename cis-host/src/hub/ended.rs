//! How a session ended, for viewers and followers.

use crate::protocol::Exit;
use cis_core::event::ExitStatus;

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// In words.
    pub detail: String,
    /// Exit code, where it has one.
    pub exit_code: Option<i32>,
}

impl From<&Exit> for Ended {
    fn from(exit: &Exit) -> Self {
        let mut detail = exit.status.to_string();
        if exit.killed {
            detail.push_str(" after it was told to end");
        } else if exit.timed_out {
            detail.push_str(" after its timeout");
        }
        let exit_code = match exit.status {
            ExitStatus::Code(code) => Some(code),
            ExitStatus::Signal(_) => None,
        };
        Self { detail, exit_code }
    }
}

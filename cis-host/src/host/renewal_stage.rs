//! How far the replacement of this program by another one is. What is done at each stage is `renewal`'s matter.

use cis_core::event::ExitStatus;

/// Who asked, and for what.
#[derive(Debug)]
pub(super) struct Request {
    /// The connection.
    pub(super) at: usize,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// It is refused after this time of the boot clock, ms.
    pub(super) until: u64,
}

/// How far the replacement is.
#[derive(Debug, Default)]
pub(super) enum Renewal {
    /// Nobody asked for one.
    #[default]
    None,
    /// The new program was started with [`super::renewal::CAN_RENEW`], as this child.
    Checking { request: Request, checker: u32 },
    /// The new program reads the state. It is executed at the end of a turn.
    Ready { request: Request },
    /// The new program does not read the state. Its node is told at the end of the turn.
    Unreadable { request: Request },
}

impl Renewal {
    /// The child that is asked whether it reads the state.
    pub(super) fn checker(&self) -> Option<u32> {
        if let Self::Checking { checker, .. } = self { Some(*checker) } else { None }
    }

    /// A child ended. True where it was the one that was asked.
    pub(super) fn checker_ended(&mut self, pid: u32, status: ExitStatus) -> bool {
        if self.checker() != Some(pid) {
            return false;
        }
        if let Self::Checking { request, .. } = std::mem::take(self) {
            let reads = status == ExitStatus::Code(0);
            *self = if reads { Self::Ready { request } } else { Self::Unreadable { request } };
        }
        true
    }
}

//! Children that have ended.

use rustix::process::{Pid, WaitOptions, waitpid};

use cis_core::event::ExitStatus;

/// Returns the pid and status of a child that has ended; none if there is none. It stays a zombie until [`reap`].
#[allow(unsafe_code)]
pub(crate) fn ended_child() -> Option<(u32, ExitStatus)> {
    let looks = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeros are a `siginfo_t`. The kernel fills it for a child, with the fields that are read then; otherwise its pid
    // stays 0.
    let (pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &raw mut info, looks) != 0 {
            return None;
        }
        (info.si_pid(), info.si_code, info.si_status())
    };
    let status = if code == libc::CLD_EXITED { ExitStatus::Code(status) } else { ExitStatus::Signal(status) };
    u32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| (pid, status))
}

/// Removes a child that has ended from the table of processes.
pub(crate) fn reap(pid: u32) {
    // An error means that it is not there.
    let _ = waitpid(Pid::from_raw(pid.cast_signed()), WaitOptions::NOHANG);
}

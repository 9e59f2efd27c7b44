//! Signals of the host process itself.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// What came since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// SIGCHLD: some child ended.
    pub(crate) child: bool,
    /// SIGTERM: the host is to end.
    pub(crate) terminate: bool,
}

/// Signals as a descriptor (signalfd(2)).
#[derive(Debug)]
pub(crate) struct SignalFd(OwnedFd);

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl SignalFd {
    /// Takes what is pending.
    #[allow(unsafe_code)]
    pub(crate) fn take(&self) -> Pending {
        const RECORD: usize = size_of::<libc::signalfd_siginfo>();
        let mut records = [0u8; RECORD * 4];
        let mut pending = Pending::default();
        // One read: a signal is pending once however often it was sent, and there are two of them.
        let read = rustix::io::read(&self.0, &mut records).unwrap_or(0);
        for record in records[..read].chunks_exact(RECORD) {
            // The number is the first field, a u32 (signalfd(2)).
            let number = record.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes).cast_signed());
            pending.child |= number == Some(libc::SIGCHLD);
            pending.terminate |= number == Some(libc::SIGTERM);
        }
        pending
    }
}

/// Ends this process by a signal, as if it had no handler, so that its parent sees which signal that was. Returns if the signal
/// does not end a process.
#[allow(unsafe_code)]
pub fn die_by_signal(number: i32) {
    // SAFETY: the calls have no pointers, and no handler runs. Signals that do not exist are refused.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
}

/// Makes writes of this process beyond RLIMIT_FSIZE fail with EFBIG (setrlimit(2)). By default the first one ends the process.
#[allow(unsafe_code)]
pub fn fail_large_writes() {
    // SAFETY: the call has no pointers, and no handler runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Sets every signal to its default, which is what sessions inherit; blocks those that must not end
/// the host (SIGHUP, SIGINT, SIGQUIT, SIGPIPE …); and watches SIGCHLD and SIGTERM.
///
/// For the only thread of a process.
#[allow(unsafe_code)]
pub(crate) fn watch_signals() -> io::Result<SignalFd> {
    const BLOCKED: [libc::c_int; 13] = [
        libc::SIGCHLD,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        // A write beyond RLIMIT_FSIZE fails instead (EFBIG, setrlimit(2)).
        libc::SIGXFSZ,
    ];
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: an all-zero sigaction is SIG_DFL with an empty mask; the pointers are to it and null.
        // What may not be set (SIGKILL, SIGSTOP, those of libc) is refused and stays as it is.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            if number == libc::SIGCHLD {
                action.sa_flags = libc::SA_NOCLDSTOP;
            }
            libc::sigaction(number, &raw const action, ptr::null_mut());
        }
    }
    // SAFETY: both sets are initialised by sigemptyset before they are read; signalfd gives a
    // descriptor that nothing else owns, or -1, which is checked.
    unsafe {
        let (mut blocked, mut watched) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigemptyset(blocked.as_mut_ptr());
        libc::sigemptyset(watched.as_mut_ptr());
        for number in BLOCKED {
            libc::sigaddset(blocked.as_mut_ptr(), number);
        }
        for number in [libc::SIGCHLD, libc::SIGTERM] {
            libc::sigaddset(watched.as_mut_ptr(), number);
        }
        if libc::sigprocmask(libc::SIG_SETMASK, blocked.as_ptr(), ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, watched.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(SignalFd(OwnedFd::from_raw_fd(descriptor)))
    }
}

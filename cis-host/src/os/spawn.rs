//! Starts a process in a session (setsid) of its own.
//!
//! `clone(CLONE_VM | CLONE_VFORK)`, as posix_spawn does it: no copy of page tables, the parent goes on
//! once the child runs its program. By hand, because the child then can put back resource limits and
//! umask without a moment in which they are wrong, and can say which step failed; and because glibc's
//! queries every signal's disposition first, which a host that has no handlers need not.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, WaitOptions, getrlimit, waitpid};

/// Of the child's stack until it runs its program. glibc takes as much.
const STACK_BYTES: usize = 64 << 10;

/// Standard streams of the child. Descriptors are above 2, or what they are to become.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Streams<'a> {
    /// This terminal, which becomes its controlling one. stdin, where it is something else.
    Terminal { terminal: BorrowedFd<'a>, stdin: Option<BorrowedFd<'a>> },
    /// Descriptors. stdin none: this process's own, which is `/dev/null`.
    Files { stdin: Option<BorrowedFd<'a>>, stdout: BorrowedFd<'a>, stderr: BorrowedFd<'a> },
}

/// What the child gets back that this process changed for itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Soft and hard limit of open descriptors.
    pub(crate) nofile: Option<(u64, u64)>,
    /// File mode creation mask.
    pub(crate) umask: Option<u32>,
    /// Hard limit of realtime CPU time, µs: what a session is known by.
    pub(crate) stamp: Option<u64>,
}

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) arguments: &'a [CString],
    pub(crate) environment: &'a [&'a CStr],
    /// None: where this process is.
    pub(crate) directory: Option<&'a CStr>,
    pub(crate) streams: Streams<'a>,
    pub(crate) limits: Limits,
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    /// No process could be made.
    Process,
    /// No session, limits or streams for it.
    Streams,
    /// The terminal could not be made the controlling one.
    Terminal,
    /// The directory could not be entered.
    Directory,
    /// The program could not be run.
    Program,
}

/// Why nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnError {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
}

/// Starts processes; keeps the stack for their first steps.
pub(crate) struct Spawner {
    stack: Box<[u128]>,
}

/// What the child reads, and where it says what failed.
struct Orders {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    directory: *const c_char,
    /// The second of the descriptors becomes the controlling terminal.
    terminal: bool,
    descriptors: [RawFd; 3],
    nofile: *const libc::rlimit,
    rttime: *const libc::rlimit,
    umask: Option<libc::mode_t>,
    failed: Option<(Step, c_int)>,
}

impl Spawner {
    pub(crate) fn new() -> Self {
        Self { stack: vec![0; STACK_BYTES / size_of::<u128>()].into_boxed_slice() }
    }

    /// Starts it. Every signal is unblocked in the child; this process has no signal handlers.
    /// Descriptors other than the streams reach the child unless they are close-on-exec.
    ///
    /// # Errors
    /// [`SpawnError`]; then no process is left.
    #[allow(unsafe_code)]
    pub(crate) fn spawn(&mut self, spawn: &Spawn<'_>) -> Result<u32, SpawnError> {
        let arguments = null_terminated(spawn.arguments.iter().map(CString::as_c_str));
        let environment = null_terminated(spawn.environment.iter().copied());
        let nofile = spawn.limits.nofile.map(|(rlim_cur, rlim_max)| libc::rlimit { rlim_cur, rlim_max });
        // The soft limit as well: one above the hard one is refused.
        let rttime = spawn.limits.stamp.map(|stamp| {
            let soft = getrlimit(Resource::Rttime).current.map_or(stamp, |soft| soft.min(stamp));
            libc::rlimit { rlim_cur: soft, rlim_max: stamp }
        });
        let (terminal, descriptors) = match spawn.streams {
            Streams::Terminal { terminal, stdin } => {
                let terminal = terminal.as_raw_fd();
                let stdin = stdin.map_or(terminal, |stdin| stdin.as_raw_fd());
                (true, [stdin, terminal, terminal])
            }
            Streams::Files { stdin, stdout, stderr } => {
                let stdin = stdin.map_or(0, |stdin| stdin.as_raw_fd());
                (false, [stdin, stdout.as_raw_fd(), stderr.as_raw_fd()])
            }
        };
        let mut orders = Orders {
            program: spawn.program.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            directory: spawn.directory.map_or(ptr::null(), CStr::as_ptr),
            terminal,
            descriptors,
            nofile: nofile.as_ref().map_or(ptr::null(), ptr::from_ref),
            rttime: rttime.as_ref().map_or(ptr::null(), ptr::from_ref),
            umask: spawn.limits.umask,
            failed: None,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: `child` gets a pointer to `orders`, all of whose pointers outlive this call, and the
        // parent is suspended (CLONE_VFORK) until the child has its own memory (execve) or is gone, so
        // nothing is used by both at a time. The stack is ours alone, 16-byte aligned at both ends, and
        // grows down from its end. `child` only makes system calls, allocates nothing, takes no lock
        // and cannot panic; no signal handler exists that could run in it.
        let pid = unsafe {
            let top = self.stack.as_mut_ptr_range().end.cast::<c_void>();
            libc::clone(child, top, flags, (&raw mut orders).cast::<c_void>())
        };
        let Some(child) = Pid::from_raw(pid).filter(|_| pid > 0) else {
            let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN);
            return Err(SpawnError { step: Step::Process, errno });
        };
        // SAFETY: a read of an initialised local; volatile, as the child wrote it behind the compiler's back.
        let failed = unsafe { ptr::read_volatile(&raw const orders.failed) };
        let Some((step, errno)) = failed else { return Ok(pid.unsigned_abs()) };
        while matches!(waitpid(Some(child), WaitOptions::empty()), Err(Errno::INTR)) {}
        Err(SpawnError { step, errno: Errno::from_raw_os_error(errno) })
    }
}

fn null_terminated<'a>(texts: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    texts.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// The child's side: never returns where it succeeds.
#[allow(unsafe_code)]
extern "C" fn child(orders: *mut c_void) -> c_int {
    // SAFETY: the pointer is to the `Orders` of `spawn`, which nobody else touches meanwhile.
    let orders = unsafe { &mut *orders.cast::<Orders>() };
    let step = obey(orders);
    // SAFETY: reads errno of the suspended parent's thread, which the failed call has just set; _exit
    // ends this process alone and runs nothing of the parent's.
    unsafe {
        ptr::write_volatile(&raw mut orders.failed, Some((step, *libc::__errno_location())));
        libc::_exit(127)
    }
}

/// Does what is ordered; comes back with the step that failed, its errno still set.
#[allow(unsafe_code)]
fn obey(orders: &Orders) -> Step {
    // SAFETY: system calls on integers, on strings and arrays that end in null and outlive the child's
    // use of them, and on a signal set that sigemptyset initialises.
    unsafe {
        if libc::setsid() < 0 {
            return Step::Streams;
        }
        if orders.terminal && libc::ioctl(orders.descriptors[1], libc::TIOCSCTTY, 0) < 0 {
            return Step::Terminal;
        }
        for (to, from) in (0..).zip(orders.descriptors) {
            // Equal ones would keep their close-on-exec: they are this process's own standard streams.
            if from != to && libc::dup2(from, to) < 0 {
                return Step::Streams;
            }
        }
        if !orders.nofile.is_null() && libc::setrlimit(libc::RLIMIT_NOFILE, orders.nofile) < 0 {
            return Step::Streams;
        }
        if !orders.rttime.is_null()
            && libc::setrlimit(libc::RLIMIT_RTTIME, orders.rttime) < 0
            && !has_lower_realtime_limit(&*orders.rttime)
        {
            return Step::Streams;
        }
        if let Some(mask) = orders.umask {
            libc::umask(mask);
        }
        let mut none = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        if !orders.directory.is_null() && libc::chdir(orders.directory) < 0 {
            return Step::Directory;
        }
        libc::execve(orders.program, orders.arguments, orders.environment);
        Step::Program
    }
}
/// Whether this process already has a lower hard limit of realtime CPU time. It has if another process lowered that of the
/// host (prlimit(2)). It is recognized as a process of a session as well.
#[allow(unsafe_code)]
fn has_lower_realtime_limit(stamp: &libc::rlimit) -> bool {
    let mut own = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a system call that writes to a local.
    unsafe { libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut own) == 0 && own.rlim_max < stamp.rlim_max }
}

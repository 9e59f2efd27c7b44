//! What the operating system does for sessions: processes, signals, terminals, evidence.
//!
//! Owns the `unsafe` of this crate, each behind a safe function (but for one socket option of `server`).
//! Knows no session and no protocol.
//! Linux is complete. What tells a platform's processes apart is the trait [`Processes`]; another unix
//! answers it from what it has, and its sessions then lack the kernel's evidence.

#[cfg(not(target_os = "linux"))]
compile_error!("sessions are written for Linux so far; build cis-client alone");

mod budget;
mod calls;
mod children;
mod clock;
mod descriptors;
mod handover;
mod linux;
mod memory;
mod mounts;
mod opened;
mod passing;
mod processes;
mod procfs;
mod pty;
mod signals;
mod space;
mod spawn;
mod stamp;
mod terminal;
mod waits;

pub(crate) use budget::Budget;
pub(crate) use children::{ended_child, reap};
pub use clock::boot_ms;
pub(crate) use clock::cpu_us;
pub use descriptors::mark_descriptors_close_on_exec;
pub(crate) use descriptors::{
    Nofile, close_all_above_stderr, null_device, onto_null, raise_nofile, stderr_to,
};
pub(crate) use handover::{HANDED_OVER, hand_over};
pub use handover::{hand_environment_over, receive_environment};
pub use memory::{START_MS, give_memory_back, share_memory, unmap_code};
pub(crate) use passing::{Incoming, Outgoing, PassedNumber, execute, inherited, pass, receive};
#[cfg(test)]
pub(crate) use processes::Waits;
pub(crate) use processes::{
    Process, ProcessKey, Processes, TerminalWait, descend, signal_exactly, wait_for_end,
};
pub(crate) use procfs::{ProcFs, lives};
pub(crate) use pty::{open_pty, resize};
pub(crate) use signals::{SignalFd, watch_signals};
pub use signals::{die_by_signal, fail_large_writes};
pub use space::allocate;
pub(crate) use spawn::{Limits, Spawn, SpawnError, Spawner, Step, Streams};
pub use stamp::stamp_at_start;
pub(crate) use stamp::{Stamp, Stamps};
pub(crate) use terminal::{Terminal, is_read_up, line_kill, modes};

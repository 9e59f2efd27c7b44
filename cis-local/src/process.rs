//! What Linux's /proc says of other processes.

use std::fs;

use cis_core::proc::{Stat, hard_realtime_limit};

/// Returns what `/proc/PID/stat` says. `None`: the process is gone, or hidden.
#[must_use]
pub fn stat_of(pid: u32) -> Option<Stat> {
    Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether a process is stopped by a signal or a tracer.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    stat_of(pid).is_some_and(|stat| matches!(stat.state, 'T' | 't'))
}

/// Returns the hard limit of realtime CPU time of a process, µs. `None`: it is gone, or its limits cannot be read.
#[must_use]
pub fn realtime_limit_of(pid: u32) -> Option<u64> {
    hard_realtime_limit(&fs::read(format!("/proc/{pid}/limits")).ok()?)
}

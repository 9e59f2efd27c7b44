//! Who a connection's peer is: a person, or a process of a session with that session's rights alone.
//!
//! An agent must not answer itself: whatever descends from the session host gets the rights of the
//! session whose token it shows, and none without one. What this cannot see: a process that a
//! session starts through somebody else of the same uid (cron, ssh, a systemd user unit).

use std::fs;

use crate::config::Keys;
use crate::event::Via;
use crate::policy::{Principal, Rights, Who};
use crate::server::Peer;

/// Parents looked at before we give up: deeper trees are refused, not trusted.
const DEPTH_MAX: u32 = 4096;

/// Classifies the peer of the main socket.
pub(super) fn principal(peer: Peer, token: Option<&str>, keys: &Keys, host_pid: Option<u32>) -> Principal {
    let via = Via::Socket;
    // A token is honoured wherever it is shown: it can only lessen what its bearer may do.
    if let Some(session) = token.and_then(|token| keys.session_of(token)) {
        return Principal { who: Who::Session { session, of: None }, via, rights: Rights::OwnSession };
    }
    let Some(pid) = peer.pid else {
        return Principal { who: Who::Stray { pid: 0 }, via, rights: Rights::None };
    };
    if host_pid.is_some_and(|host| !is_outside(pid, host)) {
        return Principal { who: Who::Stray { pid }, via, rights: Rights::None };
    }
    let me = rustix::process::geteuid().as_raw();
    let rights = if peer.uid == me || peer.uid == 0 { Rights::Admin } else { Rights::None };
    Principal { who: Who::User { uid: peer.uid }, via, rights }
}

/// Whether `pid` is surely no descendant of `host`. A process that is gone could have been one: a
/// session's process that connects, hands the connection on and ends must not pass for a person.
fn is_outside(pid: u32, host: u32) -> bool {
    let mut at = pid;
    for _ in 0..DEPTH_MAX {
        if at == host {
            return false;
        }
        if at <= 1 {
            return true;
        }
        match parent(at) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// Field 4 of `/proc/PID/stat` (proc_pid_stat(5)); the name before it may hold anything, `)` too.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_the_host_is_inside_and_its_parent_is_not() {
        let me = std::process::id();
        let up = parent(me).unwrap();
        assert!(!is_outside(me, me));
        assert!(!is_outside(me, up), "a child");
        assert!(is_outside(up, me), "a parent");
        assert!(!is_outside(u32::MAX - 1, me), "gone means not trusted");
    }
}

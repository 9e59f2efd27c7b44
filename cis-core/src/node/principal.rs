//! Who a connection's peer is: a person, or a process of a session with that session's rights alone.
//!
//! An agent must not answer itself. A peer gets the rights of the session whose token it shows, and
//! none without one, where it comes from a session: it descends from the session host; or it or an
//! ancestor was started with a session's environment of this node; or it carries the stamp of sessions,
//! which outlives the host (`docs/decisions/0010-stamps.md`).
//!
//! A node that the host started again descends from the host, and so do the commands by which it tells people.
//! They are of no session: a session's process never comes to stand below the node, as orphans go to the host.
//! For the same reason a command that leaves its parents counts as of a session, and has no rights.
//!
//! A token of another session is refused where the session that it is shown from can be seen: a process
//! whose parents were all started with an environment of its own making shows none.
//!
//! Not contained, as it has the same uid as the node, whose files it could as well change: what a
//! session starts through somebody else (cron, ssh, a systemd user unit); and what runs as root (or with
//! CAP_SYS_RESOURCE), raises its limits, cleans its environment, leaves its parents and kills the host.

use crate::config::{Home, Keys};
use crate::event::Via;
use crate::policy::{Principal, Rights, Who};
use crate::server::{Descent, Peer};

/// Classifies the peer of the main socket.
pub(super) fn principal(
    peer: &Peer,
    token: Option<&str>,
    keys: &Keys,
    home: &Home,
    host_pid: Option<u32>,
) -> Principal {
    let via = Via::Socket;
    if let Some(session) = token.and_then(|token| keys.session_of(token)) {
        // A token speaks for its session. Shown from within another one, it was taken from there.
        let socket = home.node_socket();
        let own = |descent: &Descent| {
            descent.tokens_for(&socket).filter_map(|own| keys.session_of(own)).all(|own| own == session)
        };
        if !peer.descent.as_ref().is_none_or(own) {
            let pid = peer.pid.unwrap_or(0);
            return Principal { who: Who::Stray { pid }, via, rights: Rights::None };
        }
        return Principal { who: Who::Session { session, of: None }, via, rights: Rights::OwnSession };
    }
    let outside = |descent: &Descent| is_outside(descent, home, host_pid);
    if !peer.descent.as_ref().is_some_and(outside) {
        let pid = peer.pid.unwrap_or(0);
        return Principal { who: Who::Stray { pid }, via, rights: Rights::None };
    }
    // What this node started by itself speaks for a file or a configuration, and for nobody outside.
    let node = std::process::id();
    let own = peer.pid != Some(node) && peer.descent.as_ref().is_some_and(|descent| descent.passes(node));
    let via = if own { Via::Internal } else { via };
    let me = rustix::process::geteuid().as_raw();
    let rights = if peer.uid == me || peer.uid == 0 { Rights::Admin } else { Rights::None };
    Principal { who: Who::User { uid: peer.uid }, via, rights }
}

/// Whether it is surely of no session: no way leads to the host but through this node. The host is the present
/// one: what came from an earlier one is known by its marks.
fn is_outside(descent: &Descent, home: &Home, host_pid: Option<u32>) -> bool {
    // This node lives, so that its pid means no other process.
    !host_pid.is_some_and(|host| descent.passes_without(host, std::process::id()))
        && !descent.is_marked_for(&home.node_socket())
        && !descent.is_stamped(&home.dir)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Resource, getrlimit};

    use super::*;

    /// A process that ends with the test.
    struct Started(Child);

    impl Started {
        fn new(command: &mut Command) -> Self {
            Self(command.stdin(Stdio::piped()).spawn().unwrap())
        }

        /// Of the `cat` that it is, or that runs below it, once that runs.
        fn rights(&self, home: &Home, host: Option<u32>) -> Rights {
            self.rights_with(None, home, host)
        }

        /// The same where it shows this token.
        fn rights_with(&self, token: Option<&str>, home: &Home, host: Option<u32>) -> Rights {
            let deadline = Instant::now() + Duration::from_secs(20);
            let runs = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "cat\n";
            let mut pid = lowest(self.0.id());
            while !runs(pid) {
                assert!(Instant::now() < deadline, "it does not come to run");
                std::thread::sleep(Duration::from_millis(5));
                pid = lowest(self.0.id());
            }
            let uid = rustix::process::geteuid().as_raw();
            let peer = Peer { uid, pid: Some(pid), descent: Descent::of(pid) };
            let keys = Keys::load_or_make(&home.dir).unwrap();
            principal(&peer, token, &keys, home, host).rights
        }
    }

    impl Drop for Started {
        fn drop(&mut self) {
            // Its stdin ends, and so does all that reads it.
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    fn lowest(pid: u32) -> u32 {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().map_or(pid, |child| lowest(child.parse().unwrap()))
    }

    fn home(folder: &tempfile::TempDir) -> Home {
        let dir = folder.path().canonicalize().unwrap();
        Home { runtime: dir.join("runtime"), dir }
    }

    #[test]
    fn what_the_node_started_itself_comes_from_nobody_outside() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let keys = Keys::load_or_make(&home.dir).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let of = |pid| {
            let peer = Peer { uid, pid: Some(pid), descent: Descent::of(pid) };
            principal(&peer, None, &keys, &home, None).via
        };
        // This test stands for the node.
        let cat = Started::new(&mut Command::new("cat"));
        assert_eq!((of(cat.0.id()), of(std::process::id())), (Via::Internal, Via::Socket));
    }

    #[test]
    fn a_person_is_one_beside_the_host_and_below_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let cat = Started::new(&mut Command::new("cat"));
        assert_eq!(cat.rights(&home, None), Rights::Admin);
        // Below the test, which stands for a host here: the way there is one of a session.
        let mut shell = Command::new("sh");
        let below = Started::new(shell.args(["-c", "cat; :"]));
        assert_eq!(below.rights(&home, Some(below.0.id())), Rights::None);
        let above = rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs();
        assert_eq!(cat.rights(&home, Some(above)), Rights::Admin, "a command of a node below its host");
    }

    #[test]
    fn what_has_a_sessions_environment_of_this_node_or_descends_from_it_is_of_a_session() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let (socket, other) = (home.node_socket(), folder.path().join("other.sock"));
        for mark in ["CIS_ATTEMPT", "CIS_TOKEN"] {
            let start = |socket: &std::path::Path, script: &str| {
                let mut shell = Command::new("sh");
                Started::new(shell.args(["-c", script]).env(mark, "x").env("CIS_SOCKET", socket))
            };
            assert_eq!(start(&socket, "exec cat").rights(&home, None), Rights::None, "{mark}");
            let cleaned = start(&socket, "env -i cat; :");
            assert_eq!(cleaned.rights(&home, None), Rights::None, "{mark} of a parent");
            assert_eq!(
                start(&other, "exec cat").rights(&home, None),
                Rights::Admin,
                "{mark} of another node"
            );
        }
        let mut shown = Command::new("cat");
        // These tests may themselves run in a session.
        shown.env_remove("CIS_ATTEMPT").env_remove("CIS_TOKEN");
        let shown = Started::new(shown.env("CIS_SOCKET", &socket));
        assert_eq!(shown.rights(&home, None), Rights::Admin, "a person may name the socket");
    }

    #[test]
    fn a_token_counts_only_from_within_its_own_session() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let keys = Keys::load_or_make(&home.dir).unwrap();
        let token = |n| keys.token(crate::ids::SessionId::from_parts(1, n));
        let start = |own: &str, shown: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("CIS_TOKEN={shown} cat; :")]).env("CIS_TOKEN", own);
            Started::new(shell.env("CIS_SOCKET", home.node_socket()))
        };
        let (mine, other) = (token(1), token(2));
        assert_eq!(start(&mine, &mine).rights_with(Some(&mine), &home, None), Rights::OwnSession);
        assert_eq!(
            start(&mine, &other).rights_with(Some(&other), &home, None),
            Rights::None,
            "a foreign one"
        );
    }

    #[test]
    fn what_a_host_stamped_is_of_a_session_also_without_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let stamp = |limit: &str| {
            let mut prlimit = Command::new("prlimit");
            Started::new(prlimit.args([limit, "setsid", "env", "-i", "cat"]))
        };
        // As a host would: these tests may themselves run in a session, and nobody can raise its limit.
        let own = getrlimit(Resource::Rttime).maximum.unwrap_or(u64::MAX);
        let lower = format!("--rttime={}", own.min(1 << 62) - 70_001);
        assert_eq!(stamp(&lower).rights(&home, None), Rights::None);
        assert_eq!(stamp("--rttime=7").rights(&home, None), Rights::None, "lowered further");
        let below_a_host = |directory: &std::path::Path| {
            let mut shell = Command::new("sh");
            let script = format!("prlimit {lower} env -i cat; :");
            Started::new(shell.args(["-c", &script, "session-host"]).current_dir(directory))
        };
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(below_a_host(&home.dir).rights(&home, None), Rights::None, "of this home");
        assert_eq!(below_a_host(elsewhere.path()).rights(&home, None), Rights::Admin, "of another");
    }
}

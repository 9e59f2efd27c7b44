//! Who a connection's peer is: a person, or a process of a session with that session's rights alone.
//!
//! An agent must not answer itself. A peer gets the rights of the session whose token it shows, and
//! none without one, where it comes from a session: it descends from the session host; or it or an
//! ancestor was started with a session's environment of this node; or it has a lower hard limit of realtime CPU
//! time than processes outside of sessions, as the stamp of a session is, which outlives the host
//! (`docs/decisions/0010-stamps.md`).
//!
//! A command that the node runs itself (`on_blocked.run`, `notify.command`) has rights of its own while it runs: those of
//! an operator, and no more than the submitter of its run has at that moment. The command is found by the child of the
//! node that the peer descends from. A session's process never becomes a descendant of the node, because orphans go to
//! the host or to the first process. A process that outlives its command counts as a process of a session, and has no
//! rights.
//!
//! A token counts only for a process that is in the session of its first process (setsid(2)), or has an ancestor that is: a
//! process can leave a session, and cannot join one. So a process that called setsid and lost its parents has no rights, also
//! with the token of its own session.
//!
//! Not contained, as it has the same uid as the node, whose files it could as well change: what a
//! session starts through somebody else (cron, ssh, a systemd user unit); and what runs as root (or with
//! CAP_SYS_RESOURCE), raises its limits, cleans its environment, leaves its parents and kills the host.

use super::leaders::Leaders;
use super::own_commands::OwnCommands;
use crate::config::{Keys, Tokens};
use crate::server::{Descent, NoDescent, Peer};
use cis_core::event::{Submitter, Via};
use cis_core::ids::SessionId;
use cis_core::policy::{NodeCommand, Principal, Rights, Who};
use cis_local::Home;
use cis_local::now_ms;

/// What a node knows of itself when it classifies a peer.
pub(super) struct This<'a> {
    pub(super) pid: u32,
    /// Pid of the session host, if there is one.
    pub(super) host: Option<u32>,
    pub(super) home: &'a Home,
    pub(super) keys: &'a Keys,
    pub(super) commands: &'a OwnCommands,
    pub(super) tokens: &'a Tokens,
    pub(super) leaders: &'a Leaders,
    /// Hard limit of realtime CPU time of processes outside of sessions, µs.
    pub(super) limit_outside: u64,
}

impl This<'_> {
    /// Classifies the peer of the main socket.
    pub(super) fn principal(&self, peer: &Peer, token: Option<&str>) -> Principal {
        let via = Via::Socket;
        let environment_max = match peer.descent {
            Err(NoDescent::LargeEnvironments { max }) => Some(max),
            Ok(_) | Err(NoDescent::Unknown) => None,
        };
        let unknown = |limit| Principal {
            who: Who::UnknownSession { pid: peer.pid.unwrap_or(0), limit, environment_max },
            via,
            rights: Rights::None,
        };
        if let Some(session) = token.and_then(|token| self.keys.session_of(token)) {
            let is_own = peer.descent.as_ref().is_ok_and(|descent| self.is_of(descent, session));
            // A process outside of all sessions (a container that was given the token) may do more without it.
            if !is_own && self.principal(peer, None).rights < Rights::Admin {
                return unknown(None);
            }
            return Principal { who: Who::Session { session, of: None }, via, rights: Rights::OwnSession };
        }
        let Ok(descent) = &peer.descent else { return unknown(None) };
        if self.is_below_host(descent) {
            return unknown(None);
        }
        if let Some(child) = descent.child_of(self.pid) {
            return self.commands.of(child).map_or_else(|| unknown(None), |command| self.command(command));
        }
        if descent.is_marked_for(|socket| self.home.is_node_socket(socket)) {
            return unknown(None);
        }
        // Any lower limit counts, not only the stamps of the host: a process can lower its own further. A node that runs in a
        // session has the limit of that session: any other one is of another session.
        let limit = descent.realtime_limit();
        if limit != self.limit_outside && limit != u64::MAX {
            return unknown(Some(limit));
        }
        let me = rustix::process::geteuid().as_raw();
        let rights = if peer.uid == me || peer.uid == 0 { Rights::Admin } else { Rights::None };
        Principal { who: Who::User { uid: peer.uid }, via, rights }
    }

    /// Whether a process belongs to this session. A token that is shown from elsewhere was stolen: the processes of its
    /// user can read it.
    fn is_of(&self, descent: &Descent, session: SessionId) -> bool {
        self.leaders.of(session).is_some_and(|leader| descent.is_in_session_of(leader))
    }

    /// Whether a process descends from the current host, but not through this node. A process of an earlier host is
    /// recognized by its marks.
    fn is_below_host(&self, descent: &Descent) -> bool {
        // This node runs, so its pid was not reused.
        self.host.is_some_and(|host| descent.passes_without(host, self.pid))
    }

    fn command(&self, command: NodeCommand) -> Principal {
        let submitter = match &command {
            NodeCommand::OnBlocked { submitter: Some(Submitter::Token { id }), .. } => {
                let token = self.tokens.counting(*id, now_ms());
                token.map_or(Rights::None, |token| token.role.rights())
            }
            // Roles in a room were checked when the run was submitted.
            NodeCommand::OnBlocked { .. } | NodeCommand::Notify => Rights::Admin,
        };
        let rights = submitter.min(NodeCommand::RIGHTS_MAX);
        Principal { who: Who::Command(command), via: Via::Internal, rights }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Resource, getrlimit};

    use super::*;
    use cis_local::realtime_limit_outside;

    /// A process that ends with the test.
    struct Started(Child);

    impl Started {
        fn new(command: &mut Command) -> Self {
            Self(command.stdin(Stdio::piped()).spawn().unwrap())
        }

        /// Of the `cat` that it is, or that runs below it, once that runs.
        fn rights(&self, home: &Home, host: Option<u32>) -> Rights {
            self.rights_with(None, home, host, &Leaders::default())
        }

        fn until_cat_runs(&self) -> u32 {
            let deadline = Instant::now() + Duration::from_secs(20);
            let runs = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "cat\n";
            let mut pid = lowest(self.0.id());
            while !runs(pid) {
                assert!(Instant::now() < deadline, "it does not come to run");
                std::thread::sleep(Duration::from_millis(5));
                pid = lowest(self.0.id());
            }
            pid
        }

        /// The same for a process that shows this token.
        fn rights_with(
            &self,
            token: Option<&str>,
            home: &Home,
            host: Option<u32>,
            leaders: &Leaders,
        ) -> Rights {
            let pid = self.until_cat_runs();
            let uid = rustix::process::geteuid().as_raw();
            let peer = Peer::new(uid, Some(pid), Descent::of(pid));
            let keys = Keys::load_or_make(&home.dir).unwrap();
            let (commands, tokens) = (OwnCommands::default(), Tokens::open(home));
            // No process descends from a node with this pid.
            let pid = u32::MAX;
            let limit_outside = realtime_limit_outside(&home.dir);
            This {
                pid,
                host,
                home,
                keys: &keys,
                commands: &commands,
                tokens: &tokens,
                leaders,
                limit_outside,
            }
            .principal(&peer, token)
            .rights
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

    /// Classifies a process as a node with the pid of this test does.
    fn asked_by(pid: u32, home: &Home, commands: &OwnCommands) -> Principal {
        asked_below(None, pid, home, commands)
    }

    /// The same for a node with this host.
    fn asked_below(host: Option<u32>, pid: u32, home: &Home, commands: &OwnCommands) -> Principal {
        let peer = Peer::new(rustix::process::geteuid().as_raw(), Some(pid), Descent::of(pid));
        let (keys, tokens) = (Keys::load_or_make(&home.dir).unwrap(), Tokens::open(home));
        let (pid, limit_outside) = (std::process::id(), realtime_limit_outside(&home.dir));
        let leaders = &Leaders::default();
        This { pid, host, home, keys: &keys, commands, tokens: &tokens, leaders, limit_outside }
            .principal(&peer, None)
    }

    fn piped(program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        command
    }

    #[test]
    fn a_running_command_and_its_descendants_are_recognized() {
        let folder = tempfile::tempdir().unwrap();
        let (home, commands) = (home(&folder), OwnCommands::default());
        // Like every command, it runs nothing of its own before it is stamped.
        let mut command = piped("sh", &["-c", "read -r _; cat; :"]);
        let (mut child, running) = commands.spawn(&mut command, NodeCommand::Notify).unwrap();
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let child = Started(child);
        child.until_cat_runs();
        let who = asked_by(lowest(child.0.id()), &home, &commands);
        assert_eq!((who.who, who.rights), (Who::Command(NodeCommand::Notify), Rights::Operator));
        let above = rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs();
        let below = asked_below(Some(above), child.0.id(), &home, &commands);
        assert_eq!(below.rights, Rights::Operator, "a command of a node below its host");
        drop(running);
        assert_eq!(asked_by(child.0.id(), &home, &commands).rights, Rights::None, "it is over");
        let other = Started::new(&mut Command::new("cat"));
        assert_eq!(asked_by(other.0.id(), &home, &commands).rights, Rights::None, "no command");
        assert_eq!(asked_by(std::process::id(), &home, &commands).rights, Rights::Admin, "the node itself");
        // The process counts as one that left its parents, because no process descends from such a node.
        assert_eq!(child.rights(&home, None), Rights::None, "it is stamped");
    }

    #[test]
    fn a_process_with_large_environments_has_no_rights_and_is_told_why() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let uid = rustix::process::geteuid().as_raw();
        let (keys, tokens) = (Keys::load_or_make(&home.dir).unwrap(), Tokens::open(&home));
        let (commands, leaders) = (OwnCommands::default(), Leaders::default());
        let this = This {
            pid: std::process::id(),
            host: None,
            home: &home,
            keys: &keys,
            commands: &commands,
            tokens: &tokens,
            leaders: &leaders,
            limit_outside: realtime_limit_outside(&home.dir),
        };
        for (descent, environment_max) in
            [(NoDescent::LargeEnvironments { max: 9 }, Some(9)), (NoDescent::Unknown, None)]
        {
            let who = this.principal(&Peer::new(uid, Some(7), Err(descent)), None);
            assert_eq!(who.who, Who::UnknownSession { pid: 7, limit: None, environment_max });
            assert_eq!(who.rights, Rights::None);
        }
    }

    #[test]
    fn a_command_has_no_more_rights_than_the_token_of_its_runs_submitter() {
        use cis_core::api::CreateToken;
        use cis_core::ids::{RunId, TaskId, TokenId};
        use cis_core::people::Role;
        let folder = tempfile::tempdir().unwrap();
        let home = home(&folder);
        let commands = OwnCommands::default();
        let id = TokenId::from_parts(1, 7);
        let of = |submitter| NodeCommand::OnBlocked {
            run: RunId::from_parts(1, 1),
            task: TaskId::new("ask").unwrap(),
            submitter,
        };
        let rights = |submitter| {
            let (child, running) = commands.spawn(&mut piped("cat", &[]), of(submitter)).unwrap();
            let child = Started(child);
            let rights = asked_by(child.0.id(), &home, &commands).rights;
            drop(running);
            rights
        };
        let token = Some(Submitter::Token { id });
        assert_eq!(rights(None), Rights::Operator, "the owner's");
        assert_eq!(rights(Some(Submitter::Member { room: "!r:x".into() })), Rights::Operator);
        assert_eq!(rights(token.clone()), Rights::None, "unknown");
        let tokens = Tokens::open(&home);
        for (role, expected) in [(Role::Admin, Rights::Operator), (Role::Operator, Rights::Operator)] {
            let request = CreateToken { role, name: Some("t".to_owned()), lifetime_ms: None };
            let (_, kept) = tokens.draft(&request, id, 1).unwrap();
            tokens.keep(kept).unwrap();
            assert_eq!(rights(token.clone()), expected);
            tokens.revoke("t").unwrap();
            assert_eq!(rights(token.clone()), Rights::None, "revoked");
        }
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
        assert_eq!(cat.rights(&home, Some(above)), Rights::None, "below the host, and not by this node");
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
        let elsewhere = home.fallback_node_socket().unwrap();
        let moved = Started::new(Command::new("cat").env("CIS_TOKEN", "x").env("CIS_SOCKET", elsewhere));
        assert_eq!(moved.rights(&home, None), Rights::None, "of this home in another directory");
        let mut shown = Command::new("cat");
        // These tests may themselves run in a session.
        shown.env_remove("CIS_ATTEMPT").env_remove("CIS_TOKEN");
        let shown = Started::new(shown.env("CIS_SOCKET", &socket));
        assert_eq!(shown.rights(&home, None), Rights::Admin, "a person may name the socket");
    }

    #[test]
    fn a_token_counts_only_in_the_session_of_its_first_process() {
        let folder = tempfile::tempdir().unwrap();
        let (home, leaders) = (home(&folder), Leaders::default());
        let keys = Keys::load_or_make(&home.dir).unwrap();
        let [mine, other, unknown] = [1, 2, 3].map(|n| SessionId::from_parts(1, n));
        leaders.add(other, u32::MAX, None);
        let rights = |session, script: &str| {
            let token = keys.token(session);
            // A kernel session of its own, as each session has one. As in a session, whatever these tests run in.
            let mut command = Command::new("setsid");
            command.args(["sh", "-c", script]).env("CIS_TOKEN", &token).env("CIS_SOCKET", home.node_socket());
            let started = Started::new(&mut command);
            leaders.add(mine, started.0.id(), None);
            started.rights_with(Some(&token), &home, None, &leaders)
        };
        assert_eq!(rights(mine, "exec cat"), Rights::OwnSession);
        assert_eq!(rights(mine, "setsid -w cat; :"), Rights::OwnSession, "its parent is in the session");
        assert_eq!(rights(other, "exec cat"), Rights::None, "a token of another session");
        assert_eq!(rights(unknown, "exec cat"), Rights::None, "a session that is not known");
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
        // A live host of another home among the ancestors changes nothing: it adopts orphans of this home's
        // host.
        let elsewhere = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        let script = format!("prlimit {lower} env -i cat; :");
        let below_a_host =
            Started::new(shell.args(["-c", &script, "session-host"]).current_dir(elsewhere.path()));
        assert_eq!(below_a_host.rights(&home, None), Rights::None, "below a host of another home");
    }
}

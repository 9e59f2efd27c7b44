//! A host that goes on where an earlier program of its process stopped: same sessions, descriptors and instance, new connections.

use std::os::fd::OwnedFd;

use super::*;
use crate::host::environment::Base;
use crate::host::renewal::PassedHost;
use crate::host::session::{Flow, Session};
use cis_local::Clocks;

impl Server {
    /// Takes over what an earlier program of this process passed through this socket.
    ///
    /// Nothing is cleaned up, and nothing of the machine is set that the process keeps: its session, directory, limits and umask.
    pub(super) fn resume(socket: OwnedFd) -> Result<Self, HostError> {
        let (passed, opened) =
            PassedHost::receive(&socket).map_err(|error| HostError::Renewal { why: error.to_string() })?;
        drop(socket);
        // Kept by the process; again, because without it orphans of sessions would be lost.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(HostError::system("become the reaper of orphans"))?;
        let signals = os::watch_signals().map_err(HostError::system("watch its signals"))?;
        let processes = ProcFs::open().map_err(HostError::system("read /proc"))?;
        let poll = Poll::new().map_err(HostError::system("create an epoll"))?;
        let timers = Timers::new().map_err(HostError::system("create a timer"))?;
        poll_own(&poll, &opened.door, &signals, &timers)?;
        let mut launcher = Launcher::new(passed.stamps, passed.nofile, passed.config.umask);
        for (name, vars) in passed.bases {
            let base = Base::new(vars).map_err(|why| HostError::Renewal { why })?;
            launcher.bases.insert(name, base);
        }
        let host = Host {
            instance: passed.instance,
            launcher,
            sessions: Sessions::new(),
            queues: passed.queues,
            notes: opened.notes,
            anchor: opened.anchor,
            home: passed.home,
            works_in_home: passed.works_in_home,
            peers: Peers::new(),
            supervise: passed.supervise,
            renewal: Renewal::default(),
            build: build::own(),
            processes: ProcessTable::new(processes),
            strangers: Strangers::default(),
            shutting_down: false,
            now: os::boot_ms(),
            now_unix: cis_local::now_ms(),
            clocks: Clocks::default(),
            buffer: vec![0; OUTPUT_PER_TURN],
            lock: opened.lock,
            poll,
            timers,
            door: opened.door,
            config: passed.config,
        };
        let mut server = Self::of(host, signals);
        for session in opened.sessions {
            server.host.go_on(session);
        }
        server.host.catch_up();
        Ok(server)
    }
}

impl Host {
    /// Takes in a session of the earlier program.
    fn go_on(&mut self, session: Session) {
        let slot = self.sessions.insert_known(session);
        if self.sessions.get(slot).is_some_and(|session| session.flow != Flow::Ended) {
            self.poll_output(slot);
        }
        self.write_input(slot);
        self.wish(slot);
    }

    /// Does what became due while there was no program: children that ended meanwhile, the node, timers.
    fn catch_up(&mut self) {
        self.reap();
        self.find_frozen();
        if let Some(at_ms) = self.supervise.renewed(self.now) {
            self.timers.wish(at_ms, Wake::Host);
        }
    }

    /// Finds the sessions that an earlier program of this format froze: it did not pass that all of their processes are stopped, but
    /// that their lease had ended.
    fn find_frozen(&mut self) {
        let is_unknown = |session: &Session| {
            session.deadline.is_some_and(|deadline| deadline.ends_lease) && !session.life.is_frozen()
        };
        let slots = self.sessions.living().filter(|(_, session)| is_unknown(session)).map(|(slot, _)| slot);
        for slot in slots.collect::<Vec<_>>() {
            self.freeze(slot);
            self.wish(slot);
        }
    }
}

//! What a host leaves to the next program of its process: one text, and descriptors with numbers.
//!
//! Left out is what is found out again: processes, programs, who reads which terminal, and connections.

mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::session::PassedSession;
use super::FORMAT;
use crate::host::config::HostConfig;
use crate::host::listener::Door;
use crate::host::notes::{Notes, PassedNotes};
use crate::host::queues::Queues;
use crate::host::session::Session;
use crate::host::state::Host;
use crate::host::supervise::Supervise;
use crate::os::{self, Incoming, Nofile, Outgoing, PassedNumber, ProcessKey, Stamps};
use cis_core::ids::HostInstance;
use cis_local::{Anchor, LockFile, SocketFile};

/// Why the state of a host cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::host) enum StateError {
    #[error("its state is damaged")]
    Damaged,
    #[error("its state has format {0}, and this program reads format {FORMAT}")]
    Format(u32),
    #[error("its state cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its state does not fit the passed descriptors: {0}")]
    Descriptors(#[from] io::Error),
}

/// First line of the text. Every format begins with it.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    /// Number of descriptors.
    descriptors: usize,
    /// Digest of what follows the line.
    sha256: String,
}

/// A [`Host`] with numbers for its descriptors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::host) struct PassedHost {
    pub(in crate::host) config: HostConfig,
    pub(in crate::host) home: PathBuf,
    pub(in crate::host) works_in_home: bool,
    pub(in crate::host) instance: HostInstance,
    pub(in crate::host) stamps: Stamps,
    pub(in crate::host) nofile: Nofile,
    /// Environments that sessions share, by name.
    pub(in crate::host) bases: BTreeMap<String, BTreeMap<String, String>>,
    pub(in crate::host) queues: Queues,
    pub(in crate::host) supervise: Supervise,
    starter: Option<ProcessKey>,
    anchor: PassedNumber,
    lock: PassedNumber,
    listener: PassedNumber,
    socket: PathBuf,
    /// Device and inode of the socket's file.
    socket_identity: Option<(u64, u64)>,
    notes: PassedNotes,
    sessions: Vec<PassedSession>,
}

/// The parts of a host that have descriptors.
pub(in crate::host) struct Opened {
    pub(in crate::host) anchor: Anchor,
    pub(in crate::host) lock: LockFile,
    pub(in crate::host) door: Door,
    pub(in crate::host) notes: Notes,
    pub(in crate::host) sessions: Vec<Session>,
}

impl PassedHost {
    pub(in crate::host) fn of(host: &Host) -> (Self, Outgoing<'_>) {
        let mut outgoing = Outgoing::default();
        let bases = host.launcher.bases.iter().map(|(name, base)| (name.clone(), base.vars())).collect();
        let is_needed = |session: &&Session| !session.is_acknowledged();
        let sessions = host.sessions.iter().map(|(_, session)| session).filter(is_needed);
        let sessions = sessions.map(|session| PassedSession::of(session, &mut outgoing)).collect();
        let passed = Self {
            config: host.config.clone(),
            home: host.home.clone(),
            works_in_home: host.works_in_home,
            instance: host.instance,
            stamps: host.launcher.stamps.clone(),
            nofile: host.launcher.nofile,
            bases,
            queues: host.queues.clone(),
            supervise: host.supervise.clone(),
            starter: host.door.starter,
            anchor: outgoing.put(&host.anchor),
            lock: outgoing.put(&host.lock),
            listener: outgoing.put(&host.door.listener),
            socket: host.door.file.path().to_owned(),
            socket_identity: host.door.file.identity(),
            notes: host.notes.put_into(&mut outgoing),
            sessions,
        };
        (passed, outgoing)
    }

    /// The text, for so many descriptors.
    pub(in crate::host) fn to_bytes(&self, descriptors: usize) -> Result<Vec<u8>, String> {
        let failed = |error| format!("cannot write its state: {error}");
        let body = serde_json::to_vec(self).map_err(failed)?;
        let header = Header { format: FORMAT, descriptors, sha256: digest(&body) };
        let mut bytes = serde_json::to_vec(&header).map_err(failed)?;
        bytes.push(b'\n');
        bytes.extend(body);
        Ok(bytes)
    }

    /// Reads the text. Returns the number of descriptors as well.
    ///
    /// # Errors
    /// It is damaged, or of another format.
    pub(in crate::host) fn read(bytes: &[u8]) -> Result<(Self, usize), StateError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(StateError::Damaged)?;
        let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|_| StateError::Damaged)?;
        let body = &bytes[end + 1..];
        if header.sha256 != digest(body) {
            return Err(StateError::Damaged);
        }
        if header.format != FORMAT {
            return Err(StateError::Format(header.format));
        }
        Ok((serde_json::from_slice(body)?, header.descriptors))
    }

    /// Gives the descriptors to what they belong to.
    ///
    /// # Errors
    /// A descriptor was not passed.
    pub(in crate::host) fn open(&mut self, mut incoming: Incoming) -> Result<Opened, StateError> {
        let anchor = Anchor::of(&self.config.home, incoming.take(self.anchor)?)?;
        let lock = LockFile::held_by(incoming.take(self.lock)?);
        let file = SocketFile::with_identity(&self.socket, self.socket_identity);
        let door = Door::new((incoming.take(self.listener)?.into(), file), self.starter);
        let notes = self.notes.clone().take_from(&mut incoming)?;
        let sessions = std::mem::take(&mut self.sessions).into_iter();
        let sessions = sessions.map(|session| session.open(&mut incoming)).collect::<io::Result<_>>()?;
        Ok(Opened { anchor, lock, door, notes, sessions })
    }

    /// Checks that this program reads what is in the socket.
    ///
    /// # Errors
    /// It is not the state of a host that this program reads.
    pub(in crate::host) fn look(socket: impl std::os::fd::AsFd) -> Result<(), StateError> {
        let (bytes, _) = os::receive(socket)?;
        Self::read(&bytes).map(drop)
    }

    /// Takes all that an earlier program passed through this socket.
    ///
    /// # Errors
    /// It is not the state of a host that this program reads.
    pub(in crate::host) fn receive(socket: impl std::os::fd::AsFd) -> Result<(Self, Opened), StateError> {
        let (bytes, incoming) = os::receive(socket)?;
        let (mut passed, descriptors) = Self::read(&bytes)?;
        if incoming.len() != descriptors {
            let why = format!("{} arrived instead of {descriptors}", incoming.len());
            return Err(io::Error::other(why).into());
        }
        let opened = passed.open(incoming)?;
        Ok((passed, opened))
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

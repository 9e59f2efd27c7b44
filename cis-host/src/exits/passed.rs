//! An exit file on its way to the next program of its process: the open file is passed, not opened again.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ExitFile, boot, longest_rest};
use crate::os::{Incoming, Outgoing, PassedNumber};
use cis_core::ids::SessionId;

/// An [`ExitFile`] with a number for its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassedExitFile {
    path: PathBuf,
    file: Option<PassedNumber>,
    at: u64,
    reserved: u64,
    promised: u64,
    pending: Vec<u8>,
    pending_of: Vec<SessionId>,
}

impl ExitFile {
    /// Puts its file among those that are passed.
    pub(crate) fn put_into<'a>(&'a self, outgoing: &mut Outgoing<'a>) -> PassedExitFile {
        PassedExitFile {
            path: self.path.clone(),
            file: self.file.as_ref().map(|file| outgoing.put(file)),
            at: self.at,
            reserved: self.reserved,
            promised: self.promised,
            pending: self.pending.clone(),
            pending_of: self.pending_of.clone(),
        }
    }
}

impl PassedExitFile {
    /// # Errors
    /// The file was not passed.
    pub(crate) fn take_from(self, incoming: &mut Incoming) -> io::Result<ExitFile> {
        let file = self.file.map(|number| incoming.take(number).map(File::from)).transpose()?;
        let boot = boot();
        let longest_rest = longest_rest(&boot);
        Ok(ExitFile {
            path: self.path,
            boot,
            longest_rest,
            file,
            at: self.at,
            reserved: self.reserved,
            promised: self.promised,
            pending: self.pending,
            pending_of: self.pending_of,
        })
    }
}

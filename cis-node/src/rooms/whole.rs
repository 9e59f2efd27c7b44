//! A room from some place of it to its end, as far as the account may read it, with the files that its envelopes name.

use std::time::Duration;

use cis_matrix::{MatrixError, RoomEvent};
use serde_json::Value;

use crate::account::Opened;
use crate::transfers::of_json;
use cis_core::federation::recovery::{File, Found, Recovery};
use cis_core::identity::Standing;
use cis_core::ids::NodeDid;

/// Events that are asked for at a time: homeservers give no more.
const PAGE: u32 = 1000;

/// The same backwards: homeservers fetch no more at a time from others.
const PAGE_BACK: u32 = 100;

/// Pages that are read backwards at most.
const PAGES_BACK_MAX: usize = 50;

/// A file is asked for again after these pauses if the homeserver says that something is wrong with itself. After the last one the file
/// counts as gone: what is wrong with one file for ever does not keep the node from reading the room.
const BROKEN_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A room that is being read.
pub(super) struct Whole<'a> {
    opened: &'a Opened,
    room: &'a str,
    /// Where it was begun: the first event that can be read.
    pub(super) first: Option<RoomEvent>,
    from: Option<String>,
    is_over: bool,
    /// Events that were read.
    pub(super) events: u64,
    /// Those of them that cannot be decrypted.
    pub(super) unreadable: u64,
}

impl<'a> Whole<'a> {
    /// From its first event on.
    pub(super) async fn begin(opened: &'a Opened, room: &'a str) -> Result<Self, MatrixError> {
        let beginning = opened.client.beginning(room).await?;
        let (first, from) = beginning.map_or((None, None), |begins| (Some(begins.first), begins.place));
        Ok(Self { first, from, ..Self::new(opened, room) })
    }

    /// Of which nothing is asked.
    pub(super) fn new(opened: &'a Opened, room: &'a str) -> Self {
        Self { opened, room, first: None, from: None, is_over: false, events: 0, unreadable: 0 }
    }

    /// From the place behind a batch or a page on; none: from its first event on, which is not told.
    pub(super) fn after(opened: &'a Opened, room: &'a str, place: Option<&str>) -> Self {
        Self { from: place.map(str::to_owned), ..Self::new(opened, room) }
    }

    /// The place before the events that come next; none: they are the first ones.
    pub(super) fn place(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// The next events; none: there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RoomEvent>>, MatrixError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.opened.client.forward(self.room, self.from.as_deref(), PAGE).await?;
        self.is_over = page.next.is_none() || page.next == self.from;
        self.from = page.next;
        self.events += page.events.len() as u64;
        self.unreadable += page.events.iter().filter(|event| event.is_sealed()).count() as u64;
        Ok(Some(page.events))
    }

    /// Reads the room backwards from a place on, so that its homeserver fetches from others what it lacks, and returns the ids of the
    /// events. `until`: the event before them; none, or one that is far away: as far as that is of use.
    pub(super) async fn read_back(
        opened: &Opened,
        (room, from): (&str, &str),
        until: Option<&str>,
    ) -> Result<Vec<String>, MatrixError> {
        let (mut from, mut found) = (Some(from.to_owned()), Vec::new());
        for _ in 0..PAGES_BACK_MAX {
            let page = opened.client.backward(room, from.as_deref(), PAGE_BACK).await?;
            let after = |event: &&RoomEvent| Some(event.id.as_str()) != until;
            let before = found.len();
            found.extend(page.events.iter().take_while(after).map(|event| event.id.clone()));
            if found.len() < before + page.events.len() || page.next.is_none() || page.next == from {
                break;
            }
            from = page.next;
        }
        Ok(found)
    }

    /// Takes an event of the room into what is read of its runs, with the file that it names.
    pub(super) async fn read_into(
        &self,
        recovery: &mut Recovery,
        event: &RoomEvent,
        standing: impl Fn(&NodeDid) -> Standing,
    ) -> Result<(), MatrixError> {
        let Some(content) = content(event) else { return Ok(()) };
        let found = Found { type_name: &event.kind, sender: &event.sender, content: &content };
        if let Some(file) = recovery.hear(found, standing) {
            let bytes = self.fetch(&file).await?;
            recovery.fetched(file, bytes.as_deref().map_err(Clone::clone));
        }
        Ok(())
    }

    /// Downloads a file, never more than the size that its event states. The inner error says why the file has no bytes; the
    /// outer one is a failure that passes, after which the room is read again.
    pub(super) async fn fetch(&self, file: &File) -> Result<Result<Vec<u8>, String>, MatrixError> {
        if file.is_too_large() {
            return Ok(Err("a part of its journal is in a file that is too large to be one".to_owned()));
        }
        let Some(media) = of_json(file.media()) else {
            return Ok(Err("a part of its journal is in a file whose place is not told".to_owned()));
        };
        let mut pauses = BROKEN_PAUSES.iter();
        let downloaded = loop {
            match (self.opened.client.download(media.clone(), file.size()).await, pauses.next()) {
                (Err(MatrixError::Other { status: Some(500..), .. }), Some(pause)) => {
                    tokio::time::sleep(*pause).await;
                }
                (downloaded, _) => break downloaded,
            }
        };
        match downloaded {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(MatrixError::FileTooLarge { bytes_max }) => Ok(Err(format!(
                "a part of its journal is in a file that is larger than the {bytes_max} bytes that its event states"
            ))),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// What stands in an event.
pub(super) fn content(event: &RoomEvent) -> Option<Value> {
    serde_json::from_str(event.content.get()).ok()
}

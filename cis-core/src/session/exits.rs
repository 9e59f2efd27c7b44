//! The file in which a session host notes how sessions ended, until a node has recorded it.
//!
//! The end of a session's first process is noted as soon as the host hears of it: before what that process left
//! behind is ended, and before any node is told. The next host finds the notes of one that was killed. A note
//! outlives every process, not the machine: nothing is flushed to the disk.
//!
//! Owns the form of the file. Does not know which sessions a node has recorded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::log::LogReader;
use super::protocol::{Exit, Known};
use crate::event::LostOutput;
use crate::ids::{SessionId, TimestampMs};

/// Name of the file in the home.
pub(crate) const FILE: &str = "host.exits";

/// The file is written from its beginning again once it is so long, bytes: about 250 notes. As much is reserved,
/// so that a full disk does not matter.
const ROOM: u64 = 64 << 10;

/// No more is read, bytes.
const READ_BYTES_MAX: u64 = 16 << 20;

/// The end of one session: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Note {
    #[serde(flatten)]
    pub(crate) known: Known,
    /// Where its output is.
    pub(crate) log: PathBuf,
    /// Some of its output was not read yet.
    #[serde(default)]
    pub(crate) unread: bool,
}

/// The same as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) session: SessionId,
    pub(crate) label: &'a str,
    pub(crate) pid: u32,
    pub(crate) started_ms: TimestampMs,
    pub(crate) exit: &'a Exit,
    pub(crate) log: &'a Path,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unread: bool,
}

/// A line, and since which start of the machine it holds.
#[derive(Serialize, Deserialize)]
struct Dated<'a, L> {
    boot: Cow<'a, str>,
    #[serde(flatten)]
    line: L,
}

/// The file of a host that runs.
#[derive(Debug)]
pub(crate) struct ExitFile {
    path: PathBuf,
    boot: String,
    /// None: it could not be made.
    file: Option<File>,
    /// Where the next note goes.
    at: u64,
    /// Notes that are not in the file yet.
    pending: Vec<u8>,
}

impl ExitFile {
    /// Opens the file, or makes it. Gives what an earlier host noted.
    pub(crate) fn open(path: PathBuf) -> (Self, Vec<Note>) {
        let earlier = notes(&path);
        let file = make(&path).ok();
        let length = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        let mut new = Self { path, boot: boot(), file, at: length, pending: Vec::new() };
        // The last line may be half a one.
        if let Some(file) = new.file.as_ref().filter(|_| length > 0)
            && file.write_all_at(b"\n", length).is_ok()
        {
            new.at += 1;
        }
        (new, earlier)
    }

    /// Adds a note, for the next [`Self::write`].
    pub(crate) fn add(&mut self, line: &Line<'_>) {
        put(&mut self.pending, &self.boot, line);
    }

    /// What was added no longer fits: time to [`Self::begin_again`].
    pub(crate) fn is_full(&self) -> bool {
        !self.pending.is_empty() && self.at + self.pending.len() as u64 > ROOM
    }

    /// Writes what was added, in one call.
    pub(crate) fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Some(file) = &self.file
            && file.write_all_at(&self.pending, self.at).is_ok()
        {
            self.at += self.pending.len() as u64;
        }
        // What could not be written is told to the node all the same, as long as this host lives.
        self.pending.clear();
    }

    /// Goes back to the beginning. What stands there is overwritten, unless it may still be needed: then a new file
    /// takes its place. Where that cannot be made the old one grows. `open` are the notes of all sessions whose end
    /// no node has recorded, the added ones included.
    pub(crate) fn begin_again(&mut self, open: &[Note]) {
        let all = self.lines(open);
        if all.len() <= self.pending.len() {
            self.at = 0;
        } else if let Ok(file) = self.replace(&all) {
            (self.file, self.at) = (Some(file), all.len() as u64);
            self.pending.clear();
        }
    }

    /// The host ends in good order: leaves these notes to the next one.
    pub(crate) fn leave(&self, open: &[Note]) {
        let all = self.lines(open);
        // Where that fails the next host reads notes that nobody needs.
        let _ = if all.is_empty() { std::fs::remove_file(&self.path) } else { self.replace(&all).map(drop) };
    }

    fn lines(&self, notes: &[Note]) -> Vec<u8> {
        let mut lines = Vec::new();
        for Note { known, log, unread } in notes {
            let Known { session, label, pid, started_ms, exit: Some(exit) } = known else { continue };
            let (session, pid, started_ms, unread) = (*session, *pid, *started_ms, *unread);
            put(&mut lines, &self.boot, &Line { session, label, pid, started_ms, exit, log, unread });
        }
        lines
    }

    fn replace(&self, lines: &[u8]) -> io::Result<File> {
        let new = self.path.with_extension("exits.new");
        let file = make(&new)?;
        file.set_len(0)?;
        file.write_all_at(lines, 0)?;
        std::fs::rename(&new, &self.path)?;
        Ok(file)
    }
}

/// Ends of sessions that a host noted at `path`, as the next host tells them.
pub(crate) fn read(path: &Path) -> Vec<Known> {
    notes(path).into_iter().map(|note| note.known).collect()
}

/// The notes of a file since the machine was started. What cannot be read is left out: a note that was being written,
/// and what is left of overwritten ones.
fn notes(path: &Path) -> Vec<Note> {
    let mut bytes = Vec::new();
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(no_link).open(path);
    match opened.and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => tracing::warn!(path = %path.display(), %error, "noted ends of sessions cannot be read"),
    }
    let boot = boot();
    let mut newest: BTreeMap<SessionId, Note> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Dated { boot: since, line: note }) = serde_json::from_slice::<Dated<'_, Note>>(line) else {
            continue;
        };
        if since != boot || note.known.exit.is_none() {
            continue;
        }
        let known = newest.get(&note.known.session);
        if known.is_none_or(|known| known.rank() < note.rank()) {
            newest.insert(note.known.session, note);
        }
    }
    newest.into_values().map(Note::settled).collect()
}

impl Note {
    /// Of two notes of one session the later one has the higher: the file does not keep their order.
    fn rank(&self) -> (bool, u64) {
        (!self.unread, self.known.exit.as_ref().map_or(0, |exit| exit.output_bytes))
    }

    /// The same for another host than the one that wrote it: nobody reads more of the output.
    fn settled(mut self) -> Self {
        let kept = LogReader::open(&self.log).and_then(|mut log| log.total()).unwrap_or(0);
        if let Some(exit) = &mut self.known.exit {
            exit.output_bytes = exit.output_bytes.max(kept);
            if self.unread && exit.lost_output.is_none() {
                let cause = "the session host ended before it had read all of it".to_owned();
                exit.lost_output = Some(LostOutput { bytes: 0, cause });
            }
        }
        self
    }
}

/// This start of the machine; empty where the system does not tell.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().take(8).collect()
}

fn put(out: &mut Vec<u8>, boot: &str, line: &Line<'_>) {
    let before = out.len();
    // Plain values, written into memory: that fails only for a log whose name is not UTF-8.
    if serde_json::to_writer(&mut *out, &Dated { boot: Cow::Borrowed(boot), line }).is_ok() {
        out.push(b'\n');
    } else {
        out.truncate(before);
    }
}

fn make(path: &Path) -> io::Result<File> {
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
    let file = options.open(path)?;
    // Not every file system can.
    let _ = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ExitStatus;

    fn note(number: u128, output_bytes: u64, unread: bool) -> Note {
        let exit = Exit {
            status: ExitStatus::Code(3),
            started_ms: 1,
            ended_ms: 2,
            timed_out: false,
            idle: false,
            killed: false,
            shut_down: false,
            output_bytes,
            cut_bytes: 0,
            lost_output: None,
        };
        let session = SessionId::from_parts(1, number);
        let label = "r:t#1".to_owned();
        let known = Known { session, label, pid: 5, started_ms: 1, exit: Some(exit) };
        Note { known, log: PathBuf::from("/no/such/log"), unread }
    }

    fn sessions(path: &Path) -> Vec<SessionId> {
        read(path).into_iter().map(|known| known.session).collect()
    }

    impl ExitFile {
        /// Notes the end of one more, where these are the open ones.
        fn take(&mut self, new: &Note, open: &[Note]) {
            self.pending = self.lines(std::slice::from_ref(new));
            if self.is_full() {
                self.begin_again(open);
            }
            self.write();
        }
    }

    #[test]
    fn what_was_noted_is_read_and_the_later_note_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, earlier) = ExitFile::open(path.clone());
        assert_eq!(earlier, []);
        for new in [note(1, 10, true), note(2, 10, true), note(1, 20, false)] {
            file.take(&new, &[]);
        }
        let known = read(&path);
        assert_eq!(known.len(), 2);
        let first = known[0].exit.clone().unwrap();
        assert_eq!((first.output_bytes, first.lost_output), (20, None));
        assert!(known[1].exit.clone().unwrap().lost_output.unwrap().cause.contains("before it had read"));
        // The next host goes on behind them.
        let (mut file, earlier) = ExitFile::open(path.clone());
        assert_eq!(earlier.into_iter().map(|note| note.known).collect::<Vec<_>>(), known);
        file.take(&note(3, 0, false), &[]);
        assert_eq!(read(&path).len(), 3);
        file.leave(&[note(3, 0, false)]);
        assert_eq!(sessions(&path), [SessionId::from_parts(1, 3)]);
        let (file, _) = ExitFile::open(path.clone());
        file.leave(&[]);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_stays_small_and_keeps_what_nobody_has_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        let kept = note(0, 0, false);
        file.take(&kept, &[]);
        for number in 1..2000 {
            let new = note(number, 0, false);
            // In the first half there is one that is never recorded.
            let open = if number < 1000 { vec![kept.clone(), new.clone()] } else { vec![new.clone()] };
            file.take(&new, &open);
            if number % 37 > 0 {
                continue;
            }
            let there = sessions(&path);
            assert!(there.contains(&new.known.session), "{number}");
            assert!(number >= 1000 || there.contains(&kept.known.session), "{number}");
            assert!(std::fs::metadata(&path).unwrap().len() <= ROOM, "{number}");
        }
    }

    #[test]
    fn garbage_and_what_another_start_of_the_machine_left_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        let mut text = file.lines(&[note(1, 0, false)]);
        text.extend_from_slice(b"{\"session\":\n\xff\xfe\n{}\n");
        file.boot = "another".to_owned();
        text.extend(file.lines(&[note(2, 0, false)]));
        file.boot = boot();
        let half = file.lines(&[note(3, 0, false)]);
        text.extend_from_slice(&half[..half.len() - 9]);
        std::fs::write(&path, text).unwrap();
        assert_eq!(sessions(&path), [SessionId::from_parts(1, 1)]);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(sessions(&path), []);
        assert!(ExitFile::open(path).0.file.is_none());
    }
}

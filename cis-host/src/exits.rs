//! The file in which a session host notes how sessions ended, until a node has recorded these ends.
//!
//! The end of a session's first process is noted as soon as the host learns of it: before the host reaps the process, ends
//! leftover processes, and tells a node. After a host was killed, the next host reads its notes. A
//! note survives the death of every process, but not of the machine: nothing is flushed to the disk.
//!
//! The space for the notes of a session is reserved before the session starts. A full disk therefore prevents starts,
//! and never a note.
//!
//! A line ends with a checksum of the rest of it. An earlier version wrote none, and ignores it.
//!
//! Owns the format of the file. Does not know which sessions a node has recorded.

mod passed;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::log::LogReader;
use super::os;
use super::protocol::{Exit, Known};
use cis_core::event::{ExitStatus, LostOutput};
use cis_core::ids::{SessionId, TimestampMs};
pub(crate) use passed::PassedExitFile;

/// Name of the file in the home.
pub const FILE: &str = "host.exits";

/// Space is reserved in multiples of this, bytes: about 250 notes.
const STEP: u64 = 64 << 10;

/// Maximum number of bytes that are read and reserved.
const READ_BYTES_MAX: u64 = 16 << 20;

/// Maximum length of [`LostOutput::cause`] in a note, bytes. The causes are messages of the system.
const CAUSE_BYTES_MAX: usize = 128;

/// Maximum number of notes of one session: when its first process has ended, and when its output is read.
const NOTES: u64 = 2;

/// The end of one session: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    #[serde(flatten)]
    pub(crate) known: Known,
    /// Path of the session's log.
    pub(crate) log: PathBuf,
    /// Some of the session's output was not read yet.
    #[serde(default)]
    pub(crate) unread: bool,
}

/// A note with borrowed fields, for writing.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) session: SessionId,
    pub(crate) label: &'a str,
    pub(crate) pid: u32,
    pub(crate) started_ms: TimestampMs,
    pub(crate) exit: &'a Exit,
    pub(crate) log: &'a Path,
    pub(crate) unread: bool,
}

/// A note with the boot id of the machine: it is valid until the next boot.
#[derive(Deserialize)]
struct Dated<'a> {
    boot: Cow<'a, str>,
    #[serde(flatten)]
    note: Note,
}

/// The same, as it is written. A flattened field would take several times as long.
#[derive(Serialize)]
struct DatedLine<'a> {
    boot: &'a str,
    session: SessionId,
    label: &'a str,
    pid: u32,
    started_ms: TimestampMs,
    exit: &'a Exit,
    log: &'a Path,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unread: bool,
}

/// Reserved space for the notes of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promise {
    bytes: u64,
}

impl Promise {
    /// Whether all of the space is released.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// The file of a running host.
#[derive(Debug)]
pub(crate) struct ExitFile {
    path: PathBuf,
    boot: String,
    /// Maximum length of a note without label and path, bytes.
    longest_rest: u64,
    /// None: the file could not be made.
    file: Option<File>,
    /// Offset of the next note, bytes.
    at: u64,
    /// End of the reserved space, bytes.
    reserved: u64,
    /// Maximum length of all notes that started sessions still need, bytes.
    promised: u64,
    /// Notes that are not in the file yet.
    pending: Vec<u8>,
    /// Sessions of these notes.
    pending_of: Vec<SessionId>,
}

impl ExitFile {
    /// Opens the file, or makes it. Returns the notes of earlier hosts.
    pub(crate) fn open(path: PathBuf) -> (Self, Vec<Note>) {
        let earlier = notes(&path);
        if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            // A process of a session has put it there. A directory stays, and no session starts.
            let _ = std::fs::remove_file(&path);
        }
        let file = make(&path).ok();
        let length = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        // The last line may be incomplete.
        let pending = if length > 0 { vec![b'\n'] } else { Vec::new() };
        let boot = boot();
        let longest_rest = longest_rest(&boot);
        let (reserved, promised, pending_of) = (0, 0, Vec::new());
        (
            Self { path, boot, longest_rest, file, at: length, reserved, promised, pending, pending_of },
            earlier,
        )
    }

    /// Reserves space for the notes of a session that is about to start. `open` gives the notes of all sessions whose
    /// end no node has recorded. Returns what to [`Self::release`].
    ///
    /// # Errors
    /// The error of the system if there is no space; the session must not start.
    pub(crate) fn reserve(
        &mut self,
        label: &str,
        log: &Path,
        open: impl FnOnce() -> Vec<Note>,
    ) -> io::Result<Promise> {
        let promise = self.promise(label, log);
        let more = self.pending.len() as u64 + self.promised + promise.bytes;
        if self.file.is_none() || self.at + more > self.reserved {
            self.make_space(more, &open())?;
        }
        self.promised += promise.bytes;
        Ok(promise)
    }

    /// Releases the space for one note of a session, or for all of them.
    pub(crate) fn release(&mut self, promise: &mut Promise, all: bool) {
        let bytes = if all { promise.bytes } else { promise.bytes / NOTES };
        promise.bytes -= bytes;
        self.promised -= bytes;
    }

    /// Computes the maximum length of the notes of a session.
    fn promise(&self, label: &str, log: &Path) -> Promise {
        let texts = json_bytes(label.as_bytes()) + json_bytes(log.as_os_str().as_bytes());
        Promise { bytes: (self.longest_rest + texts) * NOTES }
    }

    /// Makes space for `more` bytes: the file is rewritten without the notes that are no longer needed, or grows.
    fn make_space(&mut self, more: u64, open: &[Note]) -> io::Result<()> {
        if open.iter().all(|note| self.pending_of.contains(&note.known.session)) {
            self.at = 0;
        }
        if self.file.is_none() || self.at >= STEP / 2 {
            let done = self.start_over(more, open);
            if done.is_ok() || self.file.is_none() {
                return done;
            }
        }
        let Some(file) = &self.file else { return Ok(()) };
        let end = reserved_end(self.at + more)?;
        if end > self.reserved {
            allocate(file, self.at, end)?;
            self.reserved = end;
        }
        Ok(())
    }

    /// Replaces the file by a new one with these notes and space for `more` bytes.
    fn start_over(&mut self, more: u64, open: &[Note]) -> io::Result<()> {
        let all = self.lines(open);
        let reserved = reserved_end(all.len() as u64 + more)?;
        let file = self.replace(&all, reserved)?;
        (self.file, self.at, self.reserved) = (Some(file), all.len() as u64, reserved);
        self.clear_pending();
        Ok(())
    }

    /// Adds a note, for the next [`Self::write`].
    pub(crate) fn add(&mut self, line: &Line<'_>) {
        put(&mut self.pending, &self.boot, line);
        self.pending_of.push(line.session);
    }

    /// Writes the added notes in one call. Returns false if they must be written again later.
    pub(crate) fn write(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let written =
            self.file.as_ref().is_some_and(|file| file.write_all_at(&self.pending, self.at).is_ok());
        if written {
            self.at += self.pending.len() as u64;
            self.clear_pending();
        }
        written
    }

    fn clear_pending(&mut self) {
        self.pending.clear();
        self.pending_of.clear();
    }

    /// Leaves these notes to the next host, when this host ends normally.
    pub(crate) fn leave(&self, open: &[Note]) {
        let all = self.lines(open);
        // After an error the next host reads notes that are no longer needed.
        let _ =
            if all.is_empty() { std::fs::remove_file(&self.path) } else { self.replace(&all, 0).map(drop) };
    }

    fn lines(&self, notes: &[Note]) -> Vec<u8> {
        let mut lines = Vec::new();
        for Note { known, log, unread } in notes {
            let Known { session, label, pid, started_ms, exit: Some(exit), .. } = known else { continue };
            let (session, pid, started_ms, unread) = (*session, *pid, *started_ms, *unread);
            put(&mut lines, &self.boot, &Line { session, label, pid, started_ms, exit, log, unread });
        }
        lines
    }

    /// Replaces the file by a new one with these lines and space up to `reserved`.
    fn replace(&self, lines: &[u8], reserved: u64) -> io::Result<File> {
        let new = self.path.with_extension("exits.new");
        let written = make(&new).and_then(|file| {
            file.set_len(0)?;
            allocate(&file, 0, reserved)?;
            file.write_all_at(lines, 0)?;
            std::fs::rename(&new, &self.path)?;
            Ok(file)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }
}

/// Reads the ends of sessions that a host noted at `path`, as the next host reports them.
pub fn read(path: &Path) -> Vec<Known> {
    notes(path).into_iter().map(|note| note.known).collect()
}

/// Follows no symbolic link, and waits for no writer or reader of a named pipe: processes of sessions can put either there.
const FILE_ONLY: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Reads the notes of a file since the last boot. Skips lines that are not readable: an incomplete note, and the rest
/// of overwritten notes.
fn notes(path: &Path) -> Vec<Note> {
    let mut bytes = Vec::new();
    let opened = OpenOptions::new().read(true).custom_flags(FILE_ONLY).open(path);
    match opened.and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the noted ends of sessions");
        }
    }
    let boot = boot();
    let mut newest: BTreeMap<SessionId, Note> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if !is_whole(line) {
            // The rest of a longer line, which was overwritten, says nothing.
            let is_note = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
            if !is_note {
                continue;
            }
            tracing::warn!(path = %path.display(), "a noted end of a session is damaged, and does not count");
            continue;
        }
        let Ok(Dated { boot: since, note }) = serde_json::from_slice::<Dated<'_>>(line) else {
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
    /// Order of two notes of one session; the later one has the higher rank. The file does not keep their
    /// order.
    fn rank(&self) -> (bool, u64) {
        (!self.unread, self.known.exit.as_ref().map_or(0, |exit| exit.output_bytes))
    }

    /// The note as another host reports it: no more of the output will be read.
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

/// Boot id of the machine; empty if the system has none.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().take(8).collect()
}

/// Maximum length of a note whose label and path are empty, bytes.
fn longest_rest(boot: &str) -> u64 {
    let lost = LostOutput { bytes: u64::MAX, cause: "x".repeat(CAUSE_BYTES_MAX) };
    let exit = Exit {
        status: ExitStatus::Signal(i32::MIN),
        started_ms: TimestampMs::MIN,
        ended_ms: TimestampMs::MIN,
        timed_out: false,
        idle: true,
        limit_ms: Some(TimestampMs::MIN),
        killed: false,
        shut_down: true,
        output_bytes: u64::MAX,
        cut_bytes: u64::MAX,
        lost_output: Some(lost),
    };
    let (session, pid, started_ms) = (SessionId::from_parts(0, 0), u32::MAX, TimestampMs::MIN);
    let (label, log) = ("", Path::new(""));
    let mut line = Vec::new();
    put(&mut line, boot, &Line { session, label, pid, started_ms, exit: &exit, log, unread: true });
    line.len() as u64
}

/// Maximum length of a text in JSON without its quotation marks, bytes.
fn json_bytes(text: &[u8]) -> u64 {
    let of = |byte: &u8| match byte {
        0..=0x1f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.iter().map(of).sum()
}

fn put(out: &mut Vec<u8>, boot: &str, line: &Line<'_>) {
    let before = out.len();
    let Line { session, label, pid, started_ms, exit, log, unread } = *line;
    let line = DatedLine { boot, session, label, pid, started_ms, exit, log, unread };
    // Writing plain values into memory fails only if the log's path is not UTF-8.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        let sum = sum(&out[before..]);
        // In place of the bracket that ends the object.
        out.pop();
        let _ = write!(out, "{SUM}{sum:08x}{SUM_END}");
        out.push(b'\n');
    } else {
        out.truncate(before);
    }
}

/// What stands before and behind the checksum of a line.
const SUM: &str = ",\"sum\":\"";
const SUM_END: &str = "\"}";
/// Hexadecimal digits of a checksum.
const SUM_DIGITS: usize = 8;

/// Returns the checksum of a line as it was before the checksum was put in.
fn sum(line: &[u8]) -> u32 {
    crc32fast::hash(line)
}

/// Whether the line is what was written. A line without a checksum is of an earlier version.
fn is_whole(line: &[u8]) -> bool {
    let Some(rest) = line.strip_suffix(SUM_END.as_bytes()) else { return true };
    let Some((rest, digits)) = rest.split_last_chunk::<SUM_DIGITS>() else { return true };
    let Some(rest) = rest.strip_suffix(SUM.as_bytes()) else { return true };
    let stated = str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    stated == Some(sum(&[rest, b"}"].concat()))
}

fn make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(FILE_ONLY);
    options.open(path)
}

/// Rounds the end of needed space up to a step.
fn reserved_end(needed: u64) -> io::Result<u64> {
    let end = needed.next_multiple_of(STEP);
    if end <= READ_BYTES_MAX { Ok(end) } else { Err(Errno::FBIG.into()) }
}

/// Reserves the space from `start` to `end`, which has no notes. If the file system does not support that, it is filled
/// with empty lines.
fn allocate(file: &File, start: u64, end: u64) -> io::Result<()> {
    if end <= start {
        return Ok(());
    }
    if os::allocate(file, FallocateFlags::KEEP_SIZE, start, end - start)? {
        return Ok(());
    }
    let lines = vec![b'\n'; usize::try_from(end - start).unwrap_or(0)];
    file.write_all_at(&lines, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u128, output_bytes: u64, unread: bool) -> Note {
        let exit = Exit { output_bytes, ..Exit::with_code(3) };
        let session = SessionId::from_parts(1, number);
        let label = "r:t#1".to_owned();
        let known = Known { session, label, pid: 5, started_ms: 1, born_ms: None, exit: Some(exit) };
        Note { known, log: PathBuf::from("/no/such/log"), unread }
    }

    #[test]
    fn what_is_no_file_is_replaced_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let fifo = rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        );
        fifo.unwrap();
        let (mut exits, earlier) = ExitFile::open(path.clone());
        assert!(earlier.is_empty());
        exits.take(&note(1, 1, true), &[]);
        assert_eq!(sessions(&path).len(), 1);
    }

    fn sessions(path: &Path) -> Vec<SessionId> {
        read(path).into_iter().map(|known| known.session).collect()
    }

    impl ExitFile {
        /// Notes one more end, while `open` are the open notes.
        fn take(&mut self, new: &Note, open: &[Note]) {
            let mut promise = self.promised_for(new, open).unwrap();
            self.note(new);
            self.release(&mut promise, true);
            assert!(self.write());
        }

        /// Reserves the space for a note.
        fn promised_for(&mut self, new: &Note, open: &[Note]) -> io::Result<Promise> {
            self.reserve(&new.known.label, &new.log, || open.to_vec())
        }

        fn note(&mut self, new: &Note) {
            let Known { session, label, pid, started_ms, exit, .. } = &new.known;
            let (session, pid, started_ms, exit) = (*session, *pid, *started_ms, exit.as_ref().unwrap());
            self.add(&Line { session, label, pid, started_ms, exit, log: &new.log, unread: new.unread });
        }
    }

    #[test]
    fn a_session_that_is_noted_twice_at_once_leaves_the_note_of_another_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        file.take(&note(2, 10, false), &[]);
        // As after many notes that are no longer needed.
        file.at = STEP;
        [true, false].iter().for_each(|unread| file.note(&note(1, 10, *unread)));
        file.promised_for(&note(3, 10, false), &[note(1, 10, false), note(2, 10, false)]).unwrap();
        assert!(file.at < STEP, "it was rewritten");
        assert!(file.write());
        assert_eq!(sessions(&path), [1, 2].map(|number| SessionId::from_parts(1, number)));
    }

    #[test]
    fn notes_are_read_and_the_later_one_counts() {
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
        // The next host appends after them.
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
    fn the_file_stays_small_and_keeps_unrecorded_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        let kept = note(0, 0, false);
        file.take(&kept, &[]);
        for number in 1..2000 {
            let new = note(number, 0, false);
            // The first half has one session whose end is never recorded.
            let open = if number < 1000 { vec![kept.clone()] } else { vec![] };
            file.take(&new, &open);
            if number % 37 > 0 {
                continue;
            }
            let there = sessions(&path);
            assert!(there.contains(&new.known.session), "{number}");
            assert!(number >= 1000 || there.contains(&kept.known.session), "{number}");
            assert!(std::fs::metadata(&path).unwrap().len() <= STEP, "{number}");
        }
    }

    #[test]
    fn garbage_and_notes_of_another_boot_are_skipped() {
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
        assert!(ExitFile::open(path.clone()).0.file.is_some());
        assert!(
            std::fs::symlink_metadata(&path).unwrap().is_file(),
            "the link is replaced, and not followed"
        );
    }

    #[test]
    fn a_changed_note_does_not_count_and_one_without_a_checksum_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        file.take(&note(1, 0, false), &[]);
        let text = std::fs::read_to_string(&path).unwrap();
        for at in 0..text.trim_end().len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            let read = read(&path);
            // Only the name of the checksum is not protected by it.
            assert!(read.is_empty() || read[0].exit.as_ref().unwrap().status == ExitStatus::Code(3), "{at}");
            assert!(read.is_empty() || read[0].session == SessionId::from_parts(1, 1), "{at}");
        }
        let before = text.split(SUM).next().unwrap().to_owned() + "}\n";
        std::fs::write(&path, before).unwrap();
        assert_eq!(sessions(&path).len(), 1, "of an earlier version");
    }

    #[test]
    fn the_longest_notes_fit_into_the_promised_space() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = ExitFile::open(folder.path().join(FILE));
        let mut long = note(u128::MAX, u64::MAX, true);
        long.known.label = "\u{1}\"\\".repeat(100);
        (long.known.pid, long.known.started_ms) = (u32::MAX, TimestampMs::MIN);
        let mut promise = file.promised_for(&long, &[]).unwrap();
        for code in [i32::MIN, i32::MAX] {
            let cause = io::Error::from(Errno::NOTUNIQ).to_string();
            let lost_output = Some(LostOutput { bytes: u64::MAX, cause });
            long.known.exit =
                Some(Exit { output_bytes: u64::MAX, timed_out: true, lost_output, ..Exit::with_code(code) });
            file.note(&long);
        }
        assert!(file.pending.len() as u64 <= promise.bytes);
        file.release(&mut promise, false);
        assert!(!promise.is_empty());
        file.release(&mut promise, true);
        assert!(promise.is_empty());
        assert_eq!(file.promised, 0);
    }

    #[test]
    fn the_space_of_all_promised_notes_is_reserved_and_not_more_than_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        let reserved = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap()) * 512;
        let mut promised = 0;
        while let Ok(promise) = file.promised_for(&note(promised, 0, false), &[]) {
            promised += 1;
            assert!(promise.bytes * u64::try_from(promised).unwrap() <= reserved(&path), "{promised}");
        }
        assert!(file.reserved <= READ_BYTES_MAX && file.promised > READ_BYTES_MAX - STEP);
        // All of them end. Nothing is rewritten, and all are read.
        for number in 0..promised {
            [true, false].iter().for_each(|unread| file.note(&note(number, 0, *unread)));
            assert!(file.write());
        }
        assert_eq!(sessions(&path).len() as u128, promised);
    }

    #[test]
    fn a_note_that_cannot_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut file, _) = ExitFile::open(path.clone());
        let usable = file.file.replace(File::open(&path).unwrap());
        file.note(&note(1, 0, false));
        assert!(!file.write());
        file.note(&note(2, 0, false));
        file.file = usable;
        assert!(file.write());
        assert_eq!(sessions(&path), [1, 2].map(|number| SessionId::from_parts(1, number)));
    }
}

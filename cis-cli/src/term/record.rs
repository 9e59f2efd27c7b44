//! Restoration of terminals that a killed `cis` left in raw mode, by the next `cis` in the same terminal.
//!
//! Owns one small file per terminal in the runtime directory, which exists while a command holds that terminal. A command
//! restores only its own controlling terminal, and only if the login session on the terminal is the one that the file names: a
//! new window can get the number of a closed one. Errors are ignored: a terminal without a file is just not restored. Knows
//! nothing of sessions.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::OFlags;
use rustix::process::{geteuid, getpgrp};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr,
    tcgetpgrp, tcsetattr,
};
use serde::{Deserialize, Serialize};

use super::leave::leave;
use crate::output;

/// Maximum length of a record, bytes.
const RECORD_BYTES_MAX: u64 = 4096;

/// Directory of the records.
static PLACE: OnceLock<PathBuf> = OnceLock::new();
/// The record that this process has written.
static OWN: Mutex<Option<(PathBuf, Record)>> = Mutex::new(None);

/// A process, distinguished from later ones with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    /// Start time in clock ticks since boot (proc(5), stat, 22).
    started: u64,
}

/// The settings of a terminal that raw mode changes (termios(3), `cfmakeraw`), as they were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Modes {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    min: u8,
    time: u8,
}

/// A terminal in raw mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The command that holds it.
    holder: Process,
    /// The leader of the login session on it, usually a shell.
    leader: Process,
    modes: Modes,
    /// Whether its colors were changed too.
    colored: bool,
}

/// This process and its controlling terminal, according to the kernel.
#[derive(Debug, PartialEq, Eq)]
struct Here {
    process: Process,
    leader: Process,
    /// The terminal's device number.
    terminal: i32,
}

/// A line of `/proc/PID/stat`.
struct Stat {
    process: Process,
    session: u32,
    terminal: i32,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses a line. Fields are counted from 1, as in proc(5). The second field, a name in parentheses, may
    /// contain any characters.
    fn parse(line: &str) -> Option<Self> {
        let pid = line.split(' ').next()?.parse().ok()?;
        let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            process: Process { pid, started: field(22)?.parse().ok()? },
            session: field(6)?.parse().ok()?,
            terminal: field(7)?.parse().ok()?,
        })
    }
}

impl Process {
    fn is_alive(self) -> bool {
        Stat::read(&self.pid.to_string()).is_some_and(|stat| stat.process == self)
    }
}

impl Here {
    /// Reads them from /proc. `None`: this process has no controlling terminal.
    fn find() -> Option<Self> {
        let own = Stat::read("self").filter(|stat| stat.terminal != 0)?;
        let leader = Stat::read(&own.session.to_string())?.process;
        Some(Self { process: own.process, leader, terminal: own.terminal })
    }

    fn file(&self, place: &Path) -> PathBuf {
        place.join(format!("terminal-{}", self.terminal))
    }
}

impl Modes {
    fn of(termios: &Termios) -> Self {
        Self {
            input: termios.input_modes.bits(),
            output: termios.output_modes.bits(),
            control: termios.control_modes.bits(),
            local: termios.local_modes.bits(),
            min: termios.special_codes[SpecialCodeIndex::VMIN],
            time: termios.special_codes[SpecialCodeIndex::VTIME],
        }
    }

    fn put(self, termios: &mut Termios) {
        termios.input_modes = InputModes::from_bits_retain(self.input);
        termios.output_modes = OutputModes::from_bits_retain(self.output);
        termios.control_modes = ControlModes::from_bits_retain(self.control);
        termios.local_modes = LocalModes::from_bits_retain(self.local);
        termios.special_codes[SpecialCodeIndex::VMIN] = self.min;
        termios.special_codes[SpecialCodeIndex::VTIME] = self.time;
    }
}

/// Restores the terminal of this process if a killed command left it in raw mode. From now on, records are
/// kept in `place`.
pub(crate) fn restore_left(place: &Path) {
    let place = PLACE.get_or_init(|| place.to_path_buf());
    let Some(here) = Here::find() else { return };
    let path = here.file(place);
    let Some(record) = read(&path) else { return };
    // A background process would be stopped here; the next command in the foreground restores the terminal.
    if record.holder.is_alive() || !in_foreground() {
        return;
    }
    let _ = std::fs::remove_file(&path);
    if record.leader == here.leader && give_back(&record).is_ok() {
        let pid = record.holder.pid;
        output::note(&format!("[this terminal is restored: cis was killed here, process {pid}]\n"));
    }
}

/// Notes that this process holds its terminal in raw mode, and the settings before that.
pub(super) fn hold(termios: &Termios) {
    let (Some(place), Some(here)) = (PLACE.get(), Here::find()) else { return };
    let record =
        Record { holder: here.process, leader: here.leader, modes: Modes::of(termios), colored: false };
    let path = here.file(place);
    if write(&path, &record).is_ok() {
        *OWN.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, record));
    }
}

/// Notes that the terminal's colors were changed.
pub(super) fn colored() {
    if let Some((path, record)) = OWN.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        && !std::mem::replace(&mut record.colored, true)
    {
        let _ = write(path, record);
    }
}

/// Notes that the terminal is restored.
pub(super) fn release() {
    if let Some((path, record)) = OWN.lock().unwrap_or_else(PoisonError::into_inner).take()
        && read(&path).is_some_and(|there| there.holder == record.holder)
    {
        let _ = std::fs::remove_file(path);
    }
}

fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

fn give_back(record: &Record) -> io::Result<()> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let mut termios = tcgetattr(&terminal)?;
    record.modes.put(&mut termios);
    leave(&mut terminal, record.colored)?;
    // Input that was typed blindly must not reach the shell.
    Ok(tcsetattr(&terminal, OptionalActions::Flush, &termios)?)
}

/// Reads a record from a file that belongs to this user, and that no other user can write.
fn read(path: &Path) -> Option<Record> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok()?;
    let is_ours = about.is_file() && about.uid() == geteuid().as_raw() && about.mode() & 0o022 == 0;
    if !is_ours || about.len() > RECORD_BYTES_MAX {
        return None;
    }
    let mut text = String::new();
    file.take(RECORD_BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes the whole record, or nothing.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let place = path.parent().unwrap_or(Path::new("/"));
    if !place.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(place)?;
    }
    let new = path.with_extension(record.holder.pid.to_string());
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(record)?.as_bytes())?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a) b) S 1 70 60 34817 70 4194304 1 2 3 4 5 6 7 8 20 0 1 0 99123 1 2 3";

    #[test]
    fn fields_are_found_after_any_process_name() {
        let stat = Stat::parse(STAT).unwrap();
        assert_eq!(stat.process, Process { pid: 77, started: 99123 });
        assert_eq!((stat.session, stat.terminal), (60, 34817));
        assert!(Stat::parse("77 (a").is_none() && Stat::parse("77 (a) S 1").is_none());
    }

    #[test]
    fn a_record_of_another_user_is_ignored() {
        let place = tempfile::tempdir().unwrap();
        let one = Process { pid: 1, started: 2 };
        let modes = Modes { input: 1, output: 2, control: 3, local: 4, min: 5, time: 6 };
        let record = Record { holder: one, leader: one, modes, colored: true };
        let path = place.path().join("terminal-1");
        write(&path, &record).unwrap();
        assert_eq!(read(&path), Some(record.clone()));
        assert_eq!(place.path().read_dir().unwrap().count(), 1, "no other file is left");
        // A link, a file that is too long, and a file that others can write.
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link), None);
        let long = place.path().join("long");
        std::fs::write(&long, [b' '; 5000]).unwrap();
        assert_eq!(read(&long), None);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(read(&path), None);
        if geteuid().is_root() {
            write(&path, &record).unwrap();
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            assert_eq!(read(&path), None);
        }
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let own = Stat::read("self").unwrap().process;
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own }.is_alive());
    }
}

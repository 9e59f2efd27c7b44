//! A backup becomes a home again. Nothing is in its place before all of it was read and found to be
//! what was written; and nothing that was there before is lost.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Progress;
use super::archive::{DATABASE, FORMAT, HEAD, Hashed, Head, SUMS, is_allowed, read_sums};
use super::error::UpkeepError;
use crate::outbox_name;
use cis_core::ids::TimestampMs;
use cis_local::{Home, check_unused};
use cis_store::Writer;
use cis_store::maintenance::LeftOut;

/// Name, but for its end, of the directory that a backup is unpacked into.
pub(super) const ASIDE: &str = ".restoring-";
/// Names in a home that say nothing of what was done in it.
const NOTHING: &[&str] = &["node.lock", "host.lock", "upkeep.lock", "runtime-dir", "node.log", "host.log"];
/// A directory that a new ext file system has at its top: nobody's, and often not to be read.
const OF_MOUNT: &str = "lost+found";
/// A session host that was told to end does so within this time.
const ENDING: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The head and the hashes are no longer, bytes.
const TEXT_BYTES_MAX: u64 = 256 << 20;

/// What became of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Files that were in the backup.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the backup was made, Unix ms.
    pub made_ms: TimestampMs,
    /// Where what was in the home before is now.
    pub kept: Option<PathBuf>,
    /// What is there and not in the home, because no backup has it.
    pub not_in_backup: Vec<NotInBackup>,
}

/// What is in no backup. The login and what the API needs belong to this machine: a second login with the same keys would damage
/// both, and who could reach the node before does not reach every copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotInBackup {
    /// The login of the Matrix account, with the keys of encrypted rooms.
    MatrixLogin,
    /// Tokens of the API.
    ApiTokens,
    /// The certificate of the API that the node made for itself.
    ApiCertificate,
    /// What owners of rooms said: an earlier version refuses a backup with this file.
    RoomStatements,
}

/// Makes `home` what it was when the backup in `from` was made. `force`: also where something is there.
///
/// # Errors
/// The home is in use or not empty, or the backup is not sound: then nothing was changed.
pub fn restore(
    home: &Home,
    from: impl Read,
    force: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RestoreReport, UpkeepError> {
    let is_new = !home.dir.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home.dir)
        .map_err(UpkeepError::file("make", &home.dir))?;
    let nobody_else = (
        lock(&home.node_lock(), "a node", &home.dir)?,
        lock(&home.host_lock(), "a session host", &home.dir)?,
    );
    let restored = restore_into(home, &nobody_else.0, from, force, progress);
    if is_new && restored.is_err() {
        // What a refused restore made, while nobody else can have the locks. A home that is not empty stays.
        for lock in [home.node_lock(), home.host_lock()] {
            let _ = fs::remove_file(lock);
        }
        let _ = fs::remove_dir(&home.dir);
    }
    restored
}

/// `node_lock`: that of the home, which the caller holds, as that of the session host.
fn restore_into(
    home: &Home,
    node_lock: &File,
    from: impl Read,
    force: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RestoreReport, UpkeepError> {
    // Processes whose lock files were deleted have the home all the same.
    check_unused(&home.node_socket())?;
    check_unused(&home.host_socket())?;
    // The name of a killed node in the lock file does not apply to this process.
    node_lock.set_len(0).map_err(UpkeepError::file("write", &home.node_lock()))?;
    let occupied = is_occupied(&home.dir)?;
    if occupied && !force {
        return Err(UpkeepError::Occupied { home: home.dir.clone() });
    }
    // Beside a home that is there, so that the two can change places; else in it, so that it may be a mount.
    let beside = if occupied { home.dir.parent().unwrap_or(&home.dir) } else { &home.dir };
    let staging = Staging::make(beside)?;
    let (head, files, bytes) = unpack(&staging.0, from, progress)?;
    note_restore(&staging.0, &head)?;
    flush(&staging.0).map_err(UpkeepError::file("write", &staging.0))?;
    let kept = if occupied { Some(exchange(staging, &home.dir)?) } else { fill(&staging.0, &home.dir)? };
    let not_in_backup = kept.as_deref().map(|kept| only_in(kept, home)).unwrap_or_default();
    Ok(RestoreReport { files, bytes, made_ms: head.made_ms, kept, not_in_backup })
}

/// What only the old home `kept` has.
fn only_in(kept: &Path, home: &Home) -> Vec<NotInBackup> {
    let old = Home { dir: kept.to_owned(), runtime: home.runtime.clone() };
    let has_login = fs::read_dir(old.matrix()).is_ok_and(|mut entries| entries.next().is_some());
    let all = [
        (NotInBackup::MatrixLogin, has_login),
        (NotInBackup::ApiTokens, old.tokens_file().exists()),
        (NotInBackup::ApiCertificate, old.own_certificate().exists()),
        (NotInBackup::RoomStatements, old.room_statements().exists()),
    ];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(what, _)| what).collect()
}

/// Taken for as long as the file is open: neither can start meanwhile.
fn lock(path: &Path, who: &'static str, home: &Path) -> Result<File, UpkeepError> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.map_err(UpkeepError::file("open the lock", path))?;
    let give_up = Instant::now() + ENDING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // One that was told to end may take a moment, and nothing tells when it has.
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => std::thread::sleep(LOOK_EVERY),
            Err(TryLockError::WouldBlock) => return Err(UpkeepError::InUse { who, home: home.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(UpkeepError::file("lock", path)(source)),
        }
    }
}

/// Whether there is something in it that would be lost. Directories without a file are nothing.
fn is_occupied(home: &Path) -> Result<bool, UpkeepError> {
    let look = || -> io::Result<bool> {
        for entry in fs::read_dir(home)? {
            let entry = entry?;
            let name = entry.file_name();
            let half = name.to_str().is_some_and(|name| name.starts_with(ASIDE));
            let nothing = half
                || NOTHING.iter().any(|known| name == *known)
                || (entry.file_type()?.is_dir() && (name == OF_MOUNT || is_empty(&entry.path())));
            if !nothing {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().map_err(UpkeepError::file("read", home))
}

/// One that cannot be read may have anything in it.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// Reads the whole archive into `dir`, and compares it with its hashes.
fn unpack(
    dir: &Path,
    from: impl Read,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Head, u64, u64), UpkeepError> {
    let mut archive = tar::Archive::new(from);
    let mut head: Option<Head> = None;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut sums: Option<BTreeMap<String, String>> = None;
    let mut bytes = 0;
    // Raw: an entry is what its own header says, without extensions that could give it another name or size.
    for entry in archive.entries().map_err(|e| not_tar(&e))?.raw(true) {
        let entry = entry.map_err(|e| if head.is_none() { not_tar(&e) } else { UpkeepError::Read(e) })?;
        let name = plain_name(&entry)?;
        if sums.is_some() {
            return Err(UpkeepError::Damaged("something follows its hashes".to_owned()));
        }
        let mut content = Hashed::new(entry);
        match (&head, name.as_str()) {
            (None, HEAD) => head = Some(understood(&small(&mut content, HEAD)?)?),
            (None, other) => {
                return Err(UpkeepError::NotABackup(format!("it begins with `{}`", other.escape_debug())));
            }
            (Some(_), SUMS) => {
                let text = small(&mut content, SUMS)?;
                let text = String::from_utf8(text)
                    .map_err(|_| UpkeepError::Damaged(format!("{SUMS} is no text")))?;
                sums = Some(read_sums(&text)?);
                continue;
            }
            (Some(_), name) if is_allowed(name) && !found.contains_key(name) => {
                write(dir, name, &mut content)?;
                bytes += content.count;
                progress(Progress { done: bytes, total: None });
            }
            (Some(_), name) => {
                let name = name.escape_debug();
                return Err(UpkeepError::Damaged(format!("`{name}` has no place in it, or is there twice")));
            }
        }
        found.insert(name, content.into_hash());
    }
    let head = head.ok_or_else(|| UpkeepError::NotABackup("it is empty".to_owned()))?;
    let sums = sums.ok_or_else(|| UpkeepError::Damaged("its end is missing".to_owned()))?;
    compare(&found, &sums)?;
    Ok((head, found.len() as u64 - 1, bytes))
}

fn compare(found: &BTreeMap<String, String>, sums: &BTreeMap<String, String>) -> Result<(), UpkeepError> {
    for (name, hash) in sums {
        match found.get(name) {
            Some(is) if is == hash => {}
            Some(_) => return Err(UpkeepError::Damaged(format!("`{name}` is not what was written"))),
            None => {
                let name = name.escape_debug();
                return Err(UpkeepError::Damaged(format!("`{name}` is missing")));
            }
        }
    }
    match found.keys().find(|name| !sums.contains_key(*name)) {
        Some(name) => Err(UpkeepError::Damaged(format!("`{name}` has no hash"))),
        None if !found.contains_key(DATABASE) => Err(UpkeepError::Damaged("it has no database".to_owned())),
        None => Ok(()),
    }
}

/// The error of the library quotes the content, which may be secret.
fn not_tar(error: &io::Error) -> UpkeepError {
    match error.raw_os_error() {
        Some(_) => UpkeepError::NotABackup(error.to_string()),
        None => UpkeepError::NotABackup("it is not a tar archive".to_owned()),
    }
}

/// The name of a plain file; anything else has no place in a backup.
fn plain_name<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, UpkeepError> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if entry.header().entry_type() == tar::EntryType::Regular {
        return Ok(name);
    }
    Err(UpkeepError::Damaged(format!("`{}` is not a plain file", name.escape_debug())))
}

fn small(content: &mut impl Read, name: &str) -> Result<Vec<u8>, UpkeepError> {
    let mut bytes = Vec::new();
    content.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(UpkeepError::Read)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(UpkeepError::Damaged(format!("{name} is too long")));
    }
    Ok(bytes)
}

fn understood(json: &[u8]) -> Result<Head, UpkeepError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = parsed(json)?;
    if format > FORMAT {
        let detail = format!("it has format {format}, this version knows up to {FORMAT}: use a newer cis");
        return Err(UpkeepError::NotABackup(detail));
    }
    parsed(json)
}

fn parsed<T: DeserializeOwned>(json: &[u8]) -> Result<T, UpkeepError> {
    serde_json::from_slice(json).map_err(|e| UpkeepError::NotABackup(format!("{HEAD}: {e}")))
}

/// The name was checked: it leads nowhere else.
fn write(dir: &Path, name: &str, content: &mut impl Read) -> Result<(), UpkeepError> {
    let path = dir.join(name);
    let make = || -> io::Result<File> {
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)
    };
    let mut file = make().map_err(UpkeepError::file("write", &path))?;
    io::copy(content, &mut file).map_err(UpkeepError::file("unpack", &path))?;
    Ok(())
}

/// Brings the store to this version, and notes that it was brought back: whatever counts on from it must
/// not use a number twice.
fn note_restore(dir: &Path, head: &Head) -> Result<(), UpkeepError> {
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut writer = Writer::open(&dir.join(DATABASE))?;
    writer.set_meta("restored", &format!("{{\"at_ms\":{at_ms},\"made_ms\":{}}}", head.made_ms))?;
    outbox_name::make(&mut writer)?;
    if !head.all_logs {
        let left_out = LeftOut { offset: writer.last_offset(), made_ms: head.made_ms };
        writer.note_left_out(left_out)?;
    }
    writer.commit()?;
    writer.sync()?;
    Ok(())
}

/// Everything on the file system of `dir` is on the disk.
fn flush(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// The two change places in one step; the old one gets a name that says what it is. Returns where it is: if it cannot
/// be renamed, it stays where the backup was unpacked.
fn exchange(staging: Staging, home: &Path) -> Result<PathBuf, UpkeepError> {
    renameat_with(CWD, staging.0.as_path(), CWD, home, RenameFlags::EXCHANGE)
        .map_err(|e| UpkeepError::NotAside { home: home.to_owned(), source: e.into() })?;
    // What is there now is the old home, whatever follows.
    let old = staging.keep();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut named = home.as_os_str().to_owned();
    named.push(format!(".before-restore-{now_ms}"));
    let named = PathBuf::from(named);
    let kept = if fs::rename(&old, &named).is_ok() { named } else { old };
    match flush(home) {
        Ok(()) => Ok(kept),
        Err(source) => Err(UpkeepError::NotFlushed { home: home.to_owned(), kept, source }),
    }
}

/// Moves everything into a home in which there is nothing. The database comes last: before, no node would
/// find anything to go on with.
fn fill(staging: &Path, home: &Path) -> Result<Option<PathBuf>, UpkeepError> {
    let entries = fs::read_dir(staging).map_err(UpkeepError::file("read", staging))?;
    let mut names: Vec<_> = entries.map_while(Result::ok).map(|entry| entry.file_name()).collect();
    names.sort_unstable_by_key(|name| name == DATABASE);
    for name in names {
        let (from, to) = (staging.join(&name), home.join(&name));
        if from.is_dir() && to.is_dir() {
            fs::remove_dir(&to).map_err(UpkeepError::file("replace", &to))?;
        }
        fs::rename(&from, &to).map_err(UpkeepError::file("move into place", &to))?;
    }
    flush(home).map_err(UpkeepError::file("write", home))?;
    Ok(None)
}

/// Where a backup is unpacked. Removed at the end, unless it is kept.
struct Staging(PathBuf);

impl Staging {
    fn make(beside: &Path) -> Result<Self, UpkeepError> {
        let path = beside.join(format!("{ASIDE}{}", ulid::Ulid::new()));
        DirBuilder::new().mode(0o700).create(&path).map_err(UpkeepError::file("make", &path))?;
        Ok(Self(path))
    }

    /// Leaves what is in it where it is.
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

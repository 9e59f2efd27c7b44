//! Which sessions have made their file of outputs: most never do, and opening one that is not there for
//! each of them costs more than being told of those that are.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::DirBuilder;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

use cis_core::ids::SessionId;

/// Room for some dozen names.
const BUFFER_BYTES: usize = 4096;

/// What is known of files in the folder of outputs since it is watched.
pub(super) struct Written {
    /// None: it is not watched, or was not for a moment; then any file may be there.
    watch: Option<OwnedFd>,
    /// Name of the folder in its parent.
    name: OsString,
    sessions: HashSet<SessionId>,
}

impl Written {
    /// Watches the folder (inotify(7)).
    pub(super) fn new(folder: &Path) -> Self {
        let watch = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .and_then(|watch| {
                let made = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
                // A folder that a process has open is not gone for those who watch it, only for its parent.
                let gone = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::ONLYDIR;
                add_watch(&watch, folder.parent().unwrap_or(folder), gone)?;
                add_watch(&watch, folder, made).map(|_| watch)
            })
            .inspect_err(|error| tracing::debug!(%error, "the folder of outputs is not watched"))
            .ok();
        let name = folder.file_name().map(OsStr::to_owned).unwrap_or_default();
        Self { watch, name, sessions: HashSet::new() }
    }

    /// Makes the folder again if somebody removed it: a session cannot write its outputs without it. `is_ours`: as in
    /// [`Self::may_have`].
    pub(super) fn make_folder_again(&mut self, folder: &Path, is_ours: impl Fn(SessionId) -> bool) {
        self.read_events(is_ours);
        if self.watch.is_none() && DirBuilder::new().mode(0o700).create(folder).is_ok() {
            tracing::warn!(folder = %folder.display(), "the folder of outputs was removed and is made again");
            let sessions = std::mem::take(&mut self.sessions);
            *self = Self { sessions, ..Self::new(folder) };
        }
    }

    /// Whether the session may have made its file. `is_ours`: what is asked about later; names of others
    /// are not kept.
    pub(super) fn may_have(&mut self, session: SessionId, is_ours: impl Fn(SessionId) -> bool) -> bool {
        self.read_events(is_ours);
        self.watch.is_none() || self.sessions.contains(&session)
    }

    /// Takes the names of new files. Ends the watch where it is incomplete, or where the folder was removed or moved away.
    fn read_events(&mut self, is_ours: impl Fn(SessionId) -> bool) {
        const INCOMPLETE: ReadFlags = ReadFlags::QUEUE_OVERFLOW.union(ReadFlags::IGNORED);
        const GONE: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);
        let Some(watch) = &self.watch else { return };
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(watch, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().intersects(INCOMPLETE) => break,
                Ok(event) if event.events().intersects(GONE) => {
                    if event.file_name().is_some_and(|name| name.to_bytes() == self.name.as_bytes()) {
                        break;
                    }
                }
                Ok(event) => {
                    self.sessions.extend(event.file_name().and_then(named).filter(|id| is_ours(*id)))
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.watch = None;
        self.sessions = HashSet::new();
    }

    /// It is not asked about any more.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }
}

fn named(file: &CStr) -> Option<SessionId> {
    file.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn id(n: u128) -> SessionId {
        SessionId::from_parts(1_700_000_000_000, n)
    }

    #[test]
    fn only_files_that_came_are_worth_opening() {
        let dir = tempfile::tempdir().unwrap();
        let mut written = Written::new(dir.path());
        let path = |n: u128| dir.path().join(id(n).to_string());
        fs::write(path(1), "a=1").unwrap();
        fs::write(dir.path().join("aside"), "b=2").unwrap();
        fs::rename(dir.path().join("aside"), path(2)).unwrap();
        std::os::unix::fs::symlink("/nowhere", path(3)).unwrap();
        fs::write(path(4), "not ours").unwrap();
        let ours = |session| session != id(4);
        let known: Vec<bool> = (1..=5).map(|n| written.may_have(id(n), ours)).collect();
        assert_eq!(known, [true, true, true, false, false]);
        written.forget(id(1));
        assert!(!written.may_have(id(1), ours));
    }

    #[test]
    fn where_it_cannot_be_known_every_file_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Written::new(&dir.path().join("none")).may_have(id(1), |_| true));
        let folder = dir.path().join("outputs");
        fs::create_dir(&folder).unwrap();
        let mut written = Written::new(&folder);
        assert!(!written.may_have(id(1), |_| true));
        fs::remove_dir(&folder).unwrap();
        assert!(written.may_have(id(1), |_| true), "it may be another folder now");
        written.make_folder_again(&folder, |_| true);
        assert!(!written.may_have(id(1), |_| true), "it is watched again");
        fs::write(folder.join(id(2).to_string()), "").unwrap();
        written.make_folder_again(&folder, |_| true);
        assert!(written.may_have(id(2), |_| true) && !written.may_have(id(1), |_| true));
        for take_away in [
            |folder: &Path| fs::remove_dir_all(folder),
            |folder: &Path| fs::rename(folder, folder.with_extension("away")),
        ] {
            let open = fs::File::open(&folder).unwrap();
            take_away(&folder).unwrap();
            written.make_folder_again(&folder, |_| true);
            assert!(folder.is_dir() && !written.may_have(id(1), |_| true), "it is made and watched again");
            drop(open);
        }
    }

    #[test]
    fn a_flood_of_names_is_noticed_where_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut written = Written::new(dir.path());
        for n in 0..1000 {
            fs::write(dir.path().join(id(n).to_string()), "").unwrap();
        }
        assert!(written.may_have(id(999), |_| true));
        assert_eq!(written.sessions.len(), 1000);
    }
}

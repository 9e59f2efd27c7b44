//! Where a node's files are, until the configuration's own module says it.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use cis_core::identity::NodeKey;
use cis_core::ids::NodeDid;

use crate::error::CliError;

/// The directories of one node.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// What lasts: store, logs, key.
    pub(crate) dir: PathBuf,
    /// Sockets.
    pub(crate) runtime: PathBuf,
}

impl Home {
    /// `cis_home`, or `.cis` below `home`; sockets below `xdg_runtime` where there is one, as paths of
    /// sockets may have 107 bytes only.
    pub(crate) fn locate(
        cis_home: Option<OsString>,
        home: Option<OsString>,
        xdg_runtime: Option<OsString>,
    ) -> Result<Self, CliError> {
        let given = |value: Option<OsString>| value.filter(|text| !text.is_empty()).map(PathBuf::from);
        let dir = match (given(cis_home), given(home)) {
            (Some(dir), _) => std::path::absolute(dir).map_err(|error| {
                CliError::bad_input(format!("the directory given as home cannot be used: {error}"))
            })?,
            (None, Some(home)) if home.is_absolute() => home.join(".cis"),
            _ => {
                return Err(CliError::bad_input("no home directory is known: HOME is not set")
                    .hint("give one with --home DIR or CIS_HOME"));
            }
        };
        let runtime = match given(xdg_runtime).filter(|dir| dir.is_absolute()) {
            Some(xdg) => {
                let mut hasher = DefaultHasher::new();
                dir.hash(&mut hasher);
                xdg.join(format!("cis-{:08x}", hasher.finish() >> 32))
            }
            None => dir.join("run"),
        };
        Ok(Self { dir, runtime })
    }

    /// The API's socket.
    pub(crate) fn node_socket(&self) -> PathBuf {
        self.runtime.join("node.sock")
    }

    /// What a node writes for people to read when something went wrong.
    pub(crate) fn node_log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// The seed of the node's key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.dir.join("node.key")
    }

    /// Makes the directory (0700); whether it was missing.
    pub(crate) fn create(&self) -> io::Result<bool> {
        let missing = !self.dir.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        Ok(missing)
    }

    /// Who the node is: the key in the file, made now where there is none; whether it was made.
    pub(crate) fn key(&self) -> io::Result<(NodeDid, bool)> {
        let mut seed = [0; 32];
        match OpenOptions::new().read(true).open(self.key_file()) {
            Ok(mut file) => {
                file.read_exact(&mut seed)?;
                Ok((NodeKey::from_seed(&seed).did(), false))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                getrandom::fill(&mut seed).map_err(io::Error::other)?;
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.key_file())?;
                file.write_all(&seed)?;
                file.sync_all()?;
                Ok((NodeKey::from_seed(&seed).did(), true))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_home_is_what_was_given_or_below_the_users() {
        let some = |text: &str| Some(OsString::from(text));
        let home = Home::locate(some("/a"), some("/h"), some("/run/user/7")).unwrap();
        assert_eq!(home.dir, PathBuf::from("/a"));
        assert!(home.node_socket().starts_with("/run/user/7"));
        let other = Home::locate(some("/b"), None, some("/run/user/7")).unwrap();
        assert_ne!(home.node_socket(), other.node_socket(), "two homes are two nodes");
        let plain = Home::locate(None, some("/h"), None).unwrap();
        assert_eq!(plain.node_socket(), PathBuf::from("/h/.cis/run/node.sock"));
        assert!(Home::locate(None, None, None).is_err());
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path().join("new").into()), None, None).unwrap();
        assert!(home.create().unwrap());
        let (did, made) = home.key().unwrap();
        assert!(made);
        assert_eq!(home.key().unwrap(), (did, false));
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.key_file()), mode(home.dir)), (0o600, 0o700));
    }
}

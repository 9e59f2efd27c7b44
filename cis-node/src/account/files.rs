//! The folder of the account: `session.json` (0600), which holds the token, and a store of the SDK for each login.
//!
//! A login has a store of its own: one of an earlier device looks fine and hears nothing.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cis_matrix::{MatrixError, Session};
use serde::{Deserialize, Serialize};

use super::AccountError;
use cis_local::read_regular;

const SESSION: &str = "session.json";
const STORE_PREFIX: &str = "store-";

/// A login as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) session: Session,
    /// Name of its store.
    store: String,
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The login; none: nobody has logged in.
    pub(super) fn load(&self) -> Result<Option<Kept>, AccountError> {
        let path = self.folder.join(SESSION);
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AccountError::Files { path, source }),
        };
        match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) if is_store(&kept.store) => Ok(Some(kept)),
            Ok(_) => {
                Err(AccountError::Damaged { path, detail: "its store has no name of a store".to_owned() })
            }
            // What serde says may quote the file, and with it the token.
            Err(error) => {
                let detail =
                    format!("it is no login from line {}, column {} on", error.line(), error.column());
                Err(AccountError::Damaged { path, detail })
            }
        }
    }

    /// A store for a login to come.
    pub(super) fn new_store(&self) -> Result<PathBuf, AccountError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| MatrixError::Store {
            detail: format!("the system gives no random bytes: {error}"),
        })?;
        Ok(self.folder.join(format!("{STORE_PREFIX}{}", hex::encode(random))))
    }

    /// Where the store of a login is.
    pub(super) fn store(&self, kept: &Kept) -> PathBuf {
        self.folder.join(&kept.store)
    }

    /// Keeps a login whose store this is. A crash in between leaves the earlier one, or none.
    pub(super) fn save(&self, session: Session, store: &Path) -> Result<Kept, AccountError> {
        let store = store.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = Kept { session, store };
        self.write(&kept)
            .map_err(|source| AccountError::Files { path: self.folder.join(SESSION), source })?;
        Ok(kept)
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let (path, new) = (self.folder.join(SESSION), self.folder.join("session.new"));
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }

    /// Forgets the login, and then its store.
    pub(super) fn forget(&self) -> Result<(), AccountError> {
        let path = self.folder.join(SESSION);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|source| AccountError::Files { path, source })?,
        }
        self.tidy(None);
        Ok(())
    }

    /// Removes stores that are no login's: of one that failed, or that was given up.
    pub(super) fn tidy(&self, kept: Option<&Kept>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_store(&name) || kept.is_some_and(|kept| kept.store == name) {
                continue;
            }
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "an old Matrix store cannot be removed");
            }
        }
    }
}

/// A name that we gave: nothing else is opened or removed.
fn is_store(name: &str) -> bool {
    name.strip_prefix(STORE_PREFIX)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cis_matrix::Secret;

    use super::*;

    fn session() -> Session {
        Session {
            homeserver: "https://example.org/".to_owned(),
            user: "@cis:example.org".to_owned(),
            device: "ABC".to_owned(),
            token: Secret::new("syt_secret"),
        }
    }

    #[test]
    fn a_login_is_kept_for_us_alone_and_forgotten_with_its_store() {
        let tmp = tempfile::tempdir().unwrap();
        let files = Files::new(tmp.path().join("matrix"));
        assert_eq!(files.load().unwrap(), None);
        let (store, stray) = (files.new_store().unwrap(), files.new_store().unwrap());
        let kept = files.save(session(), &store).unwrap();
        assert_eq!(files.load().unwrap(), Some(kept.clone()));
        assert_eq!(files.store(&kept), store);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&tmp.path().join("matrix")), 0o700);
        assert_eq!(mode(&tmp.path().join("matrix/session.json")), 0o600);

        let other = tmp.path().join("matrix/notes");
        for folder in [&store, &stray, &other] {
            fs::create_dir_all(folder).unwrap();
        }
        files.tidy(Some(&kept));
        assert!(store.exists() && !stray.exists() && other.exists());
        files.forget().unwrap();
        assert!(!store.exists() && files.load().unwrap().is_none());
        files.forget().unwrap();
    }

    #[test]
    fn a_damaged_file_is_said_without_what_it_holds() {
        let tmp = tempfile::tempdir().unwrap();
        let files = Files::new(tmp.path().to_owned());
        let path = tmp.path().join("session.json");
        for text in ["", "[]", "\"syt_secret\"", "{\"token\": \"syt_secret\"}", "{\"token\": syt_secret}"] {
            fs::write(&path, text).unwrap();
            let error = files.load().unwrap_err().to_string();
            assert!(error.contains("is damaged") && !error.contains("syt_secret"), "{error}");
        }
        let mut kept =
            serde_json::to_value(files.save(session(), &files.new_store().unwrap()).unwrap()).unwrap();
        kept["store"] = "../../etc".into();
        fs::write(&path, kept.to_string()).unwrap();
        assert!(files.load().unwrap_err().to_string().contains("no name of a store"));
    }
}

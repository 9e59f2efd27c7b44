//! The node's keys: its identity, and the secret under which session tokens are made.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use cis_core::identity::{NodeKey, TrustList};
use cis_core::ids::SessionId;
use cis_local::{read_regular, read_regular_text};
use cis_store::SecretNameKey;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key file cannot be read or written.
    #[error("cannot use the key file {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file does not hold 32 bytes.
    #[error("the key file {} is damaged ({bytes} bytes instead of 32): restore it from a backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// There is a store, and no key of the node that it is of: with another one, its runs would be of another node.
    #[error(
        "the key file {} is missing, and the runs in this home belong to that key: take `identity.key` out of a backup (`tar -xOf BACKUP \
         identity.key`). If there is none, end the sessions (`cis node stop --kill-sessions`) and move the home {} away",
        path.display(),
        home.display()
    )]
    Missing {
        /// Which.
        path: PathBuf,
        /// The home.
        home: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Seed of the node's key.
const IDENTITY: &str = "identity.key";
/// Seed of the key that takes its place: from the moment that the list of trust is signed by it.
const NEXT: &str = "identity.key.next";
/// Secret under which session tokens are made.
const TOKEN: &str = "token.key";
/// What the node keeps.
const STORE: &str = "cis.db";
/// The list of trust.
pub(super) const TRUST: &str = "trust.toml";

/// The keys of a node, made at its first start.
pub struct Keys {
    /// Who it is.
    pub node: NodeKey,
    /// With the secret of tokens as its key, and no text yet: its copies are made for each session.
    empty_mac: Hmac<Sha256>,
}

impl Keys {
    /// Reads `identity.key` and `token.key` (32 bytes each, 0600) in `home`; makes what is missing.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn load_or_make(home: &Path) -> Result<Self, KeyError> {
        finish_rotation(home)?;
        let path = home.join(IDENTITY);
        let has_store = || fs::metadata(home.join(STORE)).is_ok_and(|store| store.len() > 0);
        let seed = match read_seed(&path)? {
            Some(seed) => seed,
            None if has_store() => return Err(KeyError::Missing { path, home: home.to_owned() }),
            None => make(&path)?,
        };
        let secret = load_or_make(&home.join(TOKEN))?;
        Ok(Self::of(&seed, &secret))
    }

    /// Reads the keys of a home, and makes none. None: a key is missing.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Damaged`].
    pub fn load(home: &Path) -> Result<Option<Self>, KeyError> {
        let keys = read_seed(&home.join(IDENTITY))?.zip(read_seed(&home.join(TOKEN))?);
        Ok(keys.map(|(seed, secret)| Self::of(&seed, &secret)))
    }

    fn of(seed: &[u8; 32], secret: &[u8; 32]) -> Self {
        // A key of any length is allowed, so this cannot fail.
        let empty_mac = Hmac::<Sha256>::new_from_slice(secret).unwrap_or_else(|_| unreachable!());
        Self { node: NodeKey::from_seed(seed), empty_mac }
    }

    /// `CIS_TOKEN` of a session: `SESSION.MAC`. Made again at will, so it is kept nowhere.
    #[must_use]
    pub fn token(&self, session: SessionId) -> String {
        format!("{session}.{}", hex::encode(self.mac(session).finalize().into_bytes()))
    }

    /// The session whose token this is; none: it is nobody's.
    #[must_use]
    pub fn session_of(&self, token: &str) -> Option<SessionId> {
        let (session, mac) = token.split_once('.')?;
        let session: SessionId = session.parse().ok()?;
        let mac = hex::decode(mac).ok()?;
        self.mac(session).verify_slice(&mac).ok().map(|()| session)
    }

    /// Returns a keyed digest: without the node's key nobody can compare it with guesses.
    #[must_use]
    pub fn keyed_digest(&self, bytes: &[u8]) -> [u8; 16] {
        let mut mac = self.empty_mac.clone();
        // Longer than the id of a session, so that no token of a session is a digest.
        mac.update(b"digest of a request");
        mac.update(bytes);
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        digest
    }

    /// Returns the key of the checksums in the names of secret files.
    #[must_use]
    pub fn secret_names(&self) -> SecretNameKey {
        let mut mac = self.empty_mac.clone();
        // Longer than the id of a session, so that no token of a session is this key.
        mac.update(b"key of the names of secret files");
        SecretNameKey::new(&mac.finalize().into_bytes().into())
    }

    fn mac(&self, session: SessionId) -> Hmac<Sha256> {
        let mut mac = self.empty_mac.clone();
        mac.update(&session.0.to_bytes());
        mac
    }
}

/// Makes the key that is to take the place of the present one. Nothing else has changed then.
pub(super) fn make_next(home: &Path) -> Result<NodeKey, KeyError> {
    let path = home.join(NEXT);
    match fs::remove_file(&path) {
        // Of a change that was never signed.
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(KeyError::Io { path, source }),
    }
    let seed = random_seed()?;
    write_whole(&path, &seed).map_err(|source| KeyError::Io { path, source })?;
    Ok(NodeKey::from_seed(&seed))
}

/// Puts the next key in place where the list of trust is signed by it: a crash may have come between the two.
pub(super) fn finish_rotation(home: &Path) -> Result<(), KeyError> {
    let (next, list) = (home.join(NEXT), home.join(TRUST));
    let Some(seed) = read_seed(&next)? else { return Ok(()) };
    let text = match read_regular_text(&list) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(KeyError::Io { path: list, source }),
    };
    if TrustList::from_text(&text, &NodeKey::from_seed(&seed).did()).is_err() {
        return Ok(());
    }
    match fs::rename(&next, home.join(IDENTITY)) {
        // Somebody else did it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => {
            other.and_then(|()| sync_directory(home)).map_err(|source| KeyError::Io { path: next, source })
        }
    }
}

/// Writes a file so that after a crash there is the old one or the new one, for us alone.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, true)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let tmp = PathBuf::from(name);
    let _ = fs::remove_file(&tmp);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&tmp, path)
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

fn read_seed(path: &Path) -> Result<Option<[u8; 32]>, KeyError> {
    match read_regular(path) {
        Ok(bytes) => {
            close_to_others(path);
            let bytes = bytes.as_slice();
            let damaged = |_| KeyError::Damaged { path: path.to_owned(), bytes: bytes.len() };
            <[u8; 32]>::try_from(bytes).map(Some).map_err(damaged)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyError::Io { path: path.to_owned(), source }),
    }
}

/// Makes a key file readable by its owner alone, if it is not. A read-only file system does not change that.
fn close_to_others(path: &Path) {
    let mode = fs::symlink_metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777);
    if mode & 0o077 != 0 && fs::set_permissions(path, fs::Permissions::from_mode(0o600)).is_ok() {
        tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "others could read a key file: its mode is 600 now");
    }
}

fn load_or_make(path: &Path) -> Result<[u8; 32], KeyError> {
    read_seed(path)?.map_or_else(|| make(path), Ok)
}

fn make(path: &Path) -> Result<[u8; 32], KeyError> {
    let seed = random_seed()?;
    // A crash in between leaves no half key under the real name. Nothing depends on it yet, so that the first start of
    // a node need not wait for the disk.
    replace(path, &seed, false).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    Ok(seed)
}

pub(super) fn random_seed() -> Result<[u8; 32], KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| KeyError::Random(e.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_gets_no_other_key() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join(STORE), "").unwrap();
        let did = Keys::load_or_make(tmp.path()).unwrap().node.did();
        fs::write(tmp.path().join(STORE), "runs").unwrap();
        assert_eq!(Keys::load_or_make(tmp.path()).unwrap().node.did(), did);
        fs::remove_file(tmp.path().join(IDENTITY)).unwrap();
        assert!(matches!(Keys::load_or_make(tmp.path()), Err(KeyError::Missing { .. })));
        assert!(!tmp.path().join(IDENTITY).exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_closed_to_them() {
        let tmp = tempfile::tempdir().unwrap();
        Keys::load_or_make(tmp.path()).unwrap();
        let path = tmp.path().join(TOKEN);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Keys::load_or_make(tmp.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keys_stay_and_tokens_belong_to_one_session() {
        let tmp = tempfile::tempdir().unwrap();
        let keys = Keys::load_or_make(tmp.path()).unwrap();
        let again = Keys::load_or_make(tmp.path()).unwrap();
        assert_eq!(keys.node.did(), again.node.did());
        let session = SessionId::from_parts(1, 2);
        let token = keys.token(session);
        assert_eq!(again.session_of(&token), Some(session));
        let other = token.replace(&session.to_string(), &SessionId::from_parts(1, 3).to_string());
        assert_eq!(again.session_of(&other), None);
        assert_eq!(again.session_of("x"), None);
    }
}

//! Tokens of the API over TCP on disk: `api-tokens.json` (0600), their hashes alone. Read at the start, changed by
//! `cis node token`.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use super::keys::{self, KeyError};
use cis_core::api::{CreateToken, TokenView};
use cis_core::ids::{TimestampMs, TokenId};
use cis_core::policy::token::{KeptToken, TokenError, TokenList, fresh};
use cis_local::{Home, read_regular};

/// Why the tokens are as they were.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The list does not take that.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// The file cannot be written.
    #[error("cannot write the tokens to {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is there cannot be read, and is not written over.
    #[error("no token counts, as {} cannot be read: {why}", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] KeyError),
}

/// All tokens of a node.
pub struct Tokens {
    path: PathBuf,
    /// Held while the file is written.
    change: Mutex<()>,
    list: RwLock<Result<TokenList, String>>,
}

impl Tokens {
    /// Reads them. Of a file that cannot be read no token counts; the node works nevertheless.
    #[must_use]
    pub fn open(home: &Home) -> Self {
        let path = home.tokens_file();
        let list = match read_regular(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TokenList::default()),
            Err(error) => Err(error.to_string()),
        };
        Self { path, change: Mutex::new(()), list: RwLock::new(list) }
    }

    /// What is wrong with the file.
    #[must_use]
    pub fn problem(&self) -> Option<TokensError> {
        self.with(|list| list.as_ref().err().map(|why| self.unreadable(why)))
    }

    /// A new token as it is shown, and what is to be kept of it; nothing is kept yet.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn draft(
        &self,
        request: &CreateToken,
        id: TokenId,
        now_ms: TimestampMs,
    ) -> Result<(String, KeptToken), TokensError> {
        let (text, hash) = fresh(&keys::random_seed()?);
        let lifetime = request.lifetime_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let kept = KeptToken {
            id,
            name: request.name.clone().unwrap_or_else(|| format!("{}-{}", request.role, id.short())),
            role: request.role,
            hash,
            created_ms: now_ms,
            expires_ms: lifetime.map(|ms| now_ms.saturating_add(ms)),
        };
        self.copy()?.add(kept.clone())?;
        Ok((text, kept))
    }

    /// Keeps a token: it counts from now on, and is on disk.
    ///
    /// # Errors
    /// [`TokensError`]; nothing has changed then.
    pub fn keep(&self, token: KeptToken) -> Result<(), TokensError> {
        self.change(|list| list.add(token))
    }

    /// Makes one void, at once and for good.
    ///
    /// # Errors
    /// [`TokensError`]; nothing has changed then.
    pub fn revoke(&self, id_or_name: &str) -> Result<KeptToken, TokensError> {
        self.change(|list| list.revoke(id_or_name))
    }

    /// The token that was shown, where it counts now.
    #[must_use]
    pub fn shown(&self, token: &str, now_ms: TimestampMs) -> Option<KeptToken> {
        self.with(|list| list.as_ref().ok()?.shown(token, now_ms).cloned())
    }

    /// The one with this id, where it counts now.
    #[must_use]
    pub fn counting(&self, id: TokenId, now_ms: TimestampMs) -> Option<KeptToken> {
        self.with(|list| list.as_ref().ok()?.counting(id, now_ms).cloned())
    }

    /// All of them, for people.
    ///
    /// # Errors
    /// [`TokensError::Unreadable`].
    pub fn views(&self, now_ms: TimestampMs) -> Result<Vec<TokenView>, TokensError> {
        Ok(self.copy()?.iter().map(|token| view(token, now_ms)).collect())
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut TokenList) -> Result<T, TokenError>,
    ) -> Result<T, TokensError> {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = self.copy()?;
        let said = change(&mut list)?;
        let io = |source| TokensError::Io { path: self.path.clone(), source };
        let text = serde_json::to_vec(&list).map_err(|error| io(io::Error::other(error)))?;
        keys::write_whole(&self.path, &text).map_err(io)?;
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Ok(list);
        Ok(said)
    }

    fn copy(&self) -> Result<TokenList, TokensError> {
        self.with(|list| list.clone().map_err(|why| self.unreadable(&why)))
    }

    fn with<T>(&self, look: impl FnOnce(&Result<TokenList, String>) -> T) -> T {
        // Whoever panicked had not changed it: it is replaced as a whole.
        look(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn unreadable(&self, why: &str) -> TokensError {
        TokensError::Unreadable { path: self.path.clone(), why: why.to_owned() }
    }
}

/// Returns a token as people see it at `now_ms`.
#[must_use]
pub fn view(token: &KeptToken, now_ms: TimestampMs) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name.clone(),
        role: token.role,
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        expired: token.is_expired(now_ms),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use cis_core::people::Role;

    fn home(tmp: &tempfile::TempDir) -> Home {
        Home { dir: tmp.path().to_owned(), runtime: tmp.path().join("run") }
    }

    fn request(name: Option<&str>, lifetime_ms: Option<u64>) -> CreateToken {
        CreateToken { role: Role::Operator, name: name.map(str::to_owned), lifetime_ms }
    }

    #[test]
    fn a_token_is_there_after_a_restart_and_gone_after_its_end() {
        let tmp = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&home(&tmp));
        let id = TokenId::from_parts(1, 1);
        let (text, kept) = tokens.draft(&request(None, Some(50)), id, 100).unwrap();
        assert!(tokens.shown(&text, 100).is_none(), "nothing is kept yet");
        assert!(!home(&tmp).tokens_file().exists());
        tokens.keep(kept.clone()).unwrap();
        let again = Tokens::open(&home(&tmp));
        assert_eq!(again.shown(&text, 149), Some(kept.clone()));
        assert_eq!(again.shown(&text, 150), None);
        assert_eq!(kept.name, format!("operator-{}", id.short()));
        assert!(again.views(150).unwrap()[0].expired);
        let file = fs::read_to_string(home(&tmp).tokens_file()).unwrap();
        assert!(!file.contains(&text[5..]), "{file}");
        let mode = fs::metadata(home(&tmp).tokens_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        again.revoke(&kept.name).unwrap();
        assert!(again.counting(id, 100).is_none() && Tokens::open(&home(&tmp)).shown(&text, 100).is_none());
    }

    #[test]
    fn of_a_file_that_cannot_be_read_no_token_counts_and_it_stays() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(home(&tmp).tokens_file(), "{").unwrap();
        let tokens = Tokens::open(&home(&tmp));
        assert!(tokens.problem().unwrap().to_string().contains("api-tokens.json"));
        let drafted = tokens.draft(&request(Some("a"), None), TokenId::from_parts(1, 1), 1);
        assert!(matches!(drafted, Err(TokensError::Unreadable { .. })));
        assert!(tokens.revoke("a").is_err() && tokens.views(1).is_err());
        assert_eq!(fs::read_to_string(home(&tmp).tokens_file()).unwrap(), "{");
    }
}

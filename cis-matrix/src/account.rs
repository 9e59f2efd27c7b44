//! The account: logging in, being logged in again without a word to the homeserver, logging out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::config::{RequestConfig, StoreConfig};
use matrix_sdk::cross_process_lock::CrossProcessLockConfig;
use matrix_sdk::encryption::{BackupDownloadStrategy, EncryptionSettings};
use matrix_sdk::ruma::api::client::account::whoami;
use matrix_sdk::ruma::api::client::session::login;
use matrix_sdk::ruma::api::client::session::login::v3::LoginInfo;
use matrix_sdk::ruma::api::client::uiaa::{self, AuthData, MatrixUserIdentifier, UserIdentifier};
use matrix_sdk::ruma::{OwnedDeviceId, OwnedUserId, UserId};
use matrix_sdk::{
    ClientBuildError, ClientBuilder, SessionMeta, SessionTokens, SqliteCryptoStore, SqliteEventCacheStore,
    SqliteMediaStore, SqliteStateStore,
};

use crate::asked::Asked;
use crate::keys::Keys;
use crate::room_keys::Received;
use crate::{Answer, MatrixError, Secret, Session, answer, files};

/// A homeserver that takes longer for a request is away.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// An account that is logged in. Copies are the same one.
#[derive(Clone)]
pub struct Client {
    pub(crate) sdk: matrix_sdk::Client,
    /// Requests of others that came with batches.
    pub(crate) asked: Arc<Asked>,
    /// Room keys that came.
    pub(crate) received: Arc<Received>,
    /// The place behind the newest batch of this process.
    pub(crate) here: Arc<Mutex<Option<String>>>,
}

/// Who logs in, where.
#[derive(Debug, Clone)]
pub struct Login {
    /// URL of the homeserver, or a server's name, whose homeserver is then looked up.
    pub homeserver: String,
    /// `name` or `@name:server`; empty: whoever the login token is for.
    pub user: String,
    /// What proves it.
    pub proof: Proof,
    /// What other devices of the account call this one.
    pub device_name: String,
    /// An empty or missing folder, for this login alone.
    pub store: PathBuf,
}

/// What proves who one is.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The account's password: a new device is made.
    Password(Secret),
    /// The token of a device that nobody else uses.
    Token(Secret),
    /// What a login through a browser gave, good for one login: a new device is made.
    LoginToken(Secret),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("user", &self.sdk.user_id()).finish_non_exhaustive()
    }
}

impl Client {
    fn of(sdk: matrix_sdk::Client) -> Self {
        Self { sdk, asked: Arc::default(), received: Arc::default(), here: Arc::default() }
    }

    /// Logs in. What is given back beside the client is all that [`Client::restore`] needs.
    #[must_use]
    pub fn login(login: Login) -> Answer<(Self, Session)> {
        answer(async move {
            files::make_private(&login.store)?;
            let done = match login.proof.clone() {
                Proof::Password(password) => with_password(&login, &password).await,
                Proof::Token(token) => with_token(&login, token).await,
                Proof::LoginToken(token) => with_login_token(&login, &token).await,
            };
            files::tighten(&login.store)?;
            let (client, session) = done?;
            // Keys by which others know that this device is the account's.
            client.sdk.encryption().wait_for_e2ee_initialization_tasks().await;
            Ok((client, session))
        })
    }

    /// The account of an earlier login. Asks the homeserver nothing: whether it still knows that login, the first
    /// request tells.
    #[must_use]
    pub fn restore(store: PathBuf, session: Session) -> Answer<Self> {
        answer(async move {
            files::make_private(&store)?;
            let client = open(&store, &session, true).await;
            files::tighten(&store)?;
            client
        })
    }

    /// Ends the login at the homeserver: its token and its device are gone. One that is gone already is no error.
    #[must_use]
    pub fn logout(&self) -> Answer<()> {
        let sdk = self.sdk.clone();
        answer(async move {
            match sdk.matrix_auth().logout().await.map_err(MatrixError::from) {
                Ok(_) | Err(MatrixError::Unauthorized { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    /// Asks the homeserver who we are: `@name:server`.
    #[must_use]
    pub fn whoami(&self) -> Answer<String> {
        let sdk = self.sdk.clone();
        answer(async move { Ok(sdk.whoami().await?.user_id.to_string()) })
    }

    /// Who we are, as far as we know.
    #[must_use]
    pub fn user(&self) -> String {
        self.sdk.user_id().map(ToString::to_string).unwrap_or_default()
    }

    /// How many other devices the account has: with some, it is probably somebody's own.
    #[must_use]
    pub fn other_devices(&self) -> Answer<usize> {
        let sdk = self.sdk.clone();
        answer(async move {
            let all = sdk.devices().await?.devices;
            Ok(all.iter().filter(|device| Some(device.device_id.as_ref()) != sdk.device_id()).count())
        })
    }
}

async fn with_password(login: &Login, password: &Secret) -> Result<(Client, Session), MatrixError> {
    let name = UserIdentifier::Matrix(MatrixUserIdentifier::new(login.user.trim().to_owned()));
    let proof = login::v3::Password::new(name.clone(), password.reveal().to_owned());
    let made = Made::log_in(login, LoginInfo::Password(proof)).await?;
    // Homeservers may want the password again before they take the keys of a new identity: without it, one would be made here that is not
    // known there.
    let (client, session) = made.open(login, false).await?;
    let encryption = client.sdk.encryption();
    encryption.wait_for_e2ee_initialization_tasks().await;
    let again = AuthData::Password(uiaa::Password::new(name, password.reveal().to_owned()));
    // Without an identity the account works, too.
    let _ = encryption.bootstrap_cross_signing_if_needed(Some(again)).await;
    Ok((client, session))
}

async fn with_login_token(login: &Login, token: &Secret) -> Result<(Client, Session), MatrixError> {
    let proof = login::v3::Token::new(token.reveal().to_owned());
    let made = Made::log_in(login, LoginInfo::Token(proof)).await.map_err(no_login_token)?;
    if !login.user.trim().is_empty() && !is_same_user(&login.user, &made.said.user_id) {
        let user = login.user.escape_debug();
        let detail = format!("the browser logged {} in, not {user}", made.said.user_id);
        made.undo().await;
        return Err(MatrixError::BadInput { detail });
    }
    made.open(login, true).await
}

/// A device that the homeserver has just made, before anything of it is stored.
struct Made {
    /// Without a store and without keys.
    asking: matrix_sdk::Client,
    said: login::v3::Response,
}

impl Made {
    /// Asks for a new device once. The login of the SDK asks up to three times, and waits silently in between for as long as
    /// the homeserver says: minutes, where a few passwords in a row were wrong. Another address of the homeserver in its answer is
    /// not followed: the one that was given can be reached from here.
    async fn log_in(login: &Login, proof: LoginInfo) -> Result<Self, MatrixError> {
        let asking = builder(&login.homeserver)?.build().await?;
        let mut request = login::v3::Request::new(proof);
        request.initial_device_display_name = Some(login.device_name.clone());
        let said = asking.send(request).await;
        let said = said.map_err(|error| no_homeserver(error.into(), &login.homeserver))?;
        Ok(Self { asking, said })
    }

    /// `makes_identity`: as for [`open`].
    async fn open(self, login: &Login, makes_identity: bool) -> Result<(Client, Session), MatrixError> {
        let session = Session {
            homeserver: self.asking.homeserver().to_string(),
            user: self.said.user_id.to_string(),
            device: self.said.device_id.to_string(),
            token: Secret::new(&self.said.access_token),
        };
        match open(&login.store, &session, makes_identity).await {
            Ok(client) => Ok((client, session)),
            Err(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    /// Has the homeserver remove the device.
    async fn undo(self) {
        if self.asking.restore_session(MatrixSession::from(&self.said)).await.is_ok() {
            let _ = self.asking.matrix_auth().logout().await;
        }
    }
}

async fn with_token(login: &Login, token: Secret) -> Result<(Client, Session), MatrixError> {
    // Whose token it is, only the homeserver knows; the store is made for that device and no other.
    let asking = builder(&login.homeserver)?.build().await?;
    let nobody = meta("@nobody:invalid", "NOBODY")?;
    let tokens = SessionTokens { access_token: token.reveal().to_owned(), refresh_token: None };
    asking.restore_session(MatrixSession { meta: nobody, tokens }).await?;
    let who = asking
        .send(whoami::v3::Request::new())
        .await
        .map_err(|error| no_token(no_homeserver(error.into(), &login.homeserver)))?;
    if !is_same_user(&login.user, &who.user_id) {
        let detail = format!("the token is that of {}, not of {}", who.user_id, login.user.escape_debug());
        return Err(MatrixError::BadInput { detail });
    }
    let Some(device) = who.device_id else {
        let detail =
            "the token belongs to no device, so it can encrypt nothing: log in with a password".to_owned();
        return Err(MatrixError::BadInput { detail });
    };
    let session = Session {
        homeserver: asking.homeserver().to_string(),
        user: who.user_id.to_string(),
        device: device.to_string(),
        token,
    };
    let client = open(&login.store, &session, true).await?;
    Ok((client, session))
}

/// `name` or `@name:server`, as people type it, is that user.
fn is_same_user(typed: &str, user: &UserId) -> bool {
    let typed = typed.trim();
    typed == user.as_str() || typed == user.localpart()
}

/// A place that knows none of Matrix's paths is no homeserver.
pub(crate) fn no_homeserver(error: MatrixError, address: &str) -> MatrixError {
    match error {
        MatrixError::NotFound { .. } | MatrixError::Other { .. } => {
            let detail = format!("no Matrix homeserver answers at {}: {error}", address.escape_debug());
            MatrixError::BadInput { detail }
        }
        other => other,
    }
}

/// A token that is given for a login never was one of ours: there is nothing to log out of.
fn no_token(error: MatrixError) -> MatrixError {
    match error {
        MatrixError::Unauthorized { detail } => {
            MatrixError::BadInput { detail: format!("the homeserver does not know this token: {detail}") }
        }
        other => other,
    }
}

/// One that is not taken: each is good once, for a few minutes.
fn no_login_token(error: MatrixError) -> MatrixError {
    match error {
        MatrixError::Forbidden { detail } | MatrixError::Unauthorized { detail } => MatrixError::BadInput {
            detail: format!("the homeserver does not take this login token: {detail}"),
        },
        other => other,
    }
}

/// `makes_identity`: an account without an identity gets one by itself.
async fn open(store: &Path, session: &Session, makes_identity: bool) -> Result<Client, MatrixError> {
    let settings = EncryptionSettings {
        auto_enable_cross_signing: makes_identity,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
        auto_enable_backups: false,
    };
    let builder = builder(&session.homeserver)?.store_config(stores(store).await?);
    let sdk = builder.with_encryption_settings(settings).build().await?;
    let tokens = SessionTokens { access_token: session.token.reveal().to_owned(), refresh_token: None };
    sdk.restore_session(MatrixSession { meta: meta(&session.user, &session.device)?, tokens }).await?;
    let client = Client::of(sdk);
    // From now on it is known which room keys come.
    client.received.take(&client.sdk).await;
    Ok(client)
}

fn meta(user: &str, device: &str) -> Result<SessionMeta, MatrixError> {
    let user_id: OwnedUserId = crate::name::user_id(user)?;
    Ok(SessionMeta { user_id, device_id: OwnedDeviceId::from(device) })
}

/// What the SDK keeps, in files of this folder.
async fn stores(folder: &Path) -> Result<StoreConfig, MatrixError> {
    let keys = SqliteCryptoStore::open(folder, None).await.map_err(ClientBuildError::from)?;
    let state = SqliteStateStore::open(folder, None).await.map_err(ClientBuildError::from)?;
    let events = SqliteEventCacheStore::open(folder, None).await.map_err(ClientBuildError::from)?;
    let media = SqliteMediaStore::open(folder, None).await.map_err(ClientBuildError::from)?;
    Ok(StoreConfig::new(CrossProcessLockConfig::multi_process("main"))
        .crypto_store(Keys::new(keys))
        .state_store(state)
        .event_cache_store(events)
        .media_store(media))
}

pub(crate) fn builder(homeserver: &str) -> Result<ClientBuilder, MatrixError> {
    let homeserver = homeserver.trim();
    if homeserver.is_empty() {
        return Err(MatrixError::BadInput { detail: "the homeserver has no address".to_owned() });
    }
    let builder = matrix_sdk::Client::builder()
        .user_agent(concat!("cis/", env!("CARGO_PKG_VERSION")))
        // Whoever has an order of what is sent decides when something is sent again.
        .request_config(RequestConfig::new().disable_retry().timeout(REQUEST_TIME_MAX));
    Ok(if homeserver.contains("://") {
        builder.homeserver_url(homeserver)
    } else {
        builder.server_name_or_homeserver_url(homeserver)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_in_two_ways() {
        let user = UserId::parse("@cis:example.org").unwrap();
        for typed in ["cis", " @cis:example.org\n"] {
            assert!(is_same_user(typed, &user), "{typed}");
        }
        for typed in ["", "@cis", "CIS", "@cis:other.org"] {
            assert!(!is_same_user(typed, &user), "{typed}");
        }
    }

    #[test]
    fn what_proves_a_login_is_not_shown() {
        let secret = || Secret::new("hunter2");
        for proof in [Proof::Password(secret()), Proof::Token(secret()), Proof::LoginToken(secret())] {
            assert!(!format!("{proof:?}").contains("hunter2"));
        }
    }
}

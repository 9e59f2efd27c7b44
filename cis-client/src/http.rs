//! The connection: one HTTP/1 connection, made at the first call, kept for the next ones, and
//! made again when the node closed it.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::ClientError;
use super::endpoint::Endpoint;
use super::trust::ServerTrust;
use cis_core::api::{Problem, ProblemKind};
use cis_local::Place;

/// An answer that is no stream may have so many bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A call that is no stream is answered within this time.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Carries the token of the session that asks.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-cis-token");

/// A body that was read whole before it is sent.
pub(super) type Body = Full<Bytes>;

/// An answer whose body is still to be read, and its connection.
pub(super) type Opened = (Response<Incoming>, SendRequest<Body>);

/// Brings a node back that went away: true once one listens again. May wait.
pub type Revive = dyn Fn() -> bool + Send + Sync;

/// Learns that the answer to a call did not come, and that its outcome is going to be found out.
type Broke = dyn Fn(&ClientError) + Send + Sync;

/// A connection that was not used for so long is not used again: over TCP the node closes it soon (after 30 s), and
/// what is sent at that moment is lost.
const UNUSED_MAX: Duration = Duration::from_secs(20);

/// A call that can be repeated is tried so often while the node goes away and comes back.
const TRIES_MAX: u32 = 3;
/// A node that is stopping has ended after this time.
const STOPPING_TIME_MAX: Duration = Duration::from_secs(15);
/// Time between two calls to a node that is stopping.
const STOPPING_PAUSE: Duration = Duration::from_millis(20);
/// A patient client tries again after so long at first, and twice as long after each try, up to the maximum.
const WAIT_FIRST: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Maximum length of a path with its names, bytes. No name is that long, and a node refuses longer heads.
const NAMES_BYTES_MAX: usize = 8 << 10;

/// A client of one node. Sequential calls share a connection. Concurrent calls and streams (logs, events, attached terminals)
/// have one each.
pub struct Client {
    endpoint: Endpoint,
    /// And the header that carries it.
    token: Option<(HeaderName, HeaderValue)>,
    recovery: Recovery,
    /// None before the first call, and while a call uses it.
    kept: Mutex<Option<Kept>>,
}

/// What becomes of a call that may be repeated if the node goes away under it.
enum Recovery {
    /// It fails.
    Fail,
    /// The node is brought back.
    Revive(Arc<Revive>),
    /// The node is waited for.
    Wait { patience: Duration, broke: Arc<Broke> },
}

/// A connection for the next call.
struct Kept {
    sender: SendRequest<Body>,
    used: Instant,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("node", &self.endpoint.name()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the node at this socket of this machine; `token` is that of the session it acts for, if
    /// any. Connects with its first call. A token that no header can carry is left out, which gives
    /// the caller no rights instead of wrong ones.
    #[must_use]
    pub fn new(node: impl Into<Place>, token: Option<&str>) -> Self {
        let token = token.and_then(secret).map(|token| (TOKEN_HEADER, token));
        let endpoint = Endpoint::Unix(node.into());
        Self { endpoint, token, recovery: Recovery::Fail, kept: Mutex::new(None) }
    }

    /// A client of the node at `https://HOST:PORT`, with a token of `cis node token create`. Connects with its first
    /// call; waits for nobody and starts no node. Streams come back by themselves as over a socket.
    ///
    /// # Errors
    /// [`ClientError::Url`], or [`ClientError::Trust`] where no certificate could be checked.
    pub fn remote(url: &str, token: &str, trust: ServerTrust) -> Result<Self, ClientError> {
        let endpoint = Endpoint::remote(url, trust)?;
        let token = secret(&format!("Bearer {token}")).map(|token| (AUTHORIZATION, token));
        Ok(Self { endpoint, token, recovery: Recovery::Fail, kept: Mutex::new(None) })
    }

    /// The same, with a way to bring the node back: calls that may be repeated (those that only look,
    /// and those that count once by their input id) survive a node that dies under them.
    #[must_use]
    pub fn with_revive(mut self, revive: Arc<Revive>) -> Self {
        self.recovery = Recovery::Revive(revive);
        self
    }

    /// A client of the same node for one command of a person. If the connection breaks under a call that changes something and may be
    /// repeated, or no answer comes in time, it calls `broke` and finds the outcome out as soon as the node can be reached, for at most
    /// `patience` and three lost answers. A call that only looks, or was certainly not sent, fails at once.
    #[must_use]
    pub fn patient(&self, patience: Duration, broke: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        let recovery = Recovery::Wait { patience, broke: Arc::new(broke) };
        Self { endpoint: self.endpoint.clone(), token: self.token.clone(), recovery, kept: Mutex::new(None) }
    }

    /// Where the node is, for people: its socket's path, or its URL.
    #[must_use]
    pub fn place(&self) -> String {
        self.endpoint.name()
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn token(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.token.as_ref()
    }

    /// A call without a body whose answer is `T`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.repeat(|| self.call(Method::GET, path, Bytes::new())).await?;
        decode(&bytes)
    }

    /// A call with a JSON body whose answer is `T`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = self.post_raw(path, body).await?;
        decode(&bytes)
    }

    /// The same with `PUT`.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body: Bytes = serde_json::to_vec(body).map_err(ClientError::protocol)?.into();
        decode(&self.send(Method::PUT, path, body).await?)
    }

    /// A call with a JSON body that counts once, however often it is sent.
    pub(super) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(&self.post_once_raw(path, body).await?)
    }

    /// The same for a call whose answer says nothing beyond "done".
    pub(super) async fn post_once_raw(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Bytes, ClientError> {
        let body: Bytes = serde_json::to_vec(body).map_err(ClientError::protocol)?.into();
        self.repeat_command(|| self.call(Method::POST, path, body.clone())).await
    }

    /// Does it again while the node goes away under it and can be brought back.
    pub(super) async fn repeat<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        self.repeat_if(attempt, |error| matches!(error, ClientError::Io { .. })).await
    }

    pub(super) fn is_patient(&self) -> bool {
        matches!(self.recovery, Recovery::Wait { .. })
    }

    /// The same for what changes something: a patient client waits for the node. It never does so for what only looks: before a
    /// command, nothing has been sent yet, and after it, the command itself is waited for.
    pub(super) async fn repeat_command<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        match &self.recovery {
            Recovery::Wait { patience, broke } => self.repeat_patiently(*patience, &**broke, attempt).await,
            Recovery::Fail | Recovery::Revive(_) => self.repeat(attempt).await,
        }
    }

    /// Repeats a call whose answer did not come, until it comes or the patience is over.
    async fn repeat_patiently<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        patience: Duration,
        broke: &Broke,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let (mut lost, mut give_up, mut pause) = (0, None, WAIT_FIRST);
        loop {
            let error = match attempt().await {
                Err(error @ (ClientError::Io { .. } | ClientError::Timeout { .. })) => {
                    lost += 1;
                    error
                }
                // If nothing was sent yet, a person decides whether it is still wanted when the node is back.
                Err(error) if lost > 0 && (error.is_disconnected() || error.is_unprocessed()) => error,
                answer => return answer,
            };
            let now = Instant::now();
            let give_up = *give_up.get_or_insert_with(|| {
                broke(&error);
                now + patience
            });
            if lost >= TRIES_MAX || now >= give_up {
                return Err(error);
            }
            // Nothing tells when a node can be reached again.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(WAIT_MAX);
        }
    }

    /// Sends a call again that no node has processed, if a node can be brought back. A call that may have arrived is not repeated.
    async fn once<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        self.repeat_if(attempt, |_| false).await
    }

    /// Repeats a call that no node has processed, and one that failed so, while a node can be brought back.
    async fn repeat_if<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl Fn() -> F,
        may_repeat: impl Fn(&ClientError) -> bool,
    ) -> Result<T, ClientError> {
        let (mut tries, mut stopping_since) = (1, None);
        loop {
            let error = match attempt().await {
                Err(error) if error.is_unprocessed() => {
                    let since = *stopping_since.get_or_insert_with(Instant::now);
                    if !matches!(self.recovery, Recovery::Revive(_)) || since.elapsed() >= STOPPING_TIME_MAX {
                        return Err(error);
                    }
                    // Nothing tells when it has ended: asked again.
                    tokio::time::sleep(STOPPING_PAUSE).await;
                    error
                }
                Err(error @ (ClientError::NotRunning { .. } | ClientError::NotListening { .. })) => {
                    tries += 1;
                    error
                }
                Err(error) if may_repeat(&error) => {
                    tries += 1;
                    error
                }
                answer => return answer,
            };
            if tries > TRIES_MAX || !self.bring_back().await {
                return Err(error);
            }
        }
    }

    /// Brings the node back, if there is a way to do so. Returns whether the node is back. If the caller stops waiting, the attempt
    /// continues.
    pub(super) async fn bring_back(&self) -> bool {
        let Recovery::Revive(revive) = &self.recovery else { return false };
        let revive = Arc::clone(revive);
        tokio::task::spawn_blocking(move || revive()).await.unwrap_or(false)
    }

    /// A call with a JSON body whose answer says nothing beyond "done".
    pub(super) async fn post_raw(&self, path: &str, body: &impl Serialize) -> Result<Bytes, ClientError> {
        let body: Bytes = serde_json::to_vec(body).map_err(ClientError::protocol)?.into();
        self.send(Method::POST, path, body).await
    }

    /// A call that is never processed twice.
    pub(super) async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        self.once(|| self.call(method.clone(), path, body.clone())).await
    }

    /// A call with a JSON body that takes as long as it takes, over a connection of its own.
    pub(super) async fn post_long<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(ClientError::protocol)?;
        decode(&self.call_long(Method::POST, path, body.into()).await?)
    }

    /// One call that takes as long as it takes, over a connection of its own.
    pub(super) async fn call_long(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let call = || async {
            let request = self.request(method.clone(), path, body.clone())?;
            let mut sender = self.connect().await?;
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            self.whole(response).await
        };
        self.once(call).await
    }

    /// A call without a body that takes as long as it takes, over a connection of its own.
    pub(super) async fn get_long<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.get_long_bytes(path).await?)
    }

    /// The same, as it came.
    pub(super) async fn get_long_bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        let once = || async {
            let mut sender = self.connect().await?;
            let request = self.request(Method::GET, path, Bytes::new())?;
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            self.whole(response).await
        };
        self.repeat(once).await
    }

    /// One call over the kept connection: the bytes of an answer that is no problem.
    pub(super) async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let answer = async {
            let request = self.request(method, path, body)?;
            let kept = self.kept().take();
            let (response, sender) = self.send_kept(kept, request).await?;
            let answer = self.whole(response).await;
            if matches!(answer, Ok(_) | Err(ClientError::Problem(_))) {
                *self.kept() = Some(Kept { sender, used: Instant::now() });
            }
            answer
        };
        tokio::time::timeout(ANSWER_TIME_MAX, answer)
            .await
            .unwrap_or(Err(ClientError::Timeout { seconds: ANSWER_TIME_MAX.as_secs() }))
    }

    /// A call over a connection of its own whose answer is read piece by piece.
    pub(super) async fn open(&self, path: &str) -> Result<Opened, ClientError> {
        self.repeat(|| self.open_once(path)).await
    }

    /// The same, without bringing a node back.
    pub(super) async fn open_once(&self, path: &str) -> Result<Opened, ClientError> {
        let mut sender = self.connect().await?;
        let request = self.request(Method::GET, path, Bytes::new())?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        if response.status().is_success() {
            return Ok((response, sender));
        }
        match self.whole(response).await {
            Err(error) => Err(error),
            Ok(_) => Err(ClientError::protocol("a failed call without a problem")),
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Body>, ClientError> {
        check_names(path)?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.endpoint.authority());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some((name, token)) = &self.token {
            request = request.header(name, token);
        }
        request.body(Full::new(body)).map_err(ClientError::protocol)
    }

    /// Sends over the kept connection. Where the node closed that one meanwhile, and the request did
    /// not leave, over a new one; a request that may have arrived is never sent twice.
    async fn send_kept(
        &self,
        kept: Option<Kept>,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, SendRequest<Body>), ClientError> {
        let is_fit = |kept: &Kept| !kept.sender.is_closed() && kept.used.elapsed() < UNUSED_MAX;
        if let Some(Kept { mut sender, .. }) = kept.filter(is_fit)
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(error.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok((response, sender))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, ClientError> {
        let stream = self.endpoint.connect().await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told; without one nobody cares.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let unread = |error: Box<dyn Error + Send + Sync>| match error.is::<LengthLimitError>() {
            true => ClientError::TooLarge { mib: ANSWER_BYTES_MAX >> 20 },
            false => self.io(io::Error::other(error)),
        };
        let bytes = body.collect().await.map_err(unread)?.to_bytes();
        if (200..300).contains(&status) { Ok(bytes) } else { Err(problem_of(status, &bytes).into()) }
    }

    pub(super) fn broken(&self, error: hyper::Error) -> ClientError {
        self.io(io::Error::other(error))
    }

    pub(super) fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io { at: self.endpoint.name(), source }
    }
}

/// A value that nobody shows; none: no header can carry it.
fn secret(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

/// The problem in the body of a failed call; where there is none that can be read, one made of the status.
pub(super) fn problem_of(status: u16, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let kind = match status {
            400 => ProblemKind::BadInput,
            401 => ProblemKind::Unauthenticated,
            403 => ProblemKind::Denied,
            404 => ProblemKind::NotFound,
            409 => ProblemKind::Conflict,
            503 => ProblemKind::Unavailable,
            _ => ProblemKind::Internal,
        };
        Problem::new(kind, format!("the node answered with HTTP status {status}"))
    })
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(ClientError::protocol)
}

/// Refuses names that no path can have: they would name another operation, or none.
pub(super) fn check_names(path: &str) -> Result<(), ClientError> {
    let names = path.split_once('?').map_or(path, |(names, _)| names);
    let bad =
        |detail: String| Err(ClientError::Problem(Box::new(Problem::new(ProblemKind::BadInput, detail))));
    if names.contains("//") || (names.ends_with('/') && names != "/") {
        return bad("a name is empty: give the id or the name of a run, task, session or item".to_owned());
    }
    if names.len() > NAMES_BYTES_MAX {
        return bad(format!("a name is too long: the request would have a path of {} bytes", names.len()));
    }
    Ok(())
}

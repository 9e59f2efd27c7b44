//! The API over TCP, always with TLS: the listener, the limits of connections, and the checks of a request before it
//! reaches the routes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::errors::Failure;
use super::gate::{self, Checked};
use super::limits::{Count, Place};
use super::node_api::NodeApi;
use super::serve::UnderWay;
use super::token_guard::{NewestToken, TokenGuard, token_ended};
use super::unauthenticated::{Pending, Stage, Unauthenticated};
use super::{cors, serve, unread};
use cis_core::api::web::Callers;
use cis_core::api::{Problem, ProblemKind};
use cis_core::ids::TokenId;

/// Maximum number of connections that have shown a valid token, streams included: with all tokens, and with one.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_OF_TOKEN_MAX: usize = 64;
/// Maximum time of the TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Maximum time until the head of a request has arrived. A connection without a request is closed after it.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Maximum time from the TLS handshake until a connection has shown a valid token.
const AUTHENTICATION_TIME_MAX: Duration = Duration::from_secs(20);
/// Pause after a failed `accept` (no descriptors, no memory).
const ACCEPT_RETRY: Duration = Duration::from_millis(200);
/// Idle time before the first keep-alive probe of a connection, and the number of unanswered probes that end it (tcp(7)).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_PROBES: u32 = 4;
/// First byte of every TLS connection: the record type of a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Answer to a client that speaks HTTP without TLS.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
content-length: 45\r\n\r\nThis port speaks TLS only: use an https URL.\n";

/// A listener of the API over TCP.
pub struct TcpEndpoint {
    /// The port.
    pub listener: TcpListener,
    /// Certificate and key of the node.
    pub tls: Arc<ServerConfig>,
    /// Accepted names of the node, and accepted origins of pages.
    pub callers: Callers,
}

/// Returns the configuration of TLS 1.2 and 1.3 with this certificate.
///
/// # Errors
/// Certificate or key is invalid, or they do not match.
pub fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves the API over TCP until the future is dropped. Open connections end with the runtime. Requests are counted in `under_way`.
pub async fn serve_tcp<N: NodeApi>(endpoint: TcpEndpoint, node: Arc<N>, under_way: UnderWay) {
    let shared = Arc::new(Shared {
        tls: TlsAcceptor::from(endpoint.tls),
        callers: endpoint.callers,
        routes: serve::router(Arc::clone(&node), under_way),
        node,
        open: Count::default(),
        unauthenticated: Unauthenticated::default(),
    });
    accept_all(&endpoint.listener, &shared).await;
}

/// What all connections share.
struct Shared<N> {
    tls: TlsAcceptor,
    callers: Callers,
    routes: Router,
    node: Arc<N>,
    open: Count<Limit>,
    unauthenticated: Unauthenticated,
}

/// Keys of the limits of connections that have shown a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Limit {
    All,
    /// Connections whose newest token is this one.
    Token(TokenId),
}

/// The limits that a connection counts against. Connections without a token have limits of their own, so they never
/// take the places of others.
enum Admission {
    Unauthenticated { pending: Pending },
    Authenticated { token: TokenId, place: Place<Limit> },
}

/// The admission of one connection.
struct Admitted {
    open: Count<Limit>,
    now: Mutex<Admission>,
    /// Notified when it has to make room for another connection without a token.
    closed: Arc<Notify>,
}

impl Admitted {
    /// Admits a connection without a token.
    fn unauthenticated(open: &Count<Limit>, pending: Pending) -> Arc<Self> {
        let closed = pending.closed();
        let now = Mutex::new(Admission::Unauthenticated { pending });
        Arc::new(Self { open: open.clone(), now, closed })
    }

    /// Counts the connection as one with this token, also if it has shown another one before: a proxy sends requests of several
    /// clients over one connection. Returns `false` if a limit is reached.
    fn authenticate(&self, token: TokenId) -> bool {
        let limits = [(Limit::All, CONNECTIONS_MAX), (Limit::Token(token), CONNECTIONS_OF_TOKEN_MAX)];
        let mut now = self.lock();
        match &mut *now {
            Admission::Authenticated { token: counted, .. } if *counted == token => true,
            Admission::Authenticated { token: counted, place } => {
                let is_changed = place.change(&limits);
                if is_changed {
                    *counted = token;
                }
                is_changed
            }
            Admission::Unauthenticated { pending } => {
                let Some(place) = self.open.take(&limits).filter(|_| pending.leave()) else { return false };
                *now = Admission::Authenticated { token, place };
                true
            }
        }
    }

    /// Notes how far a connection without a token has come.
    fn reached(&self, stage: Stage) {
        if let Admission::Unauthenticated { pending } = &*self.lock() {
            pending.reached(stage);
        }
    }

    /// Completes if the connection has not shown a token in time.
    async fn authentication_timeout(&self) {
        tokio::time::sleep(AUTHENTICATION_TIME_MAX).await;
        if matches!(*self.lock(), Admission::Authenticated { .. }) {
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept_all<N: NodeApi>(listener: &TcpListener, shared: &Arc<Shared<N>>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            // No event tells when the cause is gone: it is one connection, or the machine.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection over TCP");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let admitted = Admitted::unauthenticated(&shared.open, shared.unauthenticated.add(from.ip()));
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let closed = Arc::clone(&admitted.closed);
            tokio::select! {
                () = serve_connection(stream, from, shared, admitted) => {}
                () = closed.notified() => tracing::debug!(%from, "a connection without a token made room for another"),
            }
        });
    }
}

async fn serve_connection<N: NodeApi>(
    stream: TcpStream,
    from: SocketAddr,
    shared: Arc<Shared<N>>,
    admitted: Arc<Admitted>,
) {
    let Ok(local) = stream.local_addr().map(|address| address.ip()) else { return };
    set_options(&stream);
    let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, async {
        let is_tls = is_tls(&stream).await?;
        admitted.reached(Stage::Handshake);
        if !is_tls {
            return answer_without_tls(stream).await.map(|()| None);
        }
        shared.tls.accept(stream).await.map(Some)
    });
    let stream = match handshake.await {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%from, "TLS handshake timed out"),
    };
    admitted.reached(Stage::Encrypted);
    let newest = Arc::new(NewestToken::new(None));
    let (node, shown) = (Arc::clone(&shared.node), Arc::clone(&newest));
    let (counted, waiting) = (Arc::clone(&admitted), Arc::clone(&admitted));
    let stream = TokenGuard::new(stream, async move {
        token_ended(node, shown).await;
        // The stream holds this until it ends, also as a WebSocket.
        drop(counted);
    });
    let service = ConnectionService { shared, local, newest, admitted };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%from, %error, "a connection over TCP failed");
        },
        () = waiting.authentication_timeout() => tracing::debug!(%from, "a client showed no token in time"),
    }
}

/// Sends small frames at once, and notices a peer that is gone. Both only improve the connection, so errors are ignored.
fn set_options(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, KEEPALIVE_IDLE / KEEPALIVE_PROBES))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES));
}

/// Whether the first byte begins a TLS connection. A connection that ends before it counts as TLS.
async fn is_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || first[0] == TLS_HANDSHAKE)
}

async fn answer_without_tls(mut stream: TcpStream) -> io::Result<()> {
    // Unread bytes would reset the connection before the client reads the answer (tcp(7)).
    let _ = stream.read(&mut [0; 4096]).await?;
    stream.write_all(NO_TLS).await?;
    stream.shutdown().await
}

fn too_many_connections() -> Response {
    let detail = format!(
        "too many connections over TCP are open: at most {CONNECTIONS_OF_TOKEN_MAX} with one token, {CONNECTIONS_MAX} in all"
    );
    Failure(Problem::new(ProblemKind::Unavailable, detail).hint("try again when some of them have ended"))
        .into_response()
}

/// Lets the page that sent the request read the answer (CORS).
fn with_cors(mut answer: Response, page: Option<HeaderValue>) -> Response {
    if let Some(origin) = page {
        cors::allow(&mut answer, origin);
    }
    answer
}

/// Serves the requests of one connection.
struct ConnectionService<N> {
    shared: Arc<Shared<N>>,
    local: IpAddr,
    newest: Arc<NewestToken>,
    admitted: Arc<Admitted>,
}

impl<N: NodeApi> Service<Request<Incoming>> for ConnectionService<N> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let Shared { node, callers, routes, .. } = &*self.shared;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let Checked { page, outcome } =
            gate::check(&**node, callers, self.local, &method, &uri, request.headers());
        let admitted = outcome.and_then(|bearer| match self.admitted.authenticate(bearer.token) {
            true => Ok(bearer),
            false => Err(too_many_connections()),
        });
        match admitted {
            Ok(bearer) => {
                self.newest.send_replace(Some(bearer.token));
                gate::hide_token(request.headers_mut());
                request.extensions_mut().insert(bearer.principal);
                let answer = TowerToHyperService::new(routes.clone()).call(request);
                Box::pin(async move { answer.await.map(|answer| with_cors(answer, page)) })
            }
            Err(mut refusal) => Box::pin(async move {
                // A refused connection makes room for others.
                unread::throw_away(request.map(Body::new), &mut refusal);
                Ok(with_cors(refusal, page))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Door {
        open: Count<Limit>,
        unauthenticated: Unauthenticated,
    }

    impl Door {
        /// A connection that shows a token.
        fn admit(&self, n: u128) -> Option<Arc<Admitted>> {
            let from = IpAddr::from([192, 0, 2, 1]);
            let admitted = Admitted::unauthenticated(&self.open, self.unauthenticated.add(from));
            admitted.authenticate(token(n)).then_some(admitted)
        }
    }

    fn token(n: u128) -> TokenId {
        TokenId::from_parts(1, n)
    }

    #[test]
    fn a_token_leaves_connections_to_others() {
        let door = Door::default();
        let admit = |n: u128| door.admit(n);
        let one: Vec<_> = std::iter::from_fn(|| admit(1)).collect();
        assert_eq!(one.len(), CONNECTIONS_OF_TOKEN_MAX);
        assert!(one.iter().all(|one| one.authenticate(token(1))), "a connection is counted once");
        let others: Vec<_> = (2..=9).flat_map(|n| std::iter::from_fn(move || admit(n))).collect();
        assert_eq!(one.len() + others.len(), CONNECTIONS_MAX);
        drop(others);
        assert!(admit(2).is_some());
    }

    #[test]
    fn a_connection_that_shows_another_token_gives_its_place_back_to_the_first_one() {
        let door = Door::default();
        let admit = |n: u128| door.admit(n);
        let one: Vec<_> = std::iter::from_fn(|| admit(1)).collect();
        let other = admit(2).unwrap();
        assert!(!other.authenticate(token(1)), "the token is at its limit");
        assert!(other.authenticate(token(2)), "the connection keeps its place");
        assert!(one[0].authenticate(token(2)));
        assert!(other.authenticate(token(1)), "there is room again");
        assert!(admit(1).is_none());
        drop((one, other));
        let all = std::iter::from_fn(|| admit(1)).collect::<Vec<_>>();
        assert_eq!(all.len(), CONNECTIONS_OF_TOKEN_MAX, "each place was given back once");
    }
}

//! The API over TCP, always with TLS: the listener, what a connection may cost, and the way of a request through the
//! gate to the routes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::errors::Failure;
use super::gate::{self, Passage};
use super::leash::{Leash, Newest, void};
use super::node_api::NodeApi;
use super::places::{Count, Place};
use super::{cors, routes, unread};
use crate::api::web::Callers;
use crate::api::{Problem, ProblemKind};
use crate::ids::TokenId;

/// Maximum number of connections that have shown a valid token, streams included: with all tokens, and with one.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_OF_TOKEN_MAX: usize = 64;
/// Maximum number of further connections that have not shown a token yet, from all addresses and from one.
/// Others are closed at once.
const STRANGERS_MAX: usize = 128;
const STRANGERS_OF_ADDRESS_MAX: usize = 32;
/// A client has shaken hands within this time.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// A request's head is here within this time; a connection without a request is closed after it.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Maximum time from the TLS handshake until a connection has shown a valid token.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(20);
/// Where no connection can be taken (no descriptors, no memory), the next one is tried after so long.
const TAKE_AGAIN: Duration = Duration::from_millis(200);
/// A silent connection is asked for its other end after so long, and given up after so many questions without answer.
const SILENT: Duration = Duration::from_secs(60);
const QUESTIONS: u32 = 4;
/// First byte of everything that begins a TLS connection: a record of a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// For a client that speaks to us without TLS.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
content-length: 45\r\n\r\nThis port speaks TLS only: use an https URL.\n";

/// Where strangers knock.
pub struct Door {
    /// The port.
    pub listener: TcpListener,
    /// How the node shows who it is.
    pub tls: Arc<ServerConfig>,
    /// By which names it may be called, and by whose pages.
    pub callers: Callers,
}

/// How a node with this certificate speaks TLS 1.2 and 1.3.
///
/// # Errors
/// They cannot be used, or do not belong together.
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

/// Serves the API over TCP until it is dropped. What connections carry then ends with the runtime.
pub async fn serve_tcp<N: NodeApi>(door: Door, node: Arc<N>) {
    let hall = Arc::new(Hall {
        tls: TlsAcceptor::from(door.tls),
        callers: door.callers,
        routes: routes::router(Arc::clone(&node)),
        node,
        open: Count::default(),
    });
    take(&door.listener, &hall).await;
}

/// What every connection needs.
struct Hall<N> {
    tls: TlsAcceptor,
    callers: Callers,
    routes: Router,
    node: Arc<N>,
    open: Count<Limit>,
}

/// What limits connections over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Limit {
    /// Connections that have shown a token.
    Known,
    /// Connections that have shown this token first.
    Token(TokenId),
    /// Connections that have not shown a token.
    Strangers,
    /// Connections without a token from one address, or from one IPv6 network of 64 bits, which is what one
    /// customer has.
    Of(IpAddr),
}

/// The limit that a connection counts against: that of strangers until it has shown a token, so strangers never take
/// the places of others.
struct Standing {
    open: Count<Limit>,
    place: Mutex<(Place<Limit>, bool)>,
}

impl Standing {
    /// Counts a connection without a token. `None`: there is no room.
    fn stranger(open: &Count<Limit>, from: IpAddr) -> Option<Arc<Self>> {
        let limits =
            [(Limit::Strangers, STRANGERS_MAX), (Limit::Of(network(from)), STRANGERS_OF_ADDRESS_MAX)];
        let place = open.take(&limits)?;
        Some(Arc::new(Self { open: open.clone(), place: Mutex::new((place, false)) }))
    }

    /// Counts the connection as one with this token. False: there is no room for it.
    fn is_let_in(&self, token: TokenId) -> bool {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.1 {
            let limits = [(Limit::Known, CONNECTIONS_MAX), (Limit::Token(token), CONNECTIONS_OF_TOKEN_MAX)];
            let Some(known) = self.open.take(&limits) else { return false };
            *place = (known, true);
        }
        true
    }

    /// Completes when the connection has not shown a token in time; never after it has shown one.
    async fn outstayed(&self) {
        tokio::time::sleep(STRANGER_TIME_MAX).await;
        if self.place.lock().unwrap_or_else(PoisonError::into_inner).1 {
            std::future::pending::<()>().await;
        }
    }
}

/// Returns the address that stands for all addresses of one peer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

async fn take<N: NodeApi>(listener: &TcpListener, hall: &Arc<Hall<N>>) {
    let mut is_full = false;
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(taken) => taken,
            // Of one connection, or of the machine: nothing tells when that is over.
            Err(error) => {
                tracing::warn!(%error, "a connection over TCP cannot be taken");
                tokio::time::sleep(TAKE_AGAIN).await;
                continue;
            }
        };
        match Standing::stranger(&hall.open, from.ip()) {
            Some(standing) => {
                is_full = false;
                tokio::spawn(attend(stream, from, Arc::clone(hall), standing));
            }
            None if !is_full => {
                is_full = true;
                tracing::warn!(%from, "too many connections over TCP without a token: closing further ones");
            }
            None => {}
        }
    }
}

/// One connection to its end.
async fn attend<N: NodeApi>(
    stream: TcpStream,
    from: SocketAddr,
    hall: Arc<Hall<N>>,
    standing: Arc<Standing>,
) {
    let Ok(local) = stream.local_addr().map(|address| address.ip()) else { return };
    prepare(&stream);
    let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, async {
        if is_plain(&stream).await? {
            return tell_plain(stream).await.map(|()| None);
        }
        hall.tls.accept(stream).await.map(Some)
    });
    let stream = match shaken.await {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "no TLS connection came about"),
        Err(_) => return tracing::debug!(%from, "a client did not shake hands in time"),
    };
    let newest = Arc::new(Newest::new(None));
    let (node, shown) = (Arc::clone(&hall.node), Arc::clone(&newest));
    let (held, waited) = (Arc::clone(&standing), Arc::clone(&standing));
    let leash = Leash::new(stream, async move {
        void(node, shown).await;
        // Its stream holds this until it ends, also as a WebSocket.
        drop(held);
    });
    let visit = Visit { hall, local, newest, standing };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(leash), visit)
        .with_upgrades();
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%from, %error, "a connection over TCP broke");
        },
        () = waited.outstayed() => tracing::debug!(%from, "a client showed no token in time"),
    }
}

/// Small frames leave at once, and an end that is gone is noticed. Where the system does not do that, it is slower.
fn prepare(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENT))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, SILENT / QUESTIONS))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, QUESTIONS));
}

/// Whether what comes is no TLS.
async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE)
}

/// Says so to a client that speaks HTTP; another one reads it in a trace at least.
async fn tell_plain(mut stream: TcpStream) -> io::Result<()> {
    // What is not read would reset the connection before the answer is seen (tcp(7)).
    let _ = stream.read(&mut [0; 4096]).await?;
    stream.write_all(NO_TLS).await?;
    stream.shutdown().await
}

fn crowded() -> Response {
    let detail = format!(
        "too many connections over TCP are open: at most {CONNECTIONS_OF_TOKEN_MAX} with one token, {CONNECTIONS_MAX} in all"
    );
    Failure(Problem::new(ProblemKind::Unavailable, detail).hint("try again when some of them have ended"))
        .into_response()
}

/// Lets the page that sent the request read the answer.
fn readable(mut answer: Response, page: Option<HeaderValue>) -> Response {
    if let Some(origin) = page {
        cors::allow(&mut answer, origin);
    }
    answer
}

/// What a connection does with its requests.
struct Visit<N> {
    hall: Arc<Hall<N>>,
    local: IpAddr,
    newest: Arc<Newest>,
    standing: Arc<Standing>,
}

impl<N: NodeApi> Service<Request<Incoming>> for Visit<N> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let hall = &self.hall;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let passage = gate::pass(&*hall.node, &hall.callers, self.local, &method, &uri, request.headers());
        let Passage { page, outcome } = passage;
        let passed = outcome.and_then(|bearer| match self.standing.is_let_in(bearer.token) {
            true => Ok(bearer),
            false => Err(crowded()),
        });
        match passed {
            Ok(bearer) => {
                self.newest.send_replace(Some(bearer.token));
                gate::hide_token(request.headers_mut());
                request.extensions_mut().insert(bearer.principal);
                let answer = TowerToHyperService::new(hall.routes.clone()).call(request);
                Box::pin(async move { answer.await.map(|answer| readable(answer, page)) })
            }
            Err(mut refusal) => Box::pin(async move {
                unread::throw_away(request.map(Body::new)).await;
                // Who is refused makes room for others.
                refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                Ok(readable(refusal, page))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_without_a_token_leave_places_for_known_ones() {
        let open = Count::default();
        let v4 = |n: u8| IpAddr::from([192, 0, 2, n]);
        let one: Vec<_> =
            (0..STRANGERS_OF_ADDRESS_MAX).map(|_| Standing::stranger(&open, v4(1)).unwrap()).collect();
        assert!(Standing::stranger(&open, v4(1)).is_none(), "one address");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(Standing::stranger(&open, mapped).is_none(), "the same by IPv6");
        let token = |n: u128| TokenId::from_parts(1, n);
        let known: Vec<_> = one.into_iter().filter(|standing| standing.is_let_in(token(1))).collect();
        assert!(known.iter().all(|standing| standing.is_let_in(token(1))), "it is counted once");
        let others: Vec<_> = (2..=255).map_while(|n| Standing::stranger(&open, v4(n))).collect();
        assert_eq!((known.len(), others.len()), (STRANGERS_OF_ADDRESS_MAX, STRANGERS_MAX));
        drop(others);
        let let_in = |n: u128| {
            let (open, v4, token) = (&open, &v4, &token);
            move |of: u8| Standing::stranger(open, v4(of)).filter(|standing| standing.is_let_in(token(n)))
        };
        let more: Vec<_> = (0..=255).map_while(let_in(1)).collect();
        assert_eq!(more.len() + known.len(), CONNECTIONS_OF_TOKEN_MAX, "one token");
        let others: Vec<_> = (2..=9).flat_map(|n| (0..=255).map_while(let_in(n))).collect();
        assert_eq!(others.len() + more.len() + known.len(), CONNECTIONS_MAX);
        let net = |text: &str| network(text.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:2"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
    }
}

//! The API over TCP, always with TLS: the listener, what a connection may cost, and the way of a request through the
//! gate to the routes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::leash::{Leash, Newest, void};
use super::node_api::NodeApi;
use super::{gate, routes, unread};
use crate::api::web::Callers;

/// So many connections at a time, those of streams among them; others are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// A client has shaken hands within this time.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// A request's head is here within this time; a connection without a request is closed after it.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
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
    });
    take(&door.listener, &hall).await;
}

/// What every connection needs.
struct Hall<N> {
    tls: TlsAcceptor,
    callers: Callers,
    routes: Router,
    node: Arc<N>,
}

async fn take<N: NodeApi>(listener: &TcpListener, hall: &Arc<Hall<N>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                is_full = false;
                tokio::spawn(attend(stream, from, Arc::clone(hall), place));
            }
            Err(_) if !is_full => {
                is_full = true;
                tracing::warn!(%from, most = CONNECTIONS_MAX, "too many connections over TCP: others are closed");
            }
            Err(_) => {}
        }
    }
}

/// One connection to its end.
async fn attend<N: NodeApi>(
    stream: TcpStream,
    from: SocketAddr,
    hall: Arc<Hall<N>>,
    place: OwnedSemaphorePermit,
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
    let leash = Leash::new(stream, async move {
        void(node, shown).await;
        // Its stream holds this until it ends, also as a WebSocket.
        drop(place);
    });
    let visit = Visit { hall, local, newest };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(leash), visit)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%from, %error, "a connection over TCP broke");
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

/// What a connection does with its requests.
struct Visit<N> {
    hall: Arc<Hall<N>>,
    local: IpAddr,
    newest: Arc<Newest>,
}

impl<N: NodeApi> Service<Request<Incoming>> for Visit<N> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let hall = &self.hall;
        match gate::pass(&*hall.node, &hall.callers, self.local, request.uri(), request.headers()) {
            Ok(bearer) => {
                self.newest.send_replace(Some(bearer.token));
                // No handler needs to see the token, nor can one tell it to anybody.
                request.headers_mut().remove(AUTHORIZATION);
                request.extensions_mut().insert(bearer.principal);
                Box::pin(TowerToHyperService::new(hall.routes.clone()).call(request))
            }
            Err(mut refusal) => Box::pin(async move {
                unread::throw_away(request.map(Body::new)).await;
                // Who is refused makes room for others.
                refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                Ok(refusal)
            }),
        }
    }
}

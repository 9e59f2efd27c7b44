//! Where a node is, and the bytes to it and back: its Unix socket, or TCP with TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use super::ClientError;
use super::trust::{self, ServerTrust, Unknown};
use cis_local::{ConnectError, Place};

/// The port where a URL names none: that of https.
const PORT: u16 = 443;
/// A connection is there within this time.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// A running node binds its socket again within this time after the socket's file was removed.
const REBIND_TIME_MAX: Duration = Duration::from_secs(4);
const REBIND_PAUSE: Duration = Duration::from_millis(20);
/// A silent connection is asked for its other end after so long, and given up after so many questions without answer.
const SILENT: Duration = Duration::from_secs(30);
const QUESTIONS: u32 = 4;

/// Where a node is.
#[derive(Clone)]
pub(super) enum Endpoint {
    /// At its socket.
    Unix(Place),
    /// Over TCP.
    Tls(Arc<Remote>),
}

/// A node over TCP.
pub(super) struct Remote {
    /// `https://HOST:PORT`.
    url: String,
    /// `HOST:PORT`, as it stands in requests.
    authority: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// The node at `https://HOST[:PORT]`.
    pub(super) fn remote(url: &str, trust: ServerTrust) -> Result<Self, ClientError> {
        let wrong = |why: &str| ClientError::Url { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("it does not begin with https://, and nothing else is spoken"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("it has a path"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?.as_str().to_owned();
        if authority.contains('@') {
            return Err(wrong("it has a user; tokens are given by a file"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong("its host is no name or address"))?;
        let port = uri.port_u16().unwrap_or(PORT);
        let tls = trust::config(trust)?;
        let url = format!("https://{authority}");
        Ok(Self::Tls(Arc::new(Remote { url, authority, host, port, name, tls })))
    }

    /// As it is told to people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Unix(place) => place.socket().display().to_string(),
            Self::Tls(remote) => remote.url.clone(),
        }
    }

    /// What requests call it.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tls(remote) => &remote.authority,
        }
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<Wire, ClientError> {
        match self {
            Self::Unix(place) => connect_local(place).await.map(Wire::Unix),
            Self::Tls(remote) => tokio::time::timeout(CONNECT_TIME_MAX, remote.connect())
                .await
                .unwrap_or_else(|_| Err(remote.refused(io::ErrorKind::TimedOut.into()))),
        }
    }
}

/// Connects to a node of this machine. Waits a moment if the node runs but does not listen (it is starting, or its socket was removed), or
/// if it is busy.
async fn connect_local(place: &Place) -> Result<UnixStream, ClientError> {
    let give_up = Instant::now() + REBIND_TIME_MAX;
    loop {
        match place.connect_async().await {
            Err(error) if Instant::now() < give_up && is_passing(&error) => {
                tokio::time::sleep(REBIND_PAUSE).await;
            }
            connected => return connected.map_err(ClientError::from),
        }
    }
}

/// It starts, or more connections wait at its socket than the system lets (unix(7), EAGAIN).
fn is_passing(error: &ConnectError) -> bool {
    match error {
        ConnectError::NotListening { .. } => true,
        ConnectError::Io { source, .. } => source.kind() == io::ErrorKind::WouldBlock,
        _ => false,
    }
}

impl Remote {
    async fn connect(&self) -> Result<Wire, ClientError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|source| self.refused(source))?;
        // Where the system does not do that, it is slower.
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(&stream, true)
            .and_then(|()| sockopt::set_tcp_keepidle(&stream, SILENT))
            .and_then(|()| sockopt::set_tcp_keepintvl(&stream, SILENT / QUESTIONS))
            .and_then(|()| sockopt::set_tcp_keepcnt(&stream, QUESTIONS));
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        match connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Wire::Tls(Box::new(stream))),
            Err(source) => Err(self.not_tls(source)),
        }
    }

    fn refused(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), source }
    }

    fn not_tls(&self, source: io::Error) -> ClientError {
        let url = self.url.clone();
        match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::Other(other)) => match other.0.downcast_ref::<Unknown>() {
                Some(Unknown { shown, why }) => {
                    ClientError::Certificate { url, fingerprint: shown.to_string(), why: why.clone() }
                }
                None => ClientError::NoTls { url, why: source.to_string() },
            },
            Some(error) => ClientError::NoTls { url, why: error.to_string() },
            None => ClientError::Io { at: url, source },
        }
    }
}

/// A connection to a node.
#[derive(Debug)]
pub(super) enum Wire {
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Result<Endpoint, ClientError> {
        let pinned = ServerTrust::Pinned("00".repeat(32).parse().unwrap());
        Endpoint::remote(url, pinned)
    }

    #[test]
    fn urls_are_read() {
        for (url, name, authority) in [
            ("https://127.0.0.1:7443", "https://127.0.0.1:7443", "127.0.0.1:7443"),
            ("https://[::1]:7443/", "https://[::1]:7443", "[::1]:7443"),
            ("https://node.example.org", "https://node.example.org", "node.example.org"),
        ] {
            let endpoint = remote(url).unwrap();
            assert_eq!((endpoint.name().as_str(), endpoint.authority()), (name, authority));
        }
        for url in ["", "http://a", "a:7443", "https://", "https://a/v1", "https://a?x", "https://u:p@a"] {
            assert!(matches!(remote(url), Err(ClientError::Url { .. })), "{url}");
        }
    }
}

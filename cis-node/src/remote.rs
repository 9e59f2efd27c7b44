//! Listening over TCP, where that is configured: the port, the certificate, and what is said of them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::{ApiSettings, Certificate, CertificateError};
use crate::server::{TcpEndpoint, tls};
use cis_core::api::RemoteView;
use cis_core::api::web::Callers;
use cis_local::Home;

/// Why the API cannot be served over TCP.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It is one, and of no use.
    #[error("the certificate {path} cannot be used with its key: {why}")]
    Unusable {
        /// Where it is.
        path: String,
        /// What the TLS layer says.
        why: String,
    },
    /// The port.
    #[error("cannot listen at {address} over TCP ([api] listen): {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Listens; none where nothing is configured.
///
/// # Errors
/// [`RemoteError`]: a node that was told to listen and cannot does not start.
pub(super) async fn open(
    settings: &ApiSettings,
    home: &Home,
) -> Result<Option<(TcpEndpoint, RemoteView)>, RemoteError> {
    let Some(address) = settings.listen else { return Ok(None) };
    let Certificate { chain, key, fingerprint, path } =
        Certificate::of(settings, home).map_err(RemoteError::from)?;
    let tls = tls(chain, key).map_err(|error| RemoteError::Unusable {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    let listen = |source| RemoteError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let url = format!("https://{}", listener.local_addr().map_err(listen)?);
    tracing::info!(url, fingerprint, "the API is served over TCP");
    let callers = Callers::new(&settings.hosts, &settings.origins);
    Ok(Some((TcpEndpoint { listener, tls, callers }, RemoteView { url, fingerprint })))
}

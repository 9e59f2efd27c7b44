//! `[api]`: where the API is served over TCP, and by which names and pages it may be called.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `[api]`: the API over TCP, besides the Unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// Its certificate and those above it, PEM; none: the node makes one.
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    pub tls_key: Option<PathBuf>,
    /// Names by which it may be called, beside its address.
    pub hosts: Vec<String>,
    /// Web pages that may call it.
    pub origins: Vec<String>,
}

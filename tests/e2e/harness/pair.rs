//! Two homeservers that federate: each answers the other over TLS, with certificates of an authority made for them.

#[path = "../../../cis-node/src/config/certificate/signer.rs"]
mod signer;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer};

use super::strait::Strait;
use super::synapse::Synapse;
use signer::{Signer, pem};

/// What both need; `certificates` is the folder of [`certify`]. Requests of one that the other does not answer are repeated
/// soon: with the defaults a test of an outage takes minutes.
fn federating(certificates: &Path, (port, inner): (u16, u16)) -> String {
    let at = |name: &str| certificates.join(name).display().to_string();
    format!(
        "server_name: 'localhost:{port}'\n\
         listeners:\n\
         - {{port: {{port}}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}\n\
         - {{port: {inner}, bind_addresses: [127.0.0.1], type: http, tls: true, resources: [{{names: [federation]}}]}}\n\
         tls_certificate_path: '{}'\ntls_private_key_path: '{}'\nfederation_custom_ca_list: ['{}']\n\
         ip_range_blacklist: []\n\
         federation: {{client_timeout: 10s, max_short_retries: 1, max_short_retry_delay: 1s, max_long_retries: 1000, \
         max_long_retry_delay: 1s, destination_min_retry_interval: 1s, destination_max_retry_interval: 5s}}\n",
        at("server.crt"),
        at("server.key"),
        at("authority.crt"),
    )
}

/// A port that the system gives to nobody by itself: the name of a server holds it, so it cannot be another one when the server starts.
fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Those of two tests that began together are apart.
    let first = u16::try_from(std::process::id() % 1000).unwrap() * 8;
    let ports = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 8000);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(100).find(is_free).expect("a port that is free")
}

/// Makes an authority, and a certificate for this machine.
fn certify(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    let key = Signer::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    key.name(&mut authority);
    // Under the same name as its certificate's it would be taken for that.
    authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("authority.crt", pem("CERTIFICATE", authority.self_signed(&key).unwrap().der()));
    let issuer = Issuer::new(authority, key);
    let key = Signer::generate().unwrap();
    let mut server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    key.name(&mut server);
    write("server.crt", pem("CERTIFICATE", server.signed_by(&key, &issuer).unwrap().der()));
    write("server.key", key.pem().unwrap());
}

/// Two that federate.
pub fn pair() -> [Synapse; 2] {
    made(|port| (port, None)).map(|(synapse, _)| synapse)
}

/// Two that federate, with what is before each of them.
pub fn pair_apart() -> [(Synapse, Strait); 2] {
    let made = made(|port| {
        let inner = quiet_port();
        (inner, Some(Strait::between(port, inner).unwrap()))
    });
    made.map(|(synapse, strait)| (synapse, strait.unwrap()))
}

/// `inner`: the port at which one listens for what comes to the port of its name.
fn made(inner: impl Fn(u16) -> (u16, Option<Strait>)) -> [(Synapse, Option<Strait>); 2] {
    let certificates = Arc::new(tempfile::Builder::new().prefix("cis-synapse-").tempdir().unwrap());
    certify(certificates.path());
    [0, 1].map(|_| {
        let port = quiet_port();
        let (inner, strait) = inner(port);
        let synapse = Synapse::own_with(&federating(certificates.path(), (port, inner)));
        (synapse.keeping(&certificates), strait)
    })
}

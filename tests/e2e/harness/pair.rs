//! Two homeservers that federate: each answers the other over TLS, with certificates of an authority made for them.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::synapse::Synapse;

/// What both need; `certificates` is the folder of [`certify`]. Requests of one that the other does not answer are repeated
/// soon: with the defaults a test of an outage takes minutes.
fn federating(certificates: &Path) -> String {
    // Where another process takes it before Synapse does, the test fails: names of servers hold their ports.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |name: &str| certificates.join(name).display().to_string();
    format!(
        "server_name: 'localhost:{port}'\n\
         listeners:\n\
         - {{port: {{port}}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}\n\
         - {{port: {port}, bind_addresses: [127.0.0.1], type: http, tls: true, resources: [{{names: [federation]}}]}}\n\
         tls_certificate_path: '{}'\ntls_private_key_path: '{}'\nfederation_custom_ca_list: ['{}']\n\
         ip_range_blacklist: []\n\
         federation: {{client_timeout: 10s, max_short_retries: 1, max_short_retry_delay: 1s, max_long_retries: 1000, \
         max_long_retry_delay: 1s, destination_min_retry_interval: 1s, destination_max_retry_interval: 5s}}\n",
        at("server.crt"),
        at("server.key"),
        at("authority.crt"),
    )
}

/// Makes an authority, and a certificate for this machine.
fn certify(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // Under the same name as its certificate's it would be taken for that.
    authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("authority.crt", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    write("server.crt", server.signed_by(&key, &issuer).unwrap().pem());
    write("server.key", key.serialize_pem());
}

/// Two that federate.
pub fn pair() -> [Synapse; 2] {
    let certificates = tempfile::Builder::new().prefix("cis-synapse-").tempdir().unwrap();
    certify(certificates.path());
    // Both read them when they start.
    [0, 1].map(|_| Synapse::own_with(&federating(certificates.path())))
}

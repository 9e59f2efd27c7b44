//! Which certificate of a node a client takes for its own: one that the machine's authorities vouch for, one that a
//! file names, or exactly the one with a fingerprint.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::ClientError;

/// SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits, in any case, also with colons as other programs write it.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits.trim(), &mut bytes).map_err(|_| {
            "a fingerprint is 64 hexadecimal digits; `cis node status` on the node's machine shows it"
                .to_owned()
        })?;
        Ok(Self(bytes))
    }
}

/// Which certificate a node must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// One for its name that an authority vouches for which this machine trusts (`SSL_CERT_FILE`, else the system's).
    System,
    /// One for its name that an authority of this PEM file vouches for; the node's own certificate may stand there.
    CaFile(PathBuf),
    /// Exactly this one, whatever name and time it is for.
    Pinned(Fingerprint),
}

/// How TLS is spoken to such a node.
pub(super) fn config(trust: ServerTrust) -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let rule = match trust {
        ServerTrust::Pinned(fingerprint) => Rule::Pinned(fingerprint),
        ServerTrust::System => Rule::Authorities(authorities(system()?, &provider)?),
        ServerTrust::CaFile(path) => Rule::Authorities(authorities(of_file(&path)?, &provider)?),
    };
    let verifier = Verifier { rule, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        // What is dangerous would be to check nothing: see below.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn unusable(why: &impl fmt::Display) -> ClientError {
    ClientError::Trust { detail: why.to_string() }
}

fn system() -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    match (found.certs.is_empty(), found.errors.first()) {
        (false, _) => Ok(found.certs),
        (true, Some(error)) => Err(unusable(error)),
        (true, None) => Err(unusable(&"this machine has no list of authorities")),
    }
}

fn of_file(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let wrong = |why: &dyn fmt::Display| unusable(&format!("{}: {why}", path.display()));
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if all.is_empty() => Err(wrong(&"it holds no certificate in PEM")),
        Ok(all) => Ok(all),
        Err(error) => Err(wrong(&error)),
    }
}

fn authorities(
    all: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, ClientError> {
    let mut roots = RootCertStore::empty();
    // Of a system's list some may be of a kind that is not understood: they vouch for nobody then.
    roots.add_parsable_certificates(all);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(&error))
}

/// Why a certificate was not taken, and which one it was: so that people can compare it.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) shown: Fingerprint,
    pub(super) why: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unknown {}

#[derive(Debug)]
enum Rule {
    Authorities(Arc<WebPkiServerVerifier>),
    Pinned(Fingerprint),
}

#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(end_entity);
        let why = match &self.rule {
            Rule::Authorities(known) => {
                match known.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(verified) => return Ok(verified),
                    Err(error) => error.to_string(),
                }
            }
            Rule::Pinned(pinned) if *pinned == shown => return Ok(ServerCertVerified::assertion()),
            Rule::Pinned(_) => "it is not the one with the fingerprint that was given".to_owned(),
        };
        Err(Error::Other(OtherError(Arc::new(Unknown { shown, why }))))
    }

    // That the node has the key of its certificate is checked in either case.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_programs_write_it() {
        let plain = "0123456789abcdef".repeat(4);
        let fingerprint: Fingerprint = plain.parse().unwrap();
        assert_eq!(fingerprint.to_string(), plain);
        let pairs: Vec<String> = plain
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|two| String::from_utf8_lossy(two).into())
            .collect();
        assert_eq!(pairs.join(":").parse(), Ok(fingerprint));
        for wrong in ["", "abc", &plain[1..], &plain.replace('0', "g")] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_said() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("ca.pem");
        std::fs::write(&path, "words").unwrap();
        let said = |path| config(ServerTrust::CaFile(path)).map(drop).unwrap_err().to_string();
        assert!(said(path).contains("ca.pem"));
        assert!(said(tmp.path().join("none.pem")).contains("none.pem"));
    }
}

//! The certificate by which the node is known over TCP: one that was configured, or its own, made once in the home
//! (`api-cert.pem`, `api-key.pem`, both 0600) and known by its fingerprint.

mod signer;

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::error::Unspecified;
use rcgen::{CertificateParams, DnType};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::keys;
use super::settings::ApiSettings;
use cis_local::{Home, read_regular};
use signer::{Signer, pem};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the two settings says nothing.
    #[error("`tls_cert` and `tls_key` of [api] belong together: set both, or neither")]
    Half,
    /// A file cannot be read.
    #[error("cannot read {} for TLS: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no certificate.
    #[error("{} holds no certificate in PEM: {why}", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is no key.
    #[error("{} holds no private key in PEM: {why}; one with a passphrase cannot be used", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The node's own could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
    /// The node's own could not be kept.
    #[error("cannot keep the certificate in {}: {source}", path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A certificate with its key.
pub struct Certificate {
    /// It, and those above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// SHA-256 of it, hexadecimal.
    pub fingerprint: String,
    /// Where it was read.
    pub path: PathBuf,
}

impl Certificate {
    /// The one that is configured; where none is, the node's own.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn of(settings: &ApiSettings, home: &Home) -> Result<Self, CertificateError> {
        match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Self::read(cert, key),
            (None, None) => Self::own(settings, home),
            _ => Err(CertificateError::Half),
        }
    }

    fn own(settings: &ApiSettings, home: &Home) -> Result<Self, CertificateError> {
        let (cert, key) = (home.own_certificate(), home.own_certificate_key());
        if !cert.exists() || !key.exists() {
            make(&cert, &key, settings)?;
        }
        Self::read(&cert, &key)
    }

    fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let none = |why: String| CertificateError::NoCertificate { path: cert.to_owned(), why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes_of(cert)?)
            .collect::<Result<_, _>>()
            .map_err(|error| none(error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| none("nothing of it begins as one does".to_owned()))?;
        let fingerprint = hex::encode(Sha256::digest(leaf));
        let key = PrivateKeyDer::from_pem_slice(&bytes_of(key)?)
            .map_err(|error| CertificateError::NoKey { path: key.to_owned(), why: error.to_string() })?;
        Ok(Self { chain, key, fingerprint, path: cert.to_owned() })
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read_regular(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

/// Makes one that no authority signed, for the names by which the node is called now. It has no end that matters:
/// whoever pins its fingerprint looks at nothing else.
fn make(cert: &Path, key: &Path, settings: &ApiSettings) -> Result<(), CertificateError> {
    let wrong = |error: rcgen::Error| CertificateError::Make(error.to_string());
    let no_key = |_: Unspecified| CertificateError::Make("no key can be made".to_owned());
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(settings.listen.map(|at| at.ip().to_canonical().to_string()));
    names.extend(settings.hosts.iter().cloned());
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names).map_err(wrong)?;
    params.distinguished_name.push(DnType::CommonName, "CIS node");
    let signer = Signer::generate().map_err(no_key)?;
    signer.name(&mut params);
    let made = params.self_signed(&signer).map_err(wrong)?;
    let text = signer.pem().map_err(no_key)?;
    // The key first: without its certificate it is made anew.
    for (path, text) in [(key, text), (cert, pem("CERTIFICATE", made.der()))] {
        keys::write_whole(path, text.as_bytes())
            .map_err(|source| CertificateError::Keep { path: path.to_owned(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_nodes_own_is_made_once_and_its_key_is_nobody_elses() {
        let tmp = tempfile::tempdir().unwrap();
        let home = Home { dir: tmp.path().to_owned(), runtime: tmp.path().join("run") };
        let settings = ApiSettings { hosts: vec!["node.example.org".to_owned()], ..ApiSettings::default() };
        let first = Certificate::of(&settings, &home).unwrap();
        assert_eq!(first.fingerprint.len(), 64);
        assert_eq!(Certificate::of(&settings, &home).unwrap().fingerprint, first.fingerprint);
        for path in [home.own_certificate(), home.own_certificate_key()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_file(home.own_certificate()).unwrap();
        assert_ne!(Certificate::of(&settings, &home).unwrap().fingerprint, first.fingerprint);
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_file() {
        let tmp = tempfile::tempdir().unwrap();
        let home = Home { dir: tmp.path().to_owned(), runtime: tmp.path().join("run") };
        let own = Certificate::of(&ApiSettings::default(), &home).unwrap().path;
        let none = tmp.path().join("none.pem");
        let empty = tmp.path().join("empty.pem");
        fs::write(&empty, "words").unwrap();
        let said = |cert: Option<&PathBuf>, key: Option<&PathBuf>| {
            let settings =
                ApiSettings { tls_cert: cert.cloned(), tls_key: key.cloned(), ..ApiSettings::default() };
            Certificate::of(&settings, &home).map(|_| ()).unwrap_err().to_string()
        };
        assert!(said(Some(&own), None).contains("belong together"));
        assert!(said(Some(&none), Some(&own)).contains("none.pem"));
        assert!(said(Some(&empty), Some(&own)).contains("holds no certificate"));
        assert!(said(Some(&own), Some(&empty)).contains("holds no private key"));
    }
}

//! The key of a certificate that is made here: ECDSA on P-256 of aws-lc-rs, which TLS uses as well.
//!
//! rcgen has one of its own; with the feature for it, Cargo.lock would hold a parser of certificates and its 11 crates, which
//! are never built. The end-to-end tests take this file for their authority.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyIdMethod, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey};
use sha2::{Digest as _, Sha256};

/// Bytes of a serial number (RFC 5280, 4.1.2.2) and of the name of a key.
const NAME_BYTES: usize = 20;
/// Characters in a line of PEM (RFC 7468, 2).
const LINE_CHARS: usize = 64;

pub(super) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self)
    }

    /// Gives the certificate of this key its serial number and the name of the key, both by the key.
    pub(super) fn name(&self, params: &mut CertificateParams) {
        let mut serial = Sha256::digest(self.der_bytes())[..NAME_BYTES].to_vec();
        // It is a positive number.
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from(serial));
        let name = Sha256::digest(self.subject_public_key_info())[..NAME_BYTES].to_vec();
        params.key_identifier_method = KeyIdMethod::PreSpecified(name);
    }

    /// The private key.
    pub(super) fn pem(&self) -> Result<String, Unspecified> {
        Ok(pem("PRIVATE KEY", self.0.to_pkcs8v1()?.as_ref()))
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| rcgen::Error::RemoteKeyError)?.as_ref().to_vec())
    }
}

/// As text (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for at in (0..text.len()).step_by(LINE_CHARS) {
        lines.push_str(&text[at..text.len().min(at + LINE_CHARS)]);
        lines.push('\n');
    }
    lines + format!("-----END {label}-----\n").as_str()
}

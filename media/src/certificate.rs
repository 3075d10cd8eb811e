//! The throw-away certificate of one call: self-signed ECDSA P-256, compared by fingerprint only.
//!
//! Nothing in it links two calls: the name is constant, the serial number follows from the fresh
//! key, and the validity is rounded to UTC midnights so that it tells no clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::digest;
use zeroize::Zeroizing;

/// The name browsers put into theirs: the certificate of a DTLS 1.2 handshake is readable on the wire.
const COMMON_NAME: &str = "WebRTC";
/// Accepts peers whose clock is up to a day behind.
const DAYS_BEFORE: u64 = 1;
/// Outlives the longest call by far.
const DAYS_AFTER: u64 = 30;
const SECONDS_PER_DAY: u64 = 86_400;

/// A certificate with its private key. One per call, never stored.
pub struct Certificate {
    der: Vec<u8>,
    private_key: Arc<Zeroizing<Vec<u8>>>,
    fingerprint: [u8; 32],
}

impl Certificate {
    /// Makes a new key and certificate; `today` is rounded down to its UTC midnight.
    ///
    /// # Errors
    /// When the cryptography library cannot make a key.
    pub fn generate(today: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Key)?;
        let certificate = parameters(today).self_signed(&key).map_err(CertificateError::Sign)?;
        let der = certificate.der().to_vec();
        let fingerprint = sha256(&der);
        Ok(Self { der, private_key: Arc::new(Zeroizing::new(key.serialize_der())), fingerprint })
    }

    /// SHA-256 of the certificate, as written into `a=fingerprint` (RFC 8122 §5).
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The certificate itself, X.509 in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A second handle; the key itself is not copied.
    pub(crate) fn share(&self) -> Self {
        Self { der: self.der.clone(), private_key: Arc::clone(&self.private_key), fingerprint: self.fingerprint }
    }

    /// The private key, PKCS #8 in DER.
    pub(crate) fn private_key_der(&self) -> &[u8] {
        &self.private_key
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No key pair came out of the generator.
    #[error("no key for the call could be made ({0}); restart the program")]
    Key(#[source] rcgen::Error),
    /// The certificate could not be signed.
    #[error("the certificate of the call could not be signed ({0}); restart the program")]
    Sign(#[source] rcgen::Error),
}

/// SHA-256 of any certificate in DER: its fingerprint.
pub(crate) fn sha256(der: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    out
}

fn parameters(today: SystemTime) -> CertificateParams {
    let since_epoch = today.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let midnight = since_epoch - since_epoch % SECONDS_PER_DAY;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, COMMON_NAME);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.not_before = epoch + Duration::from_secs(midnight.saturating_sub(DAYS_BEFORE * SECONDS_PER_DAY));
    parameters.not_after = epoch + Duration::from_secs(midnight + DAYS_AFTER * SECONDS_PER_DAY);
    parameters
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_certificates_of_one_day_differ_only_in_key_serial_number_and_signature() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * SECONDS_PER_DAY + 43_210);
        let evening = noon + Duration::from_secs(20_000);
        let (first, second) = (parameters(noon), parameters(evening));
        assert_eq!(first.not_before, second.not_before);
        assert_eq!(first.not_after, second.not_after);
        assert_eq!(first.not_before, rcgen::date_time_ymd(2024, 10, 3));
        assert_eq!(first.not_after, rcgen::date_time_ymd(2024, 11, 3));
        assert_eq!(first.distinguished_name, second.distinguished_name);
        let (first, second) = (Certificate::generate(noon).unwrap(), Certificate::generate(evening).unwrap());
        assert_ne!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint(), sha256(first.der()));
    }

    #[test]
    fn a_clock_before_1970_still_gives_a_certificate() {
        let past = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(Certificate::generate(past).is_ok());
    }
}

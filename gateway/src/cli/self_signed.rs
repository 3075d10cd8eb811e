//! Self-signed certificates for the gateway's keys.

use super::Failure;
use crate::tls::{self, TlsError};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData, date_time_ymd};
use std::path::Path;
use undertone_config::{Domain, Pin};

/// A certificate for a key, as PEM. Phones check the key by its pin, so the certificate has the end of RFC 5280
/// §4.1.2.5 ("no well-defined expiration date") and says nothing of when it was made.
pub(super) fn certificate(domain: &Domain, key: &KeyPair) -> Result<String, Failure> {
    let mut params = CertificateParams::new(vec![domain.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, domain.as_str());
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    Ok(params.self_signed(key)?.pem())
}

/// Reads a key file.
pub(super) fn read_key(file: &Path) -> Result<KeyPair, Failure> {
    let der = tls::read_key(file)?;
    let unusable = |_| TlsError::NoKey { file: file.to_owned() };
    Ok(KeyPair::try_from(&der).map_err(unusable)?)
}

/// The pin of a key.
pub(super) fn pin_of(key: &KeyPair) -> Pin {
    tls::pin_of_key(&key.subject_public_key_info())
}

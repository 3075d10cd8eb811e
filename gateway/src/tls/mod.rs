//! The gateway's TLS identity: certificate, key, pin, and the terms on which it talks (TLS 1.3 only).
//!
//! Key exchange prefers X25519MLKEM768, so that who calls whom cannot be recorded now and decrypted later. No session
//! tickets, resumption or early data: a ticket would link two connections of a phone, and a resumed one would not
//! prove the device's key again. Phones are asked for a [`device certificate`](device_certificate) and may have none.

mod device_certificate;

pub use device_certificate::device_of;

use device_certificate::DeviceVerifier;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use undertone_config::Pin;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The application protocol's name (RFC 7301; IANA registered "sip/2").
pub const ALPN: &[u8] = b"sip/2";

/// Certificate and key, checked.
pub struct TlsIdentity {
    /// For the listeners.
    pub config: Arc<ServerConfig>,
    /// What phones compare.
    pub pin: Pin,
}

/// Why certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}; check the path in gateway.toml, its owner and permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The parser's or the operating system's words.
        reason: String,
    },
    /// The certificate file holds none.
    #[error("{} holds no certificate; it must be a PEM file with the certificate and its chain", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// The key file holds none.
    #[error("{} holds no private key; it must be a PEM file", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Everybody on this machine could read the key.
    #[error("everybody on this machine can read the private key {0}; run `chmod 600 {0}`", file.display())]
    OpenKey {
        /// The file.
        file: PathBuf,
    },
    /// The certificate makes no sense.
    #[error("the certificate in {} cannot be understood; replace it", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate in {} expired on {day}; renew it, then start again", file.display())]
    Expired {
        /// The file.
        file: PathBuf,
        /// The last day.
        day: String,
    },
    /// Its time has not come.
    #[error("the certificate in {} is valid only from {day} on; check this machine's clock", file.display())]
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// The first day.
        day: String,
    },
    /// Another certificate's key, or a kind of key that is not supported.
    #[error("the private key {} does not belong to the certificate {} or is of a kind that is not supported; use the pair that was issued together", key.display(), certificate.display())]
    Mismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
}

impl TlsIdentity {
    /// Reads both files and checks that they belong together and are valid at `now`.
    pub fn load(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, TlsError> {
        let chain = read_chain(certificate)?;
        let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate { file: certificate.to_owned() })?;
        check_validity(certificate, leaf, now)?;
        let pin = pin_of(certificate, leaf)?;
        let secret = read_key(key)?;
        let mismatch = || TlsError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = CertifiedKey::from_der(chain, secret, &provider).map_err(|_| mismatch())?;
        pair.keys_match().map_err(|_| mismatch())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| mismatch())?
            .with_client_cert_verifier(Arc::new(DeviceVerifier::default()))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), pin })
    }
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsIdentity")
    }
}

/// The pin of the first certificate in a PEM file.
pub fn read_pin(certificate: &Path) -> Result<Pin, TlsError> {
    let chain = read_chain(certificate)?;
    let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate { file: certificate.to_owned() })?;
    pin_of(certificate, leaf)
}

/// The pin of a key, given as SubjectPublicKeyInfo in DER.
pub fn pin_of_key(spki: &[u8]) -> Pin {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, spki).as_ref());
    Pin::from_sha256(hash)
}

/// Whether the first certificate in a PEM file names itself as its issuer.
pub fn is_self_signed(certificate: &Path) -> Result<bool, TlsError> {
    let chain = read_chain(certificate)?;
    let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate { file: certificate.to_owned() })?;
    let parsed = parse(certificate, leaf)?;
    Ok(parsed.issuer() == parsed.subject())
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error: pem::Error| TlsError::Unreadable { file: file.to_owned(), reason: error.to_string() };
    CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

/// The private key in a PEM file that only its owner can read.
pub fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(file).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            TlsError::NoKey { file: file.to_owned() }
        } else {
            TlsError::Unreadable { file: file.to_owned(), reason: error.to_string() }
        }
    })?;
    if is_readable_by_everyone(file) {
        return Err(TlsError::OpenKey { file: file.to_owned() });
    }
    Ok(key)
}

fn parse<'a>(file: &Path, leaf: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TlsError> {
    match X509Certificate::from_der(leaf) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(TlsError::Malformed { file: file.to_owned() }),
    }
}

fn check_validity(file: &Path, leaf: &CertificateDer<'_>, now: SystemTime) -> Result<(), TlsError> {
    let certificate = parse(file, leaf)?;
    let validity = certificate.validity();
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    if now > validity.not_after.timestamp() {
        return Err(TlsError::Expired { file: file.to_owned(), day: validity.not_after.to_string() });
    }
    if now < validity.not_before.timestamp() {
        return Err(TlsError::NotYetValid { file: file.to_owned(), day: validity.not_before.to_string() });
    }
    Ok(())
}

fn pin_of(file: &Path, leaf: &CertificateDer<'_>) -> Result<Pin, TlsError> {
    Ok(pin_of_key(parse(file, leaf)?.public_key().raw))
}

fn is_readable_by_everyone(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::time::Duration;

    fn day(years: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(years * 365 * 86_400)
    }

    /// A certificate valid from 2020 to 2030 and its key, as files.
    fn pair(folder: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["gw.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let files = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&files.0, params.self_signed(&key).unwrap().pem()).unwrap();
        undertone_config::write_private(&files.1, key.serialize_pem().as_bytes()).unwrap();
        files
    }

    #[test]
    fn a_valid_pair_is_taken_and_its_pin_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(folder.path());
        let identity = TlsIdentity::load(&certificate, &key, day(55)).unwrap();
        assert_eq!(identity.pin, read_pin(&certificate).unwrap());
        assert_eq!(identity.config.alpn_protocols, [ALPN]);
    }

    #[test]
    fn an_expired_or_future_certificate_is_refused_with_its_day() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(folder.path());
        let says = |now| TlsIdentity::load(&certificate, &key, now).unwrap_err().to_string();
        assert!(says(day(61)).contains("expired on Jan  1"), "{}", says(day(61)));
        assert!(says(day(40)).contains("valid only from"), "{}", says(day(40)));
    }

    #[test]
    fn each_unusable_file_is_a_sentence_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(folder.path());
        let other_folder = tempfile::tempdir().unwrap();
        let (_, other_key) = pair(other_folder.path());
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, b"").unwrap();
        let missing = folder.path().join("missing.pem");
        let says = |certificate: &Path, key: &Path, words: &str| {
            let error = TlsIdentity::load(certificate, key, day(55)).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        };
        says(&missing, &key, "cannot read");
        says(&empty, &key, "holds no certificate");
        says(&certificate, &empty, "holds no private key");
        says(&certificate, &missing, "missing.pem");
        says(&certificate, &other_key, "does not belong");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        says(&certificate, &key, "chmod 600");
    }
}

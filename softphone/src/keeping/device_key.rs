//! The key of this device, `PROFILE/device.pem`: ECDSA P-256 (PKCS #8, RFC 5958), by which an account without password
//! proves itself. The gateway sees it in a TLS client certificate and keeps its hash only.
//!
//! Everything in the certificate but the key and its signature is the same on every device, so that it tells neither
//! machine nor time; TLS 1.3 encrypts it all the same (RFC 8446 §4.4.2).

use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use undertone_config::write_private;
use zeroize::Zeroizing;

use super::error::KeptError;
use super::identity_file::{exists, read};
use crate::core::device_hash::DeviceHash;

/// The name of the file in the profile.
pub const DEVICE_KEY_FILE: &str = "device.pem";
/// Who every device says it is.
const COMMON_NAME: &str = "undertone";
/// One for all: serial numbers tell certificates of one issuer apart, and each of these has its own.
const SERIAL: u64 = 1;
/// A key in PEM has about 240 characters; a longer file is none.
const MAX_FILE_LEN: u64 = 1024;

/// The secret key of this device with its certificate. No `Clone`, opaque `Debug`; the key is wiped when dropped.
pub struct DeviceKey {
    pem: Zeroizing<String>,
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: CertificateDer<'static>,
    hash: DeviceHash,
}

impl DeviceKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the cryptography library cannot.
    pub fn generate() -> Result<Self, KeptError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeptError::KeyNotMade)?;
        Self::of(&key)
    }

    /// Reads the key in `file`.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is no key of this kind.
    pub fn load(file: &Path) -> Result<Self, KeptError> {
        if !exists(file) {
            return Err(KeptError::NoDeviceKey { file: file.to_owned() });
        }
        let content = Zeroizing::new(read(file, MAX_FILE_LEN)?);
        let damaged = || KeptError::Damaged { file: file.to_owned() };
        let pem = std::str::from_utf8(&content).map_err(|_| damaged())?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).map_err(|_| damaged())?;
        Self::of(&key)
    }

    /// Writes it so that only its owner reads it.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn save(&self, file: &Path) -> Result<(), KeptError> {
        Ok(write_private(file, self.pem.as_bytes())?)
    }

    /// What the gateway knows this device by.
    #[must_use]
    pub fn hash(&self) -> DeviceHash {
        self.hash
    }

    /// What is shown in a TLS handshake, and what signs it.
    #[must_use]
    pub fn identification(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.pkcs8.to_vec());
        (vec![self.certificate.clone()], key.into())
    }

    fn of(key: &KeyPair) -> Result<Self, KeptError> {
        let certificate = parameters().self_signed(key).map_err(KeptError::KeyNotMade)?.der().clone();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &key.subject_public_key_info()).as_ref());
        Ok(Self {
            pem: Zeroizing::new(key.serialize_pem()),
            pkcs8: Zeroizing::new(key.serialize_der()),
            certificate,
            hash: DeviceHash::from_sha256(hash),
        })
    }
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKey")
    }
}

fn parameters() -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, COMMON_NAME);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.serial_number = Some(SerialNumber::from(SERIAL));
    parameters.not_before = rcgen::date_time_ymd(1970, 1, 1);
    // RFC 5280 §4.1.2.5: no end.
    parameters.not_after = rcgen::date_time_ymd(9999, 12, 31);
    parameters
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn a_key_is_kept_privately_and_comes_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("profile").join(DEVICE_KEY_FILE);
        let made = DeviceKey::generate().unwrap();
        made.save(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = DeviceKey::load(&file).unwrap();
        assert_eq!(read.hash(), made.hash());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(format!("{made:?}"), "DeviceKey");
        assert_ne!(DeviceKey::generate().unwrap().hash(), made.hash());
    }

    #[test]
    fn certificates_of_two_devices_differ_in_nothing_but_key_and_signature() {
        let [one, other] = [DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap()];
        let (_, one) = X509Certificate::from_der(&one.certificate).unwrap();
        let (_, other) = X509Certificate::from_der(&other.certificate).unwrap();
        assert_eq!(
            (one.subject().to_string(), one.issuer().to_string()),
            ("CN=undertone".into(), "CN=undertone".into())
        );
        assert_eq!(one.raw_serial(), other.raw_serial());
        assert_eq!(one.subject().as_raw(), other.subject().as_raw());
        assert_eq!(one.validity(), other.validity());
        assert_eq!(one.extensions().len(), 0);
        assert_ne!(one.public_key().raw, other.public_key().raw);
    }

    #[test]
    fn the_hash_is_that_of_the_key_in_the_certificate() {
        let key = DeviceKey::generate().unwrap();
        let (_, certificate) = X509Certificate::from_der(&key.certificate).unwrap();
        let hash = digest(&SHA256, certificate.public_key().raw);
        assert_eq!(key.hash(), DeviceHash::from_sha256(hash.as_ref().try_into().unwrap()));
    }

    #[test]
    fn a_missing_cut_or_foreign_key_is_said_with_its_file_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DEVICE_KEY_FILE);
        let missing = DeviceKey::load(&file).unwrap_err();
        assert!(missing.to_string().contains("device.pem") && missing.to_string().contains("join again"), "{missing}");
        DeviceKey::generate().unwrap().save(&file).unwrap();
        let intact = std::fs::read(&file).unwrap();
        let other_curve = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for damaged in [&intact[..100], b"", &[0xff; 100], &[b'x'; 4096], other_curve.as_bytes()] {
            std::fs::write(&file, damaged).unwrap();
            let why = DeviceKey::load(&file).unwrap_err();
            assert!(matches!(&why, KeptError::Damaged { .. }), "{why}");
            assert_eq!(std::fs::read(&file).unwrap(), damaged);
        }
    }
}

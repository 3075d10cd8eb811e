//! Device certificates: how a phone proves its key in the TLS handshake (RFC 8446 §4.4.2, client authentication).
//!
//! The certificate only carries the key. Names, dates, issuer and extensions are not looked at, no chain is built, and
//! nobody's signature on it counts: what counts is the handshake's own signature, made with that key over this
//! connection. A phone without a certificate is let in; one whose signature is wrong is not.

use crate::core::device::DeviceHash;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest certificate that is read, in octets: that of a phone has some 400.
const MAX_CERTIFICATE_LEN: usize = 4_096;

/// What a device may sign with.
const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];

/// Checks device certificates.
#[derive(Debug)]
pub(super) struct DeviceVerifier(WebPkiSupportedAlgorithms);

impl Default for DeviceVerifier {
    fn default() -> Self {
        Self(aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

/// Which device showed this certificate; `None` if no device can have it.
pub fn device_of(certificate: &CertificateDer<'_>) -> Option<DeviceHash> {
    key_of(certificate).map(DeviceHash::of_key)
}

impl ClientCertVerifier for DeviceVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        key_of(certificate).map(|_| ClientCertVerified::assertion()).ok_or(CertificateError::BadEncoding.into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // The same octets that are hashed.
        let key = SubjectPublicKeyInfoDer::from(key_of(certificate).ok_or(CertificateError::BadEncoding)?);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// The key in a certificate (SubjectPublicKeyInfo, DER), if it is on P-256 or P-384.
fn key_of<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    if certificate.len() > MAX_CERTIFICATE_LEN {
        return None;
    }
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    let key = &certificate.tbs_certificate.subject_pki;
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_usable = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && (curve == OID_EC_P256 || curve == OID_NIST_EC_P384)
        && rest.is_empty();
    is_usable.then_some(key.raw)
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{ALPN, TlsIdentity};
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use rcgen::{PKCS_RSA_SHA256, SignatureAlgorithm};
    use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
    use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption};
    use rustls::crypto::verify_tls13_signature;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConnection};
    use std::sync::Arc;
    use std::time::SystemTime;

    #[test]
    fn a_device_is_known_by_its_key_whatever_its_certificate_says() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let expired = rcgen::date_time_ymd(1999, 1, 1);
            let shown = ["undertone", "another name"].map(|name| {
                let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
                params.not_after = expired;
                shown(&key, params.self_signed(&key).unwrap().der().clone())
            });
            let world = World::new();
            let devices = shown.map(|shown| world.handshake(Some(shown)).unwrap());
            assert_eq!(devices[0], devices[1]);
            assert_eq!(devices[0], Some(DeviceHash::of_key(&spki(&key))));
        }
    }

    #[test]
    fn a_phone_without_a_certificate_is_let_in_as_nobody() {
        assert_eq!(World::new().handshake(None).unwrap(), None);
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let (mine, stolen) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = params().self_signed(&stolen).unwrap().der().clone();
        assert!(World::new().handshake(Some(shown(&mine, certificate))).is_err());
    }

    #[test]
    fn other_kinds_of_keys_are_no_devices() {
        for algorithm in [&PKCS_RSA_SHA256, &PKCS_ED25519] as [&'static SignatureAlgorithm; 2] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = params().self_signed(&key).unwrap().der().clone();
            assert_eq!(device_of(&certificate), None);
            let device = World::new().handshake(Some(shown(&key, certificate)));
            assert!(matches!(device, Err(_) | Ok(None)), "it signs in as no device");
        }
    }

    #[test]
    fn what_is_no_certificate_ends_the_handshake_and_panics_nowhere() {
        let key = KeyPair::generate().unwrap();
        let good = params().self_signed(&key).unwrap().der().to_vec();
        let world = World::new();
        let mut bad: Vec<Vec<u8>> = vec![vec![0], vec![0x30; 500], [&good[..], b"more"].concat()];
        bad.extend((0..good.len()).step_by(7).map(|len| good[..len].to_vec()));
        let mut long = CertificateParams::new(vec!["x.example".to_owned(); 400]).unwrap();
        long.is_ca = rcgen::IsCa::NoCa;
        bad.push(long.self_signed(&key).unwrap().der().to_vec());
        assert!(bad.last().unwrap().len() > MAX_CERTIFICATE_LEN);
        for octets in bad {
            let certificate = CertificateDer::from(octets);
            assert_eq!(device_of(&certificate), None);
            if !certificate.is_empty() {
                assert!(world.handshake(Some(shown(&key, certificate))).is_err());
            }
        }
    }

    #[test]
    fn a_phone_that_offers_to_resume_does_the_whole_handshake_again() {
        let world = World::new();
        let key = KeyPair::generate().unwrap();
        let mut client = world.client(Some(shown(&key, params().self_signed(&key).unwrap().der().clone())));
        client.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        client.enable_early_data = true;
        let client = Arc::new(client);
        for _ in 0..3 {
            let (phone, gateway) = world.connect(&client).unwrap();
            assert_eq!(phone.handshake_kind(), Some(HandshakeKind::Full));
            assert!(!phone.is_early_data_accepted());
            let shown = gateway.peer_certificates().unwrap();
            assert_eq!(device_of(&shown[0]), Some(DeviceHash::of_key(&spki(&key))));
            assert_eq!(phone.tls13_tickets_received(), 0);
        }
    }

    struct World {
        _folder: tempfile::TempDir,
        identity: TlsIdentity,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let key = KeyPair::generate().unwrap();
            let files = [folder.path().join("certificate.pem"), folder.path().join("key.pem")];
            std::fs::write(&files[0], params().self_signed(&key).unwrap().pem()).unwrap();
            undertone_config::write_private(&files[1], key.serialize_pem().as_bytes()).unwrap();
            let identity = TlsIdentity::load(&files[0], &files[1], SystemTime::now()).unwrap();
            Self { _folder: folder, identity }
        }

        fn client(&self, shown: Option<CertifiedKey>) -> ClientConfig {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyGateway(provider.signature_verification_algorithms)))
                .with_client_cert_resolver(Arc::new(Shown(shown.map(Arc::new))));
            config.alpn_protocols = vec![ALPN.to_vec()];
            config
        }

        /// The device the gateway sees.
        fn handshake(&self, shown: Option<CertifiedKey>) -> Result<Option<DeviceHash>, Error> {
            let (_, gateway) = self.connect(&Arc::new(self.client(shown)))?;
            Ok(gateway.peer_certificates().and_then(|shown| device_of(&shown[0])))
        }

        fn connect(&self, client: &Arc<ClientConfig>) -> Result<(ClientConnection, ServerConnection), Error> {
            let name = ServerName::try_from("gw.example").unwrap();
            let mut phone = ClientConnection::new(Arc::clone(client), name)?;
            let mut gateway = ServerConnection::new(Arc::clone(&self.identity.config))?;
            // Further than the handshake: what comes after it arrives too.
            for _ in 0..8 {
                let mut octets = Vec::new();
                while phone.wants_write() {
                    phone.write_tls(&mut octets).unwrap();
                }
                let mut unread = &octets[..];
                while !unread.is_empty() {
                    gateway.read_tls(&mut unread).unwrap();
                    gateway.process_new_packets()?;
                }
                octets.clear();
                while gateway.wants_write() {
                    gateway.write_tls(&mut octets).unwrap();
                }
                let mut unread = &octets[..];
                while !unread.is_empty() {
                    phone.read_tls(&mut unread).unwrap();
                    phone.process_new_packets()?;
                }
            }
            assert!(!phone.is_handshaking() && !gateway.is_handshaking());
            Ok((phone, gateway))
        }
    }

    fn params() -> CertificateParams {
        CertificateParams::new(vec!["gw.example".to_owned()]).unwrap()
    }

    fn shown(key: &KeyPair, certificate: CertificateDer<'static>) -> CertifiedKey {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_supported_type(&key).unwrap())
    }

    fn spki(key: &KeyPair) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(key)
    }

    /// Shows its certificate whatever the gateway asks for.
    #[derive(Debug)]
    struct Shown(Option<Arc<CertifiedKey>>);

    impl ResolvesClientCert for Shown {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            self.0.clone()
        }

        fn has_certs(&self) -> bool {
            self.0.is_some()
        }
    }

    #[derive(Debug)]
    struct AnyGateway(WebPkiSupportedAlgorithms);

    impl ServerCertVerifier for AnyGateway {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
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
            verify_tls13_signature(message, certificate, signature, &self.0)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_schemes()
        }
    }
}

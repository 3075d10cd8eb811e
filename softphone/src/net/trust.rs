//! Whom this phone takes for its gateway: the key pinned in its configuration or the next one its operator announced,
//! or, without a pin, the certificate a public authority issued for the address's domain (RFC 5922; never the name a DNS
//! record points to); and by which key of its own this device is known there.
//!
//! A pin replaces the chain and the name, nothing else: the certificate's dates and the handshake's signature are
//! checked all the same.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use undertone_config::Pin;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::keeping::device_key::DeviceKey;

/// RFC 7301 identification of SIP, as registered by RFC 7443 and RFC 8446's registry.
pub const ALPN_SIP: &[u8] = b"sip/2";

/// How the gateway proves who it is.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By its key.
    Pin(Pinned),
    /// By a certificate of a public authority for this domain.
    Domain(String),
}

/// The keys that are taken for the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The one it has.
    pub pin: Pin,
    /// The one it will have, announced by its operator.
    pub next: Option<Pin>,
}

impl From<Pin> for Pinned {
    fn from(pin: Pin) -> Self {
        Self { pin, next: None }
    }
}

/// Why no connection can even be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The system has no root certificates, and no pin was given.
    #[error(
        "this system has no root certificates: install the package ca-certificates, or run `undertone setup` with --pin"
    )]
    NoRoots,
    /// The TLS library refused the settings.
    #[error("TLS cannot be used on this system ({0}): report this as a bug")]
    Tls(String),
}

impl Trust {
    /// The TLS settings: version 1.3 only, post-quantum key exchange first, no tickets kept. A gateway that asks for
    /// it is shown `device`; without one, none.
    ///
    /// # Errors
    /// When the system offers nothing to check a certificate against.
    pub fn client_config(&self, device: Option<&DeviceKey>) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Pin(pinned) => Arc::new(PinnedKey::new(*pinned, &provider)),
            Self::Domain(_) => native_roots(&provider)?,
        };
        let unusable = |error: Error| TrustError::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match device {
            Some(device) => {
                let (certificate, key) = device.identification();
                builder.with_client_auth_cert(certificate, key).map_err(unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_SIP.to_vec()];
        // A ticket kept from one connection and shown on the next would link the two; and a device that was revoked
        // must not come back by one.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(config)
    }
}

fn native_roots(provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TrustError::NoRoots);
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TrustError::Tls(error.to_string()))
}

/// The key of a certificate, as a pin names it; `None` if it cannot be read.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    rest.is_empty().then(|| hashed(&certificate))
}

fn hashed(certificate: &X509Certificate<'_>) -> Pin {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, certificate.public_key().raw).as_ref());
    Pin::from_sha256(hash)
}

/// Accepts the pinned public keys and no other.
#[derive(Debug)]
pub struct PinnedKey {
    pinned: Pinned,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl PinnedKey {
    /// A verifier for these keys.
    #[must_use]
    pub fn new(pinned: Pinned, provider: &CryptoProvider) -> Self {
        Self { pinned, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (rest, certificate) =
            X509Certificate::from_der(end_entity).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        if !rest.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        // The pin first: the dates of a stranger's certificate are of no interest. A pin is no secret.
        let shown = hashed(&certificate);
        if shown != self.pinned.pin && Some(shown) != self.pinned.next {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if seconds < certificate.validity().not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if seconds > certificate.validity().not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConnection, DistinguishedName, NamedGroup, ProtocolVersion, ServerConfig, ServerConnection};

    use super::*;

    #[test]
    fn the_pinned_key_is_accepted_over_tls_1_3_with_a_post_quantum_exchange() {
        let gateway = Gateway::new(-1, 30);
        let (client, _server) = gateway.handshake(&Trust::Pin(gateway.pin.into())).unwrap();
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(ALPN_SIP));
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn another_key_is_refused_even_under_a_valid_certificate() {
        let error = Gateway::new(-1, 30).handshake(&Trust::Pin(Pin::from_sha256([7; 32]).into())).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
    }

    #[test]
    fn the_announced_key_is_accepted_beside_the_pinned_one_and_a_third_is_not() {
        let (gateway, other) = (Gateway::new(-1, 30), Pin::from_sha256([7; 32]));
        for (pin, next) in [(gateway.pin, other), (other, gateway.pin)] {
            let pinned = Pinned { pin, next: Some(next) };
            let (client, _server) = gateway.handshake(&Trust::Pin(pinned)).unwrap();
            assert_eq!(key_of(&client.peer_certificates().unwrap()[0]), Some(gateway.pin), "which one it was");
        }
        let neither = Pinned { pin: other, next: Some(Pin::from_sha256([8; 32])) };
        assert!(gateway.handshake(&Trust::Pin(neither)).is_err());
        assert_eq!(key_of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn a_device_shows_its_key_to_a_gateway_that_asks_and_a_phone_without_one_shows_nothing() {
        let mut gateway = Gateway::new(-1, 30);
        gateway.asks_for_device = true;
        let device = DeviceKey::generate().unwrap();
        let trust = Trust::Pin(gateway.pin.into());
        let (_client, server) = gateway.handshake_by(&trust, Some(&device)).unwrap();
        let shown = server.peer_certificates().unwrap();
        assert_eq!(shown, device.identification().0);
        let (_client, server) = gateway.handshake_by(&trust, None).unwrap();
        assert!(server.peer_certificates().is_none());
        gateway.asks_for_device = false;
        let (_client, server) = gateway.handshake_by(&trust, Some(&device)).unwrap();
        assert!(server.peer_certificates().is_none());
    }

    #[test]
    fn every_connection_makes_the_full_handshake() {
        let gateway = Gateway::new(-1, 30);
        let config = Arc::new(Trust::Pin(gateway.pin.into()).client_config(None).unwrap());
        for _ in 0..3 {
            let (client, _server) = gateway.connect(Arc::clone(&config)).unwrap();
            assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
        }
    }

    #[test]
    fn the_pinned_key_under_an_expired_or_future_certificate_is_refused() {
        let expired = Gateway::new(-30, -1);
        let error = expired.handshake(&Trust::Pin(expired.pin.into())).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::Expired));
        let future = Gateway::new(1, 30);
        let error = future.handshake(&Trust::Pin(future.pin.into())).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::NotValidYet));
    }

    #[test]
    fn the_pinned_certificate_without_its_private_key_is_refused() {
        let gateway = Gateway::new(-1, 30);
        let thief = Gateway { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_der(), ..gateway };
        let error = thief.handshake(&Trust::Pin(thief.pin.into())).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature));
    }

    #[test]
    fn a_gateway_that_only_speaks_tls_1_2_is_refused() {
        let mut gateway = Gateway::new(-1, 30);
        gateway.version = &rustls::version::TLS12;
        assert!(gateway.handshake(&Trust::Pin(gateway.pin.into())).is_err());
    }

    #[test]
    fn a_self_signed_certificate_is_not_trusted_without_a_pin() {
        let gateway = Gateway::new(-1, 30);
        match gateway.handshake(&Trust::Domain("gw.example".into())) {
            Err(Error::InvalidCertificate(_)) => {}
            other => panic!("{other:?}"),
        }
    }

    struct Gateway {
        certificate: CertificateDer<'static>,
        key: Vec<u8>,
        pin: Pin,
        version: &'static rustls::SupportedProtocolVersion,
        asks_for_device: bool,
    }

    impl Gateway {
        fn new(from_days: i64, to_days: i64) -> Self {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let mut params = CertificateParams::new(vec!["gw.example".to_owned()]).unwrap();
            let today = std::time::SystemTime::now();
            let day = |days: i64| {
                let offset = Duration::from_secs(days.unsigned_abs() * 86_400);
                if days < 0 { today - offset } else { today + offset }
            };
            params.not_before = day(from_days).into();
            params.not_after = day(to_days).into();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
            let hash: [u8; 32] = digest(&SHA256, parsed.public_key().raw).as_ref().try_into().unwrap();
            let version = &rustls::version::TLS13;
            let pin = Pin::from_sha256(hash);
            Self { certificate, key: key.serialize_der(), pin, version, asks_for_device: false }
        }

        fn server_config(&self) -> Result<ServerConfig, Error> {
            let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[self.version])?;
            let builder = match self.asks_for_device {
                true => builder.with_client_cert_verifier(Arc::new(AnyDevice)),
                false => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
                vec![self.certificate.clone()],
                aws_lc_rs::sign::any_ecdsa_type(&PrivateKeyDer::try_from(self.key.clone()).unwrap())?,
            ))));
            config.alpn_protocols = vec![ALPN_SIP.to_vec()];
            Ok(config)
        }

        fn handshake(&self, trust: &Trust) -> Result<(ClientConnection, ServerConnection), Error> {
            self.handshake_by(trust, None)
        }

        fn handshake_by(
            &self,
            trust: &Trust,
            device: Option<&DeviceKey>,
        ) -> Result<(ClientConnection, ServerConnection), Error> {
            let config = trust.client_config(device).map_err(|error| Error::General(error.to_string()))?;
            self.connect(Arc::new(config))
        }

        fn connect(&self, config: Arc<ClientConfig>) -> Result<(ClientConnection, ServerConnection), Error> {
            let mut client = ClientConnection::new(config, "gw.example".try_into().unwrap())?;
            let mut server = ServerConnection::new(Arc::new(self.server_config()?))?;
            for _ in 0..10 {
                let mut wire = Vec::new();
                client.write_tls(&mut wire).unwrap();
                let _ = server.read_tls(&mut wire.as_slice());
                // What the server thinks of an alert does not matter here.
                let _ = server.process_new_packets();
                let mut wire = Vec::new();
                server.write_tls(&mut wire).unwrap();
                client.read_tls(&mut wire.as_slice()).unwrap();
                client.process_new_packets()?;
            }
            if client.is_handshaking() {
                return Err(Error::General("the handshake did not finish".into()));
            }
            client.writer().write_all(b"ping").unwrap();
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut heard = [0; 4];
            server.reader().read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"ping");
            Ok((client, server))
        }
    }

    /// Asks for a certificate, as the gateway does, and takes any whose key signs the handshake.
    #[derive(Debug)]
    struct AnyDevice;

    impl ClientCertVerifier for AnyDevice {
        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }

        fn client_auth_mandatory(&self) -> bool {
            false
        }

        fn verify_client_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _now: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            Ok(ClientCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
            verify_tls12_signature(message, cert, dss, &algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}

//! Whom this phone takes for its gateway: the key pinned in its configuration, or, without a pin, the certificate a
//! public authority issued for the address's domain (RFC 5922; never the name a DNS record points to).
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

/// RFC 7301 identification of SIP, as registered by RFC 7443 and RFC 8446's registry.
pub const ALPN_SIP: &[u8] = b"sip/2";

/// How the gateway proves who it is.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By this key.
    Pin(Pin),
    /// By a certificate of a public authority for this domain.
    Domain(String),
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
    /// The TLS settings: version 1.3 only, post-quantum key exchange first, no tickets kept.
    ///
    /// # Errors
    /// When the system offers nothing to check a certificate against.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Pin(pin) => Arc::new(PinnedKey::new(*pin, &provider)),
            Self::Domain(_) => native_roots(&provider)?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TrustError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_SIP.to_vec()];
        // A ticket kept from one connection and shown on the next would link the two.
        config.resumption = Resumption::disabled();
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

/// Accepts exactly one public key.
#[derive(Debug)]
pub struct PinnedKey {
    pin: Pin,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl PinnedKey {
    /// A verifier for one pin.
    #[must_use]
    pub fn new(pin: Pin, provider: &CryptoProvider) -> Self {
        Self { pin, algorithms: provider.signature_verification_algorithms }
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
        if digest(&SHA256, certificate.public_key().raw).as_ref() != self.pin.as_bytes() {
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
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConnection, NamedGroup, ProtocolVersion, ServerConfig, ServerConnection};

    use super::*;

    #[test]
    fn the_pinned_key_is_accepted_over_tls_1_3_with_a_post_quantum_exchange() {
        let gateway = Gateway::new(-1, 30);
        let (client, _server) = gateway.handshake(&Trust::Pin(gateway.pin)).unwrap();
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(ALPN_SIP));
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn another_key_is_refused_even_under_a_valid_certificate() {
        let error = Gateway::new(-1, 30).handshake(&Trust::Pin(Pin::from_sha256([7; 32]))).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
    }

    #[test]
    fn the_pinned_key_under_an_expired_or_future_certificate_is_refused() {
        let expired = Gateway::new(-30, -1);
        let error = expired.handshake(&Trust::Pin(expired.pin)).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::Expired));
        let future = Gateway::new(1, 30);
        let error = future.handshake(&Trust::Pin(future.pin)).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::NotValidYet));
    }

    #[test]
    fn the_pinned_certificate_without_its_private_key_is_refused() {
        let gateway = Gateway::new(-1, 30);
        let thief = Gateway { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_der(), ..gateway };
        let error = thief.handshake(&Trust::Pin(thief.pin)).unwrap_err();
        assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature));
    }

    #[test]
    fn a_gateway_that_only_speaks_tls_1_2_is_refused() {
        let mut gateway = Gateway::new(-1, 30);
        gateway.version = &rustls::version::TLS12;
        assert!(gateway.handshake(&Trust::Pin(gateway.pin)).is_err());
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
            Self { certificate: certificate.clone(), key: key.serialize_der(), pin: Pin::from_sha256(hash), version }
        }

        fn server_config(&self) -> Result<ServerConfig, Error> {
            let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[self.version])?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
                    vec![self.certificate.clone()],
                    aws_lc_rs::sign::any_ecdsa_type(&PrivateKeyDer::try_from(self.key.clone()).unwrap())?,
                ))));
            config.alpn_protocols = vec![ALPN_SIP.to_vec()];
            Ok(config)
        }

        fn handshake(&self, trust: &Trust) -> Result<(ClientConnection, ServerConnection), Error> {
            let config = trust.client_config().map_err(|error| Error::General(error.to_string()))?;
            let mut client = ClientConnection::new(Arc::new(config), "gw.example".try_into().unwrap())?;
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
}

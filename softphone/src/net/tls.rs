//! Opening the one connection to the gateway: name, TCP, TLS, and what can go wrong in words.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use thiserror::Error as ThisError;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use undertone_config::{HostPort, Pin};

use super::trust::{ALPN_SIP, Trust, TrustError, key_of};
use crate::core::event::Trouble;
use crate::keeping::device_key::DeviceKey;

/// How long a name server may take.
const NAME_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one address of the gateway may take to accept a connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);
/// No more addresses of one name are tried than this.
const MAX_ADDRESSES: usize = 4;

/// Why there is no connection to the gateway.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("the gateway's name {host} was not found: check the spelling and your network")]
    NameNotFound {
        /// The name asked for.
        host: String,
    },
    /// Nothing listens there, or nothing answers.
    #[error(
        "the gateway does not answer at {gateway} ({why}): check the address, your network, and that the gateway runs"
    )]
    Unreachable {
        /// Where it should be.
        gateway: String,
        /// What the system says.
        why: String,
    },
    /// Another key than the pinned one.
    #[error(
        "the gateway's key is not the pinned one: someone may be in between, or the gateway has a new key; \
         ask its operator for the pin (`undertone-gateway pin`) before you go on"
    )]
    WrongPin,
    /// The certificate's time is over or has not come.
    #[error(
        "the gateway's certificate is expired or not yet valid: check this machine's clock, then ask the gateway's operator"
    )]
    CertificateExpired,
    /// No public authority vouches for the certificate.
    #[error(
        "the gateway's certificate is not one of a public authority for {domain}: ask its operator for the pin and run \
         `undertone setup` with --pin"
    )]
    NotTrusted {
        /// The domain it should be for.
        domain: String,
    },
    /// It speaks, but not our protocol.
    #[error("what answers at {gateway} is not an Undertone gateway ({why}): check the port")]
    NotAGateway {
        /// Where it should be.
        gateway: String,
        /// What it did.
        why: String,
    },
    /// Nothing could be checked on this machine.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl ConnectError {
    /// What the phone's core needs to know of it.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::NameNotFound { .. } => Trouble::GatewayNotFound,
            Self::Unreachable { .. } | Self::NotAGateway { .. } => Trouble::GatewayUnreachable,
            Self::WrongPin | Self::NotTrusted { .. } | Self::Trust(_) => Trouble::GatewayNotTrusted,
            Self::CertificateExpired => Trouble::GatewayCertificateExpired,
        }
    }
}

/// A connection to the gateway.
#[derive(Debug)]
pub struct Connected {
    /// Its bytes.
    pub stream: TlsStream<TcpStream>,
    /// The key that the gateway proved.
    pub key: Option<Pin>,
}

/// Connects to the gateway and checks that it is the right one; shows it the key of this device.
///
/// # Errors
/// In words a person can act on.
pub async fn connect(gateway: &HostPort, trust: &Trust, device: Option<&DeviceKey>) -> Result<Connected, ConnectError> {
    let config = trust.client_config(device)?;
    let tcp = connect_tcp(gateway).await?;
    // Without it a call set-up waits for delayed acknowledgements.
    let _ = tcp.set_nodelay(true);
    let name = match trust {
        Trust::Domain(domain) => domain.clone(),
        Trust::Pin(_) => gateway.host().to_owned(),
    };
    let not_a_gateway = |why: String| ConnectError::NotAGateway { gateway: gateway.to_string(), why };
    let server_name = ServerName::try_from(name).map_err(|error| not_a_gateway(error.to_string()))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(server_name, tcp);
    let stream = match timeout(TLS_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(worded(&error, gateway, trust)),
        Err(_) => return Err(not_a_gateway("it does not answer in TLS".to_owned())),
    };
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN_SIP) {
        return Err(not_a_gateway("it does not offer SIP".to_owned()));
    }
    let key = session.peer_certificates().and_then(|chain| chain.first()).and_then(key_of);
    Ok(Connected { stream, key })
}

async fn connect_tcp(gateway: &HostPort) -> Result<TcpStream, ConnectError> {
    let not_found = || ConnectError::NameNotFound { host: gateway.host().to_owned() };
    let addresses: Vec<SocketAddr> = timeout(NAME_TIMEOUT, lookup_host((gateway.host(), gateway.port())))
        .await
        .map_err(|_| not_found())?
        .map_err(|_| not_found())?
        .take(MAX_ADDRESSES)
        .collect();
    let mut why = None;
    for address in addresses {
        match timeout(TCP_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = Some(plain(&error)),
            Err(_) => why = Some("no answer".to_owned()),
        }
    }
    Err(why.map_or_else(not_found, |why| ConnectError::Unreachable { gateway: gateway.to_string(), why }))
}

fn worded(error: &io::Error, gateway: &HostPort, trust: &Trust) -> ConnectError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(problem)) = tls else {
        let why = tls.map_or_else(|| plain(error), ToString::to_string);
        return ConnectError::NotAGateway { gateway: gateway.to_string(), why };
    };
    #[allow(clippy::wildcard_enum_match_arm)] // rustls' enum is open: the rest means "not the one"
    match (problem, trust) {
        (
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
            _,
        ) => ConnectError::CertificateExpired,
        (_, Trust::Pin(_)) => ConnectError::WrongPin,
        (_, Trust::Domain(domain)) => ConnectError::NotTrusted { domain: domain.clone() },
    }
}

/// A system error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_gateway_that_is_down_is_named_with_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway: HostPort = listener.local_addr().unwrap().to_string().parse().unwrap();
        drop(listener);
        let error = connect(&gateway, &pin(), None).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(&gateway.to_string()), "{error}");
        assert!(!error.to_string().contains("os error"), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_named() {
        let error = connect(&"nobody.invalid:5061".parse().unwrap(), &pin(), None).await.unwrap_err();
        assert!(matches!(error, ConnectError::NameNotFound { .. }), "{error}");
    }

    #[tokio::test]
    async fn something_that_does_not_speak_tls_is_no_gateway() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway: HostPort = listener.local_addr().unwrap().to_string().parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
        let error = connect(&gateway, &pin(), None).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotAGateway { .. }), "{error}");
    }

    fn pin() -> Trust {
        Trust::Pin(Pin::from_sha256([1; 32]).into())
    }
}

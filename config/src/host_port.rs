//! Where a gateway is reached: host name or IP address, and port.

use crate::domain::Domain;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Port of SIP over TLS (RFC 3261 §19.1.2), taken where none is written.
pub const DEFAULT_TLS_PORT: u16 = 5061;

/// A host (name, IPv4, or IPv6 in brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text names no host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not a host and port; write it as gw.example:5061, 203.0.113.5:5061 or [2001:db8::5]:5061")]
pub struct HostPortError(String);

impl HostPort {
    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let refuse = || HostPortError(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inner.parse().map_err(|_| refuse())?;
            return Ok(Self { host: address.to_string(), port: DEFAULT_TLS_PORT });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| refuse())?),
            None => (text, DEFAULT_TLS_PORT),
        };
        let host: Domain = host.parse().map_err(|_| refuse())?;
        Ok(Self { host: host.as_str().to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_address_families_are_read() {
        for (text, written) in [
            ("gw.example", "gw.example:5061"),
            ("gw.example:443", "gw.example:443"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("[::1]:7", "[::1]:7"),
            ("[::1]", "[::1]:5061"),
        ] {
            assert_eq!(text.parse::<HostPort>().expect("valid").to_string(), written);
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for bad in ["", ":5061", "a:b", "a:99999", "::1", "[::1", "http://gw.example"] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad:?}");
        }
    }
}

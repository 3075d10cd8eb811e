//! ICE parameters and candidates (RFC 8839 §5). Only UDP candidates of component 1 with an address are
//! read; names (mDNS) and other components have no use here.

use std::net::{IpAddr, SocketAddr};

/// Most candidates kept of one description; our relay has one per address family.
pub const MAX_CANDIDATES: usize = 16;

/// A place where media can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Address and port.
    pub addr: SocketAddr,
    /// ICE priority.
    pub priority: u32,
}

/// ICE parameters of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// User name fragment.
    pub ufrag: String,
    /// Password: key of the STUN checks.
    pub pwd: String,
    /// Whether the side only answers checks.
    pub lite: bool,
    /// Candidates; empty in a phone's own offer.
    pub candidates: Vec<Candidate>,
}

impl std::fmt::Debug for Ice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ice")
    }
}

impl Candidate {
    /// A host candidate; IPv6 before IPv4 (RFC 8421).
    pub fn host(addr: SocketAddr) -> Self {
        let local_preference: u32 = if addr.is_ipv6() { 65_535 } else { 65_534 };
        Self { addr, priority: (126 << 24) | (local_preference << 8) | 255 }
    }

    /// Reads the value of `a=candidate`.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let _foundation = parts.next()?;
        if parts.next()? != "1" || !parts.next()?.eq_ignore_ascii_case("UDP") {
            return None;
        }
        let priority = parts.next()?.parse().ok()?;
        let address: IpAddr = parts.next()?.parse().ok()?;
        let port = parts.next()?.parse().ok()?;
        Some(Self { addr: SocketAddr::new(address, port), priority })
    }
}

/// `ice-char`s within the bounds of RFC 8839 §5.4.
pub(super) fn is_ice_text(text: &str, min: usize) -> bool {
    (min..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

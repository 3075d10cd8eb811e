//! One piece of what crossed the wire between a phone and the gateway, as recorded.

use std::net::SocketAddr;
use std::time::Duration;

/// What kind of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Inside the TLS connection.
    Signalling,
    /// A datagram with first byte 0–3.
    Stun,
    /// First byte 20–63.
    Dtls,
    /// First byte 128–191, payload type 192–223 in the second: RTCP.
    Rtcp,
    /// First byte 128–191 otherwise.
    Rtp,
    /// Anything else.
    Other,
}

/// Bytes that a phone sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When, since the world began.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// The other end of a datagram; nothing for signalling.
    pub peer: Option<SocketAddr>,
    /// The bytes, signalling without TLS around it.
    pub bytes: Vec<u8>,
}

impl Kind {
    /// RFC 7983 and RFC 5761 §4.
    pub fn of_datagram(bytes: &[u8]) -> Self {
        match (bytes.first(), bytes.get(1)) {
            (Some(0..=3), _) => Self::Stun,
            (Some(20..=63), _) => Self::Dtls,
            (Some(128..=191), Some(192..=223)) => Self::Rtcp,
            (Some(128..=191), _) => Self::Rtp,
            (_, _) => Self::Other,
        }
    }

    /// Whether its bytes are readable to whoever carries them.
    pub fn is_readable(self) -> bool {
        match self {
            Self::Signalling | Self::Stun => true,
            Self::Dtls | Self::Rtcp | Self::Rtp | Self::Other => false,
        }
    }
}

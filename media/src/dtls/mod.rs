//! DTLS-SRTP (RFC 5764): agrees on keys with the other phone and proves that its certificate is the
//! one announced in signalling. Two engines behind one door:
//!
//! * [`Peer::Ours`]: DTLS 1.3 (RFC 9147), for phones that announce `a=vfy`;
//! * [`Peer::Foreign`]: DTLS 1.2 (RFC 6347) with RSA or ECDSA certificates, for everybody else.

mod association;
mod dimpl_engine;
mod engine;
mod failure;
mod flight_gate;
mod hellos;
mod record;
mod rtc_engine;

use std::time::Duration;

pub use association::Association;
pub use failure::{Failure, SendError};

use crate::srtp::{ExporterBlock, Profile};

/// A handshake that has not finished by then has failed.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// Longest message for one record in one datagram on any usual path.
pub const MAX_MESSAGE_LEN: usize = 1024;

/// Who speaks first in the handshake; decided by `a=setup` (RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `active`: sends the ClientHello.
    Client,
    /// `passive`: waits for it.
    Server,
}

impl Role {
    /// The peer's role.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }
}

/// Which engine speaks to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// One of our phones (it announces `a=vfy`): DTLS 1.3, AES-GCM only.
    Ours,
    /// Any other phone: DTLS 1.2, RSA certificates accepted, AES-CM as last resort.
    Foreign,
}

/// The negotiated version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 6347.
    Dtls12,
    /// RFC 9147.
    Dtls13,
}

/// What an established association hands over, once.
#[derive(Debug)]
pub struct Connected {
    /// The negotiated SRTP profile.
    pub profile: Profile,
    /// The exporter block for SRTP and the channel binding.
    pub keys: ExporterBlock,
    /// SHA-256 of our certificate.
    pub local_fingerprint: [u8; 32],
    /// SHA-256 of the peer's certificate as seen in the handshake; equals the announced one.
    pub peer_fingerprint: [u8; 32],
    /// Our role.
    pub role: Role,
    /// The negotiated version.
    pub version: Version,
}

/// What an association wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram to the peer.
    Transmit(Vec<u8>),
    /// Keys exist and the peer's certificate is the announced one. At most once.
    Connected(Box<Connected>),
    /// A message of the peer arrived inside the association.
    Data(Vec<u8>),
    /// The association is over. The last output.
    Failed(Failure),
}

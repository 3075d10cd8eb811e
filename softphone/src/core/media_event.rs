//! What happened on a call's media path: travels back to the signalling side.

use std::net::SocketAddr;
use std::time::Duration;

use undertone_media::srtp::Profile;
use undertone_media::{dtls, post_quantum, session};

use super::verification::Verdict;

/// What happened on a call's media path.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// The other side (or the relay) can be reached.
    PathReady {
        /// Round trip to it, where it was measured.
        round_trip: Option<Duration>,
    },
    /// Keys exist; sound flows.
    Encrypted {
        /// How packets are protected.
        profile: Profile,
        /// How the keys were agreed on.
        version: dtls::Version,
        /// SHA-256 of the other side's certificate as seen in the handshake.
        peer_fingerprint: [u8; 32],
        /// Whether a recording of the call is of no use to a future quantum computer.
        post_quantum: bool,
    },
    /// The phones have proved themselves to each other inside the call, or not.
    Verification(Verdict),
    /// The called phone says, proven, that another phone used the link before.
    LinkUsedBefore,
    /// The first authentic sound went to the speaker.
    FirstSound,
    /// The other side put the call on hold or took it back, inside the encrypted channel.
    PeerHeld(bool),
    /// The other side pressed a key.
    Dtmf(char),
    /// Nothing authentic has arrived for some seconds (`true`), or arrives again.
    PeerSilent(bool),
    /// Figures, from time to time and at the end.
    Stats(Box<PathStats>),
    /// The media is over and stays so.
    Failed(MediaFailure),
}

/// Figures of a media path.
#[derive(Debug, Clone, PartialEq)]
pub struct PathStats {
    /// Of the session above the path; `None` before there was a path.
    pub session: Option<session::Stats>,
    /// Round trip by STUN; without ICE by RTCP.
    pub round_trip: Option<Duration>,
    /// Every address datagrams were sent to or accepted from.
    pub addresses: Vec<SocketAddr>,
    /// Datagrams that were not let in.
    pub refused: Refused,
}

/// Datagrams that were not let in, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// From an address that is not the other side's.
    pub stranger: u64,
    /// STUN of no use, such as the keep-alives some phones send on the media port.
    pub stun: u64,
    /// Nothing in them, or after the end.
    pub void: u64,
}

/// Why the media ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaFailure {
    /// Nobody answered at any address.
    #[error("no way for the sound was found; check the network")]
    NoPath,
    /// The other side stopped answering.
    #[error("nothing came from the other side any more")]
    PathLost,
    /// No keys in time.
    #[error("the phones could not agree on keys in time")]
    NoKeys,
    /// The certificate in the handshake is not the announced one.
    #[error("the other phone's key is not the one that was announced")]
    WrongKey,
    /// The other side closed the protected channel: it hung up.
    #[error("the other phone closed the protected channel")]
    Closed,
    /// The key agreement or the protection broke down.
    #[error("the encryption of the call failed")]
    Encryption,
    /// One phone announced keys against future quantum computers and the other never heard of it.
    #[error("the protection against future quantum computers was stripped from this call")]
    PostQuantumStripped,
    /// What was agreed on cannot be built.
    #[error("what the phones agreed on cannot be used by this one")]
    Settings,
}

impl From<dtls::Failure> for MediaFailure {
    fn from(failure: dtls::Failure) -> Self {
        match failure {
            dtls::Failure::FingerprintMismatch | dtls::Failure::NoCertificate => Self::WrongKey,
            dtls::Failure::Timeout => Self::NoKeys,
            dtls::Failure::Closed => Self::Closed,
            dtls::Failure::NoCommonProfile
            | dtls::Failure::Refused
            | dtls::Failure::Incompatible
            | dtls::Failure::Broken => Self::Encryption,
            dtls::Failure::LocalSetup => Self::Settings,
        }
    }
}

impl From<session::Failure> for MediaFailure {
    fn from(failure: session::Failure) -> Self {
        match failure {
            session::Failure::Dtls(failure) => failure.into(),
            session::Failure::PostQuantum(post_quantum::Failure::Timeout) => Self::NoKeys,
            session::Failure::PostQuantum(post_quantum::Failure::Stripped) => Self::PostQuantumStripped,
            session::Failure::PostQuantum(post_quantum::Failure::KeyRefused) => Self::Encryption,
            session::Failure::PostQuantum(post_quantum::Failure::LocalSetup) => Self::Settings,
        }
    }
}

//! What a session tells its owner.

use super::failure::Failure;
use crate::dtls;
use crate::srtp::Profile;

/// What the owner of a session has to act on.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram to the other side.
    Transmit(Vec<u8>),
    /// Something happened.
    Event(Event),
}

/// Something the person, the signalling or the verification wants to know.
#[derive(Debug)]
pub enum Event {
    /// Keys exist: from here on sound flows. Comes once per session.
    Encrypted {
        /// How packets are protected.
        profile: Profile,
        /// The DTLS version agreed.
        dtls_version: dtls::Version,
        /// SHA-256 of the other side's certificate as seen in the handshake.
        peer_fingerprint: [u8; 32],
        /// Whether an ML-KEM-768 secret is mixed into the keys.
        post_quantum: bool,
    },
    /// The first authenticated sound has been handed to the speaker.
    FirstSound,
    /// The other person put the call on hold (true) or took it back.
    PeerHeld(bool),
    /// The other person pressed a key.
    DtmfReceived(char),
    /// A data frame came through the encrypted channel: for the verification.
    ChannelData(Vec<u8>),
    /// Nothing authenticated has arrived for a while (true), or arrives again.
    PeerSilent(bool),
    /// The session is over; nothing more will be sent or played.
    Failed(Failure),
}

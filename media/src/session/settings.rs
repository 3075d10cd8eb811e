//! What signalling has agreed on before a call's media can begin.

use thiserror::Error;

use crate::certificate::Certificate;
use crate::codec::{CodecError, FRAME_DURATIONS_MS};
use crate::dtls::{self, Peer};
use crate::verify::Role;

/// Frame duration our own phones use: less costs more header than sound, more costs delay.
pub const DEFAULT_PTIME_MS: u16 = 20;

/// Everything a [`Session`](super::Session) is built from.
#[derive(Debug)]
pub struct Settings {
    /// Our certificate of this call; its fingerprint stands in our SDP.
    pub certificate: Certificate,
    /// Who speaks first in DTLS, from `a=setup`.
    pub dtls_role: dtls::Role,
    /// Our own phone or a foreign one: chooses the DTLS engine and how strict SRTP is.
    pub peer: Peer,
    /// SHA-256 of the other side's certificate, from its SDP.
    pub peer_fingerprint: [u8; 32],
    /// Our part in the post-quantum exchange, where both phones announced it: there are no keys before it.
    pub post_quantum: Option<Role>,
    /// The numbers agreed for payloads.
    pub payload: Payloads,
    /// Milliseconds of sound in one packet: 10, 20, 40 or 60.
    pub ptime_ms: u16,
    /// Whether the microphone may be heard before the other person is verified.
    pub sound: SoundGate,
}

/// RTP payload type numbers (RFC 3551 §3: 96–127 are dynamic).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payloads {
    /// Opus (RFC 7587); between our phones the number used inside redundant blocks.
    pub opus: u8,
    /// Redundancy (RFC 2198): present between our phones, then the only number on the wire.
    pub red: Option<u8>,
    /// Telephone events (RFC 4733).
    pub telephone_event: Option<u8>,
}

/// When captured sound may leave the phone. Packets flow in either case, of equal size and rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoundGate {
    /// As soon as it is encrypted.
    #[default]
    Open,
    /// Only encoded silence until [`Session::open_sound`](super::Session::open_sound), and no
    /// keys, and nothing is played: the verification must pass first.
    UntilVerified,
}

/// Why a session cannot be built from its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The frame duration is not usable.
    #[error("a packet of {0} ms cannot be used; agree on 10, 20, 40 or 60 ms")]
    Ptime(u16),
    /// A payload number is above 127, collides with RTCP (RFC 5761 §4) or is used twice.
    #[error("the payload numbers of the call clash or are out of range; agree on different ones from 96 to 127")]
    Payloads,
    /// The codec could not be made.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if !FRAME_DURATIONS_MS.contains(&self.ptime_ms) {
            return Err(SettingsError::Ptime(self.ptime_ms));
        }
        let Payloads { opus, red, telephone_event } = self.payload;
        let numbers: Vec<u8> = [Some(opus), red, telephone_event].into_iter().flatten().collect();
        let usable = |number: &u8| *number < 64 || (96..128).contains(number);
        let distinct = numbers.iter().enumerate().all(|(at, n)| !numbers[..at].contains(n));
        if numbers.iter().all(usable) && distinct { Ok(()) } else { Err(SettingsError::Payloads) }
    }
}

//! Both directions of one association: what may be sent, what is accepted, what is remembered.
//!
//! Receiving, per packet: header → source known or allowed → index estimated (RFC 3711 §3.3.1) →
//! replay list looked at → tag verified and decrypted in place → only then source and index remembered.

use super::cipher::{Cipher, Use};
use super::header::{RTCP_HEADER_LEN, RtpHeader, rtcp_ssrc};
use super::profile::Profile;
use super::replay::{ReplayWindow, Stale, estimate_index};
use crate::dtls::Role;
use crate::keys::ExporterBlock;

/// Sources a foreign phone may use during one association: it may change its SSRC on hold,
/// transfer or device change, but each source costs replay state.
pub const MAX_FOREIGN_SOURCES: usize = 4;
/// SRTCP indices have 31 bits (RFC 3711 §3.4).
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// How many sources (SSRC) the peer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SsrcPolicy {
    /// The source of the first authentic packet, for the whole association. Our phones.
    Fixed,
    /// Up to four, each with its own replay list.
    Foreign,
}

/// Why a received packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// Too short, or its header is not RTP or RTCP.
    #[error("malformed packet")]
    Malformed,
    /// SRTCP without encryption, which nobody here sends.
    #[error("RTCP without encryption")]
    NotEncrypted,
    /// Its tag does not fit: forged, damaged, or protected with other keys.
    #[error("tag does not verify")]
    Unauthentic,
    /// Seen before.
    #[error("replayed packet")]
    Replayed,
    /// More than 128 packets behind.
    #[error("packet too old")]
    TooOld,
    /// From a source that the policy does not admit.
    #[error("packet of another source")]
    OtherSource,
}

/// Why a packet was not protected. Each is a mistake of the caller or the end of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// The buffer has no room for tag and index behind the packet.
    #[error("no room for the authentication tag behind the packet")]
    NoRoom,
    /// Not an RTP or RTCP packet.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// An association sends with one SSRC only.
    #[error("the association already sends with another SSRC")]
    OtherSource,
    /// Sequence numbers only grow: the same one twice would give away the key stream.
    #[error("sequence number not greater than the last one")]
    SequenceReused,
    /// 2^48 RTP or 2^31 RTCP packets were sent.
    #[error("the key was used for all packets it is good for; start a new association")]
    KeyUsedUp,
}

/// How many received packets were accepted or dropped, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Authentic packets.
    pub accepted: u64,
    /// See [`Discard::Malformed`].
    pub malformed: u64,
    /// See [`Discard::NotEncrypted`].
    pub not_encrypted: u64,
    /// See [`Discard::Unauthentic`].
    pub unauthentic: u64,
    /// See [`Discard::Replayed`].
    pub replayed: u64,
    /// See [`Discard::TooOld`].
    pub too_old: u64,
    /// See [`Discard::OtherSource`].
    pub other_source: u64,
}

/// Protects what we send and opens what the peer sends.
pub struct Context {
    profile: Profile,
    outbound: Sender,
    inbound: Receiver,
}

impl Context {
    /// Keys both directions from the exporter block; `role` is ours in the DTLS handshake.
    #[must_use]
    pub fn new(keys: &ExporterBlock, role: Role, policy: SsrcPolicy) -> Self {
        Self {
            profile: keys.profile(),
            outbound: Sender { ciphers: Ciphers::new(keys, role), ssrc: None, newest: None, next_rtcp_index: 0 },
            inbound: Receiver {
                ciphers: Ciphers::new(keys, role.other()),
                sources: [None; MAX_FOREIGN_SOURCES],
                max_sources: match policy {
                    SsrcPolicy::Fixed => 1,
                    SsrcPolicy::Foreign => MAX_FOREIGN_SOURCES,
                },
                counters: Counters::default(),
            },
        }
    }

    /// The profile in use.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What became of the packets received.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inbound.counters
    }

    /// Protects the RTP packet `buffer[..len]` in place; returns its length on the wire.
    /// The buffer must be [`Profile::rtp_overhead`] longer than the packet.
    ///
    /// # Errors
    /// Nothing was sent and nothing changed; see [`ProtectError`].
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        if len.checked_add(self.profile.rtp_overhead()).is_none_or(|needed| needed > buffer.len()) {
            return Err(ProtectError::NoRoom);
        }
        self.outbound.protect_rtp(buffer, len)
    }

    /// Opens an SRTP packet in place; the RTP packet is the first bytes, as many as returned.
    /// After an `Err` the contents are undefined.
    ///
    /// # Errors
    /// The packet was dropped and counted.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Discard> {
        let result = self.inbound.open_rtp(packet);
        self.inbound.count(result)
    }

    /// Protects the RTCP compound packet `buffer[..len]` in place; returns its length on the wire.
    /// The buffer must be [`Profile::rtcp_overhead`] longer than the packet.
    ///
    /// # Errors
    /// Nothing was sent and nothing changed; see [`ProtectError`].
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        if len.checked_add(self.profile.rtcp_overhead()).is_none_or(|needed| needed > buffer.len()) {
            return Err(ProtectError::NoRoom);
        }
        self.outbound.protect_rtcp(buffer, len)
    }

    /// Opens an SRTCP packet in place; the compound packet is the first bytes, as many as returned.
    /// After an `Err` the contents are undefined.
    ///
    /// # Errors
    /// The packet was dropped and counted.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Discard> {
        let result = self.inbound.open_rtcp(packet);
        self.inbound.count(result)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("srtp::Context")
    }
}

/// Session keys of one direction.
struct Ciphers {
    rtp: Cipher,
    rtcp: Cipher,
}

impl Ciphers {
    fn new(keys: &ExporterBlock, sender: Role) -> Self {
        let master = keys.master(sender);
        Self {
            rtp: Cipher::new(keys.profile(), &master, Use::Rtp),
            rtcp: Cipher::new(keys.profile(), &master, Use::Rtcp),
        }
    }
}

struct Sender {
    ciphers: Ciphers,
    /// Fixed by the first packet protected, RTP or RTCP.
    ssrc: Option<u32>,
    /// Index of the newest RTP packet.
    newest: Option<u64>,
    next_rtcp_index: u32,
}

impl Sender {
    fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let header = RtpHeader::parse(&buffer[..len]).ok_or(ProtectError::Malformed)?;
        self.check_ssrc(header.ssrc)?;
        let index = match self.newest {
            None => u64::from(header.sequence),
            Some(newest) => {
                // Sending, a number that seems to lie in the past is a mistake, not a rollover back.
                let ahead = header.sequence.wrapping_sub(newest as u16);
                if ahead == 0 || ahead >= 0x8000 {
                    return Err(ProtectError::SequenceReused);
                }
                newest + u64::from(ahead)
            }
        };
        if index > super::replay::MAX_RTP_INDEX {
            return Err(ProtectError::KeyUsedUp);
        }
        self.ssrc = Some(header.ssrc);
        self.newest = Some(index);
        Ok(self.ciphers.rtp.seal_rtp(buffer, header.len, len, header.ssrc, index))
    }

    fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let ssrc = rtcp_ssrc(&buffer[..len]).ok_or(ProtectError::Malformed)?;
        self.check_ssrc(ssrc)?;
        let index = self.next_rtcp_index;
        if index > MAX_RTCP_INDEX {
            return Err(ProtectError::KeyUsedUp);
        }
        self.ssrc = Some(ssrc);
        self.next_rtcp_index = index + 1;
        Ok(self.ciphers.rtcp.seal_rtcp(buffer, len, ssrc, index))
    }

    fn check_ssrc(&self, ssrc: u32) -> Result<(), ProtectError> {
        match self.ssrc {
            Some(own) if own != ssrc => Err(ProtectError::OtherSource),
            Some(_) | None => Ok(()),
        }
    }
}

/// What is remembered about one of the peer's sources.
#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
}

struct Receiver {
    ciphers: Ciphers,
    sources: [Option<Source>; MAX_FOREIGN_SOURCES],
    max_sources: usize,
    counters: Counters,
}

impl Receiver {
    fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Discard> {
        let header = RtpHeader::parse(packet).ok_or(Discard::Malformed)?;
        let (slot, mut source) = self.find(header.ssrc).ok_or(Discard::OtherSource)?;
        let index = estimate_index(source.rtp.newest(), header.sequence).ok_or(Discard::TooOld)?;
        source.rtp.check(index)?;
        let len =
            self.ciphers.rtp.open_rtp(packet, header.len, header.ssrc, index).map_err(|_| Discard::Unauthentic)?;
        source.rtp.accept(index);
        self.sources[slot] = Some(source);
        Ok(len)
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Discard> {
        let ssrc = rtcp_ssrc(packet).ok_or(Discard::Malformed)?;
        let (slot, mut source) = self.find(ssrc).ok_or(Discard::OtherSource)?;
        let end = packet.get(RTCP_HEADER_LEN..).ok_or(Discard::Malformed)?;
        let word = self.ciphers.rtcp.rtcp_index(end).ok_or(Discard::Malformed)?;
        if !word.encrypted {
            return Err(Discard::NotEncrypted);
        }
        source.rtcp.check(u64::from(word.index))?;
        let len = self.ciphers.rtcp.open_rtcp(packet, ssrc, word.index).map_err(|_| Discard::Unauthentic)?;
        source.rtcp.accept(u64::from(word.index));
        self.sources[slot] = Some(source);
        Ok(len)
    }

    /// The slot and state of a known source, or a free slot and fresh state if one more is allowed.
    fn find(&self, ssrc: u32) -> Option<(usize, Source)> {
        let allowed = &self.sources[..self.max_sources];
        for (slot, source) in allowed.iter().enumerate() {
            match source {
                Some(source) if source.ssrc == ssrc => return Some((slot, *source)),
                Some(_) => {}
                None => {
                    let fresh = Source { ssrc, rtp: ReplayWindow::default(), rtcp: ReplayWindow::default() };
                    return Some((slot, fresh));
                }
            }
        }
        None
    }

    fn count(&mut self, result: Result<usize, Discard>) -> Result<usize, Discard> {
        let counter = match result {
            Ok(_) => &mut self.counters.accepted,
            Err(Discard::Malformed) => &mut self.counters.malformed,
            Err(Discard::NotEncrypted) => &mut self.counters.not_encrypted,
            Err(Discard::Unauthentic) => &mut self.counters.unauthentic,
            Err(Discard::Replayed) => &mut self.counters.replayed,
            Err(Discard::TooOld) => &mut self.counters.too_old,
            Err(Discard::OtherSource) => &mut self.counters.other_source,
        };
        *counter += 1;
        result
    }
}

impl From<Stale> for Discard {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Replayed => Discard::Replayed,
            Stale::TooOld => Discard::TooOld,
        }
    }
}

#[cfg(test)]
#[path = "context_test.rs"]
mod tests;

//! Opus decoder: packets, in-band FEC of the packet after a lost one, and concealment (RFC 6716 §4).

use super::libopus::{self, RawDecoder};
use super::{CodecError, MAX_PACKET_LEN};
use crate::SAMPLE_RATE_HZ;

/// Longest sound one Opus packet can carry: 120 ms (RFC 6716 §3.2.5).
pub const MAX_PACKET_SAMPLES: usize = SAMPLE_RATE_HZ as usize * 120 / 1_000;

/// Concealment is made in multiples of 2.5 ms.
const CONCEALMENT_STEP_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 400;

/// From 5 on libopus conceals losses with its neural model; 6 and 7 add enhancers that reshape the voice
/// and cost more than the whole rest of a call.
const COMPLEXITY: u8 = 5;

/// Turns Opus packets back into mono sound.
pub struct Decoder {
    raw: RawDecoder,
}

impl Decoder {
    /// A decoder with deep loss concealment.
    pub fn new() -> Result<Self, CodecError> {
        let mut raw = RawDecoder::new()?;
        raw.set_complexity(COMPLEXITY)?;
        Ok(Self { raw })
    }

    /// Decodes a packet; returns the samples written to the front of `pcm`.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [f32]) -> Result<usize, CodecError> {
        let samples = packet_samples(packet).ok_or(CodecError::Packet)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::FrameLength)?;
        self.raw.decode(Some(packet), pcm, false)
    }

    /// Rebuilds the frame that was lost just before `next`, filling all of `pcm`.
    pub fn decode_fec(&mut self, next: &[u8], pcm: &mut [f32]) -> Result<usize, CodecError> {
        packet_samples(next).ok_or(CodecError::Packet)?;
        check_concealment(pcm.len())?;
        self.raw.decode(Some(next), pcm, true)
    }

    /// Makes up what was probably said, filling all of `pcm`.
    pub fn conceal(&mut self, pcm: &mut [f32]) -> Result<usize, CodecError> {
        check_concealment(pcm.len())?;
        self.raw.decode(None, pcm, false)
    }

    /// Forgets everything heard: for a new stream.
    pub fn reset(&mut self) {
        self.raw.reset();
    }
}

/// Samples a packet decodes to, or `None` where it is not an Opus packet this project reads.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() || packet.len() > MAX_PACKET_LEN {
        return None;
    }
    let samples = opus::packet::get_nb_samples(packet, SAMPLE_RATE_HZ).ok()?;
    (1..=MAX_PACKET_SAMPLES).contains(&samples).then_some(samples)
}

/// Whether `packet` carries a copy of the frame before it.
pub fn has_fec(packet: &[u8]) -> bool {
    packet_samples(packet).is_some() && libopus::has_lbrr(packet)
}

fn check_concealment(samples: usize) -> Result<(), CodecError> {
    let whole = samples > 0 && samples.is_multiple_of(CONCEALMENT_STEP_SAMPLES);
    if whole && samples <= MAX_PACKET_SAMPLES { Ok(()) } else { Err(CodecError::FrameLength) }
}

//! Opus encoder of constant size: VOIP mode, CBR, in-band FEC, no DTX (RFC 6716, RFC 7587 §3).

use opus::{Application, Bandwidth, Bitrate, Channels, Signal};

use super::{CodecError, FRAME_DURATIONS_MS};
use crate::SAMPLE_RATE_HZ;

/// libopus analyses speech well from 5 on; more costs time without being heard at these rates.
const COMPLEXITY: i32 = 6;

/// Up to this rate the bits go to a clean wideband voice rather than to thin higher bands.
const WIDEBAND_UP_TO_BPS: usize = 36_000;

/// Loss the encoder assumes at least, so that a first loss already meets in-band FEC.
const LEAST_EXPECTED_LOSS_PERCENT: u8 = 5;

/// More expected loss than this would starve the voice itself.
const MOST_EXPECTED_LOSS_PERCENT: u8 = 25;

/// Turns frames of mono sound into Opus packets of exactly the size asked for.
pub struct Encoder {
    opus: opus::Encoder,
    frame: Vec<f32>,
    expected_loss_percent: u8,
    lookahead_samples: usize,
}

impl Encoder {
    /// An encoder of frames of `ptime_ms`, prepared for packets of `packet_len` bytes.
    pub fn new(ptime_ms: u16, packet_len: usize) -> Result<Self, CodecError> {
        if !FRAME_DURATIONS_MS.contains(&ptime_ms) {
            return Err(CodecError::FrameDuration(ptime_ms));
        }
        let frame_samples = usize::from(ptime_ms) * SAMPLE_RATE_HZ as usize / 1_000;
        let bits_per_second = packet_len * 8 * 1_000 / usize::from(ptime_ms);
        let mut opus = configured(bits_per_second).map_err(|_| CodecError::Setup)?;
        let lookahead_samples = opus.get_lookahead().map_err(|_| CodecError::Setup)?.unsigned_abs() as usize;
        let mut encoder = Self { opus, frame: vec![0.0; frame_samples], expected_loss_percent: 0, lookahead_samples };
        encoder.set_expected_loss(0);
        Ok(encoder)
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.frame.len()
    }

    /// Encodes one frame into all of `packet`: constant bit rate, no byte more or less.
    pub fn encode(&mut self, pcm: &[f32], packet: &mut [u8]) -> Result<(), CodecError> {
        if pcm.len() != self.frame.len() {
            return Err(CodecError::FrameLength);
        }
        for (held, &sample) in self.frame.iter_mut().zip(pcm) {
            *held = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        self.encode_held(packet)
    }

    /// Encodes one frame of silence into all of `packet`: what muted and held calls send.
    pub fn encode_silence(&mut self, packet: &mut [u8]) -> Result<(), CodecError> {
        self.frame.fill(0.0);
        self.encode_held(packet)
    }

    /// Tells the encoder the loss the other side reports; it then gives in-band FEC more or fewer bits.
    pub fn set_expected_loss(&mut self, percent: u8) {
        let percent = percent.clamp(LEAST_EXPECTED_LOSS_PERCENT, MOST_EXPECTED_LOSS_PERCENT);
        if percent != self.expected_loss_percent && self.opus.set_packet_loss_perc(i32::from(percent)).is_ok() {
            self.expected_loss_percent = percent;
        }
    }

    /// Samples by which the decoded sound trails the captured sound.
    pub fn lookahead_samples(&self) -> usize {
        self.lookahead_samples
    }

    fn encode_held(&mut self, packet: &mut [u8]) -> Result<(), CodecError> {
        let written = self.opus.encode_float(&self.frame, packet).map_err(|_| CodecError::FrameLength)?;
        if written < packet.len() {
            // CBR gives the exact size; padding is the net below it, so that no size ever leaks.
            opus::packet::pad(packet, written).map_err(|_| CodecError::FrameLength)?;
        }
        Ok(())
    }
}

fn configured(bits_per_second: usize) -> opus::Result<opus::Encoder> {
    let mut opus = opus::Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Voip)?;
    opus.set_vbr(false)?;
    // With CBR, "maximum" means: all of the buffer handed in, whatever its length.
    opus.set_bitrate(Bitrate::Max)?;
    opus.set_dtx(false)?;
    opus.set_inband_fec(true)?;
    opus.set_complexity(COMPLEXITY)?;
    opus.set_signal(Signal::Voice)?;
    if bits_per_second <= WIDEBAND_UP_TO_BPS {
        opus.set_max_bandwidth(Bandwidth::Wideband)?;
    }
    Ok(opus)
}

//! Opus (RFC 6716) as this project speaks it: mono, 48 kHz, constant size, never DTX.
//!
//! [`Encoder`] fills exactly the bytes it is given, whatever is said or not said, because sizes that
//! follow the voice tell an observer language and phrases. [`Decoder`] adds what the plain
//! binding lacks: the complexity that switches deep loss concealment on.

mod decoder;
mod encoder;
mod libopus;

pub use decoder::{Decoder, MAX_PACKET_SAMPLES, has_fec, packet_samples};
pub use encoder::Encoder;

use thiserror::Error;

/// Frame durations a call may use, in milliseconds: whole Opus frames that keep delay low.
pub const FRAME_DURATIONS_MS: [u16; 4] = [10, 20, 40, 60];

/// Largest Opus packet this project reads: the largest single frame (RFC 6716 §3.4 R2) with room for
/// the padding a foreign phone may add; a media datagram is never larger.
pub const MAX_PACKET_LEN: usize = 1_300;

/// Why a codec could not be made or did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The frame duration is none of [`FRAME_DURATIONS_MS`].
    #[error("a frame of {0} ms cannot be used; choose 10, 20, 40 or 60 ms")]
    FrameDuration(u16),
    /// libopus could not be set up: out of memory or a setting it does not know.
    #[error("the Opus codec could not be started; free some memory and call again")]
    Setup,
    /// The input is not one frame, or the output has no room for a frame.
    #[error("the sound given to the Opus codec is not one whole frame")]
    FrameLength,
    /// The packet is not valid Opus.
    #[error("the packet is not valid Opus; it was dropped")]
    Packet,
}

#[cfg(test)]
mod tests;

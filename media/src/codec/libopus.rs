//! The only unsafe code of this crate: the libopus decoder calls that the `opus` crate does not offer.
//!
//! One owner ([`RawDecoder`]) holds the pointer from creation to destruction; every call checks the
//! lengths libopus relies on before it crosses.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::NonNull;

use super::CodecError;
use crate::SAMPLE_RATE_HZ;

/// A libopus decoder, mono, 48 kHz.
pub(super) struct RawDecoder {
    decoder: NonNull<opusic_sys::OpusDecoder>,
}

// SAFETY: a libopus decoder has no thread affinity and no shared state; `RawDecoder` owns it alone and
// every use needs `&mut self`, so it may move to another thread.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    /// Allocates a decoder; the only allocation libopus ever makes for it.
    pub(super) fn new() -> Result<Self, CodecError> {
        let mut error: c_int = 0;
        // SAFETY: plain values and a pointer to a live `c_int`; libopus returns null or an owned decoder.
        let decoder = unsafe { opusic_sys::opus_decoder_create(SAMPLE_RATE_HZ as i32, 1, &raw mut error) };
        match NonNull::new(decoder) {
            Some(decoder) if error == opusic_sys::OPUS_OK => Ok(Self { decoder }),
            Some(_) | None => Err(CodecError::Setup),
        }
    }

    /// Sets the decoder complexity (0–10): 5 and more turn deep loss concealment on.
    pub(super) fn set_complexity(&mut self, complexity: u8) -> Result<(), CodecError> {
        let complexity = c_int::from(complexity.min(10));
        // SAFETY: the decoder is live; this request takes exactly one `opus_int32` by value.
        let result = unsafe {
            opusic_sys::opus_decoder_ctl(self.decoder.as_ptr(), opusic_sys::OPUS_SET_COMPLEXITY_REQUEST, complexity)
        };
        if result == opusic_sys::OPUS_OK { Ok(()) } else { Err(CodecError::Setup) }
    }

    /// Decodes `packet` (or, when `None`, conceals a loss) into `pcm`, at most its length.
    pub(super) fn decode(&mut self, packet: Option<&[u8]>, pcm: &mut [f32], fec: bool) -> Result<usize, CodecError> {
        let room = c_int::try_from(pcm.len()).map_err(|_| CodecError::FrameLength)?;
        let (data, len) = match packet {
            Some([]) => return Err(CodecError::Packet),
            Some(bytes) => (bytes.as_ptr(), i32::try_from(bytes.len()).map_err(|_| CodecError::Packet)?),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: the decoder is live; `data` is null with length 0 (concealment) or points to `len`
        // readable bytes; `pcm` points to `room` writable mono samples, the bound libopus obeys.
        let written = unsafe {
            opusic_sys::opus_decode_float(self.decoder.as_ptr(), data, len, pcm.as_mut_ptr(), room, c_int::from(fec))
        };
        usize::try_from(written).map_err(|_| CodecError::Packet)
    }

    /// Forgets everything heard, as after creation.
    pub(super) fn reset(&mut self) {
        // SAFETY: the decoder is live; this request takes no argument.
        unsafe {
            opusic_sys::opus_decoder_ctl(self.decoder.as_ptr(), opusic_sys::OPUS_RESET_STATE);
        }
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: created by `opus_decoder_create`, destroyed once, not used afterwards.
        unsafe { opusic_sys::opus_decoder_destroy(self.decoder.as_ptr()) }
    }
}

/// Whether the packet carries a low-bit-rate copy of the frame before it.
pub(super) fn has_lbrr(packet: &[u8]) -> bool {
    let Ok(len) = i32::try_from(packet.len()) else { return false };
    if len == 0 {
        return false;
    }
    // SAFETY: `packet` points to `len` ≥ 1 readable bytes; the function only reads them.
    unsafe { opusic_sys::opus_packet_has_lbrr(packet.as_ptr(), len) == 1 }
}

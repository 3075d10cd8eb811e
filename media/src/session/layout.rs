//! How the bytes of a media packet are divided: constant for the whole call.
//!
//! Between our phones every payload is one RFC 2198 packet of 64 kb/s, whatever is said:
//!
//! ```text
//! 20 ms, 160 bytes:  | headers 5 | copy of the previous frame 77 | this frame 77 | padding 1 |
//! with an event:     | headers 9 | copy 77 | event 4 | this frame 70 |
//! ```
//!
//! Both halves are equal because the copy *is* the previous packet's frame: decoding it gives what was
//! lost bit for bit and leaves the decoder where it should be, which a second, poorer encoding would not,
//! and it costs no second encoder. 77 bytes are 30.8 kb/s: clean wideband speech, at one packet lost
//! in a row without any damage, and two in a row with the in-band FEC that the copy carries in turn.

use crate::rtp::HEADER_LEN;
use crate::rtp::red::{BLOCK_HEADER_LEN, LAST_HEADER_LEN};
use crate::rtp::telephone_event::EVENT_LEN;

/// Payload rate between our phones: bytes per millisecond (64 kb/s).
const BYTES_PER_MS: usize = 8;

/// Payload rate towards foreign phones, without a copy: 48 kb/s, full audio bandwidth.
const FOREIGN_BYTES_PER_MS: usize = 6;

/// Sizes of one call's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// RTP payload of every packet (towards foreign phones: of every packet with sound).
    pub(super) payload_len: usize,
    /// One Opus frame.
    pub(super) frame_len: usize,
    /// One Opus frame beside an event.
    pub(super) frame_len_beside_event: usize,
}

impl Layout {
    /// Packets with a copy of the previous frame.
    pub(super) fn redundant(ptime_ms: u16) -> Self {
        let payload_len = usize::from(ptime_ms) * BYTES_PER_MS;
        let frame_len = (payload_len - BLOCK_HEADER_LEN - LAST_HEADER_LEN) / 2;
        let event = BLOCK_HEADER_LEN + EVENT_LEN;
        let others = BLOCK_HEADER_LEN + frame_len + event + LAST_HEADER_LEN;
        Self { payload_len, frame_len, frame_len_beside_event: payload_len - others }
    }

    /// Packets of plain Opus.
    pub(super) fn plain(ptime_ms: u16) -> Self {
        let payload_len = usize::from(ptime_ms) * FOREIGN_BYTES_PER_MS;
        Self { payload_len, frame_len: payload_len, frame_len_beside_event: payload_len }
    }

    /// An RTP packet before protection.
    pub(super) fn rtp_len(&self) -> usize {
        HEADER_LEN + self.payload_len
    }

    /// An RTCP packet before protection that is as long after it: SRTCP adds four bytes more.
    pub(super) fn rtcp_len(&self) -> usize {
        self.rtp_len() - 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_duration_gives_a_layout_that_fits() {
        for ptime_ms in crate::codec::FRAME_DURATIONS_MS {
            let layout = Layout::redundant(ptime_ms);
            assert!(5 + 2 * layout.frame_len <= layout.payload_len);
            assert!(layout.frame_len_beside_event >= 29 && layout.frame_len_beside_event <= layout.frame_len);
            assert!(layout.rtcp_len().is_multiple_of(4), "RTCP counts in words");
            assert!(layout.payload_len * 8 * 1_000 / usize::from(ptime_ms) <= 64_000);
        }
        let usual = Layout::redundant(20);
        assert_eq!((usual.payload_len, usual.frame_len, usual.frame_len_beside_event), (160, 77, 70));
    }
}

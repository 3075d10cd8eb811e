//! As much of an RTP (RFC 3550 §5.1) or RTCP (§6.1) header as protection needs: where the
//! encrypted part begins, which source sent it, and its sequence number.

/// Fixed part of an RTP header.
const RTP_FIXED_LEN: usize = 12;
/// First word and SSRC, which stay readable in SRTCP (RFC 3711 §3.4).
pub(super) const RTCP_HEADER_LEN: usize = 8;

/// Whether a datagram of a muxed flow whose first byte is 128–191 is RTCP (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// What protection reads from an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RtpHeader {
    /// Up to here a packet is authenticated but readable.
    pub(super) len: usize,
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
}

impl RtpHeader {
    /// Reads the header; `None` unless CSRCs and extension lie inside the packet.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; RTP_FIXED_LEN] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = RTP_FIXED_LEN + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension = packet.get(len..len + 4)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        (len <= packet.len()).then_some(Self {
            len,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        })
    }
}

/// The source of an RTCP compound packet; `None` unless the header is whole.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let header: &[u8; RTCP_HEADER_LEN] = packet.first_chunk()?;
    (header[0] >> 6 == 2).then(|| u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn csrcs_and_extension_belong_to_the_header() {
        let mut packet = vec![0x92, 111, 0x12, 0x34, 0, 0, 0, 0, 1, 2, 3, 4];
        packet.extend([0; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header, RtpHeader { len: 28, sequence: 0x1234, ssrc: 0x0102_0304 });
        assert_eq!(RtpHeader::parse(&packet[..27]), None);
    }

    #[test]
    fn the_second_byte_tells_rtcp_from_rtp() {
        assert!(is_rtcp(&[0x80, 200]));
        assert!(!is_rtcp(&[0x80, 111]));
        assert!(!is_rtcp(&[0x80, 0x80 | 111]));
        assert!(!is_rtcp(&[0x80]));
    }
}

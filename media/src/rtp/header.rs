//! The RTP header, RFC 3550 §5.1, read from and written into a datagram without a copy.
//!
//! ```text
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! ```

use std::ops::Range;

/// Length of a header without contributing sources or extension: the only kind this project writes.
pub const HEADER_LEN: usize = 12;

const VERSION: u8 = 2;

/// The fields of an RTP header that a receiver of one voice needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is, by the numbers agreed in SDP.
    pub payload_type: u8,
    /// Start of a talk spurt or of an event; always clear between our phones.
    pub marker: bool,
    /// Counts packets, modulo 2^16.
    pub sequence: u16,
    /// Position of the first sample in the sender's stream, modulo 2^32, at 48 kHz.
    pub timestamp: u32,
    /// The sender's random source identifier.
    pub ssrc: u32,
}

/// A parsed packet: its header and where in the datagram its payload lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The header's fields.
    pub header: Header,
    /// Payload without contributing sources, extension and padding.
    pub payload: Range<usize>,
}

impl Header {
    /// Writes the header to the first [`HEADER_LEN`] bytes of `datagram`; false if it is shorter.
    pub fn write(&self, datagram: &mut [u8]) -> bool {
        let Some(out) = datagram.first_chunk_mut::<HEADER_LEN>() else { return false };
        out[0] = VERSION << 6;
        out[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        true
    }
}

impl Packet {
    /// Reads a decrypted datagram; `None` where a length or the version does not fit.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let fixed = datagram.first_chunk::<HEADER_LEN>()?;
        if fixed[0] >> 6 != VERSION {
            return None;
        }
        let header = Header {
            payload_type: fixed[1] & 0x7f,
            marker: fixed[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        let start = payload_start(datagram, fixed[0])?;
        let end = payload_end(datagram, fixed[0])?;
        (start <= end).then_some(Self { header, payload: start..end })
    }
}

fn payload_start(datagram: &[u8], first: u8) -> Option<usize> {
    let sources_end = HEADER_LEN + usize::from(first & 0x0f) * 4;
    if first & 0x10 == 0 {
        return (sources_end <= datagram.len()).then_some(sources_end);
    }
    // §5.3.1: profile (2), length in words (2), words.
    let extension = datagram.get(sources_end..)?.first_chunk::<4>()?;
    let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    let end = sources_end + 4 + words * 4;
    (end <= datagram.len()).then_some(end)
}

fn payload_end(datagram: &[u8], first: u8) -> Option<usize> {
    if first & 0x20 == 0 {
        return Some(datagram.len());
    }
    let padding = usize::from(*datagram.last()?);
    if padding == 0 {
        return None;
    }
    datagram.len().checked_sub(padding)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { payload_type: 111, marker: true, sequence: 7, timestamp: 9, ssrc: 0xdead_beef };

    #[test]
    fn a_written_header_reads_back() {
        let mut datagram = [0u8; 20];
        assert!(HEADER.write(&mut datagram));
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!((packet.header, packet.payload), (HEADER, 12..20));
        assert!(!HEADER.write(&mut [0u8; 11]));
    }

    #[test]
    fn sources_extension_and_padding_are_cut_off() {
        let mut datagram = vec![0u8; 12];
        HEADER.write(&mut datagram);
        datagram[0] |= 0x20 | 0x10 | 2;
        datagram.extend([0; 8]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        datagram.extend([42, 43, 0, 2]);
        assert_eq!(Packet::parse(&datagram).unwrap().payload, 28..30);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let mut padded = vec![0u8; 13];
        HEADER.write(&mut padded);
        padded[0] |= 0x20;
        padded[12] = 200;
        assert_eq!(Packet::parse(&padded), None);
        padded[12] = 0;
        assert_eq!(Packet::parse(&padded), None);
        let mut extended = vec![0u8; 16];
        HEADER.write(&mut extended);
        extended[0] |= 0x10;
        extended[14] = 0xff;
        assert_eq!(Packet::parse(&extended), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_payload_inside_the_datagram(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.start <= packet.payload.end);
                prop_assert!(packet.payload.end <= bytes.len());
            }
        }
    }
}

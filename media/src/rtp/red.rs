//! Redundant payload (RFC 2198 §3): several blocks in one packet, the last one is the newest sound.
//!
//! ```text
//! |1|  block PT   |  timestamp offset (14)  | block length (10) |   every block but the last
//! |0|  block PT   |                                                 the last block
//! ```

/// Bytes in front of the data that every block but the last costs.
pub const BLOCK_HEADER_LEN: usize = 4;

/// Byte in front of the data that the last block costs.
pub const LAST_HEADER_LEN: usize = 1;

/// Our phones send three blocks at most (copy, event, sound); a few more from others are tolerated,
/// a header of hundreds of blocks is not.
pub const MAX_BLOCKS: usize = 6;

/// Largest distance into the past a block can express (14 bits of samples: 341 ms).
pub const MAX_TIMESTAMP_OFFSET: u32 = (1 << 14) - 1;

/// Largest length of a block that is not the last (10 bits).
pub const MAX_BLOCK_LEN: usize = (1 << 10) - 1;

/// One block of a redundant payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block<'a> {
    /// What the block is, by the numbers agreed in SDP.
    pub payload_type: u8,
    /// How many samples older than the packet's timestamp the block is.
    pub timestamp_offset: u32,
    /// The block's bytes.
    pub data: &'a [u8],
}

/// The blocks of one packet, oldest first as they were sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocks<'a> {
    blocks: [Block<'a>; MAX_BLOCKS],
    count: usize,
}

impl<'a> Blocks<'a> {
    /// All blocks; the last is the packet's own sound.
    pub fn as_slice(&self) -> &[Block<'a>] {
        &self.blocks[..self.count]
    }
}

/// Splits a payload into blocks; `None` if a length does not fit or there are too many blocks.
pub fn parse(payload: &[u8]) -> Option<Blocks<'_>> {
    let mut lengths = [0usize; MAX_BLOCKS];
    let mut parsed = Blocks::default();
    let mut rest = payload;
    loop {
        let slot = parsed.blocks.get_mut(parsed.count)?;
        let &first = rest.first()?;
        slot.payload_type = first & 0x7f;
        if first & 0x80 == 0 {
            rest = &rest[LAST_HEADER_LEN..];
            break;
        }
        let header = rest.first_chunk::<BLOCK_HEADER_LEN>()?;
        let word = u32::from_be_bytes(*header);
        slot.timestamp_offset = (word >> 10) & MAX_TIMESTAMP_OFFSET;
        lengths[parsed.count] = (word & 0x3ff) as usize;
        parsed.count += 1;
        rest = &rest[BLOCK_HEADER_LEN..];
    }
    for (block, &length) in parsed.blocks.iter_mut().zip(&lengths).take(parsed.count) {
        (block.data, rest) = rest.split_at_checked(length)?;
    }
    parsed.blocks[parsed.count].data = rest;
    parsed.count += 1;
    Some(parsed)
}

/// Writes block headers and returns where the data goes: every block but the last as
/// (payload type, timestamp offset, length), then the last block's payload type.
/// `None` where a value does not fit its field or the payload is too short.
pub fn write_headers(payload: &mut [u8], older: &[(u8, u32, usize)], last: u8) -> Option<usize> {
    let mut at = 0;
    for &(payload_type, offset, length) in older {
        if offset > MAX_TIMESTAMP_OFFSET || length > MAX_BLOCK_LEN {
            return None;
        }
        let word = (1 << 31) | (u32::from(payload_type & 0x7f) << 24) | (offset << 10) | length as u32;
        payload.get_mut(at..at + BLOCK_HEADER_LEN)?.copy_from_slice(&word.to_be_bytes());
        at += BLOCK_HEADER_LEN;
    }
    *payload.get_mut(at)? = last & 0x7f;
    Some(at + LAST_HEADER_LEN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_blocks_read_back() {
        let mut payload = [0u8; 20];
        let at = write_headers(&mut payload, &[(111, 960, 4), (101, 0, 2)], 111).unwrap();
        for (i, byte) in payload[at..].iter_mut().enumerate() {
            *byte = i as u8;
        }
        let blocks = parse(&payload).unwrap();
        assert_eq!(
            blocks.as_slice(),
            [
                Block { payload_type: 111, timestamp_offset: 960, data: &[0, 1, 2, 3] },
                Block { payload_type: 101, timestamp_offset: 0, data: &[4, 5] },
                Block { payload_type: 111, timestamp_offset: 0, data: &[6, 7, 8, 9, 10] },
            ]
        );
    }

    #[test]
    fn values_beyond_their_field_are_not_written() {
        let mut payload = [0u8; 20];
        assert_eq!(write_headers(&mut payload, &[(1, MAX_TIMESTAMP_OFFSET + 1, 1)], 1), None);
        assert_eq!(write_headers(&mut payload, &[(1, 0, MAX_BLOCK_LEN + 1)], 1), None);
        assert_eq!(write_headers(&mut [0; 4], &[(1, 0, 1)], 1), None);
    }

    #[test]
    fn a_block_longer_than_the_packet_is_refused() {
        let mut payload = [0u8; 9];
        write_headers(&mut payload, &[(111, 960, 5)], 111).unwrap();
        assert!(parse(&payload).is_none());
    }

    #[test]
    fn an_endless_chain_of_blocks_is_refused() {
        let header = [0x80 | 111, 0, 0, 0];
        let mut payload = header.repeat(MAX_BLOCKS);
        payload.push(111);
        assert!(parse(&payload).is_none());
        let mut payload = header.repeat(MAX_BLOCKS - 1);
        payload.push(111);
        assert_eq!(parse(&payload).unwrap().as_slice().len(), MAX_BLOCKS);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_blocks_inside_the_payload(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(blocks) = parse(&bytes) {
                let total: usize = blocks.as_slice().iter().map(|block| block.data.len()).sum();
                prop_assert!(total < bytes.len());
            }
        }
    }
}

//! The frames on the wire: `"VFPQ" ‖ type(1) ‖ number(1) ‖ len(2) ‖ octets`, one per record.
//!
//! | type | from | octets |
//! | --- | --- | --- |
//! | 1 | I | half `number` of the encapsulation key, 592 |
//! | 2 | R | half `number` of the ciphertext, 544 |
//! | 3 | R | none: half `number` of the encapsulation key has arrived |
//! | 4 | I | none: half `number` of the ciphertext has arrived |

/// First octets of every frame; VFY1's start differently.
pub const MAGIC: &[u8; 4] = b"VFPQ";
/// Length of the header.
const HEADER_LEN: usize = 8;
/// Parts of either message: whole it would not fit a datagram on every path.
pub(super) const FRAGMENTS: usize = 2;

/// Which of the two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// `ek`, from the initiator.
    EncapsulationKey,
    /// `ct`, from the responder.
    Ciphertext,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A part of a message.
    Fragment { of: Message, number: usize, octets: &'a [u8] },
    /// That part has arrived.
    Acknowledgement { of: Message, number: usize },
}

impl Message {
    /// Whole length (FIPS 203 table 3).
    pub(super) const fn len(self) -> usize {
        match self {
            Message::EncapsulationKey => 1_184,
            Message::Ciphertext => 1_088,
        }
    }

    /// Length of each part.
    pub(super) const fn fragment_len(self) -> usize {
        self.len() / FRAGMENTS
    }

    fn fragment_type(self) -> u8 {
        match self {
            Message::EncapsulationKey => 1,
            Message::Ciphertext => 2,
        }
    }

    fn acknowledgement_type(self) -> u8 {
        match self {
            Message::EncapsulationKey => 3,
            Message::Ciphertext => 4,
        }
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame; `None` for anything that is not exactly one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, octets) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [m0, m1, m2, m3, kind, number, high, low] = *header;
        let number = usize::from(number);
        let announced = usize::from(u16::from_be_bytes([high, low]));
        if [m0, m1, m2, m3] != *MAGIC || number >= FRAGMENTS || announced != octets.len() {
            return None;
        }
        let frame = match kind {
            1 => Self::Fragment { of: Message::EncapsulationKey, number, octets },
            2 => Self::Fragment { of: Message::Ciphertext, number, octets },
            3 => Self::Acknowledgement { of: Message::EncapsulationKey, number },
            4 => Self::Acknowledgement { of: Message::Ciphertext, number },
            0 | 5.. => return None,
        };
        (octets.len() == frame.octets_len()).then_some(frame)
    }

    /// The frame as it is sent.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (kind, number, octets): (u8, usize, &[u8]) = match self {
            Self::Fragment { of, number, octets } => (of.fragment_type(), number, octets),
            Self::Acknowledgement { of, number } => (of.acknowledgement_type(), number, &[]),
        };
        debug_assert!(number < FRAGMENTS && octets.len() == self.octets_len());
        let mut out = Vec::with_capacity(HEADER_LEN + octets.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[kind, number as u8]);
        out.extend_from_slice(&(octets.len() as u16).to_be_bytes());
        out.extend_from_slice(octets);
        out
    }

    fn octets_len(&self) -> usize {
        match self {
            Self::Fragment { of, .. } => of.fragment_len(),
            Self::Acknowledgement { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MESSAGES: [Message; 2] = [Message::EncapsulationKey, Message::Ciphertext];

    #[test]
    fn a_frame_reads_back_as_what_was_written_and_fits_one_record() {
        for of in MESSAGES {
            let octets = vec![7; of.fragment_len()];
            for number in 0..FRAGMENTS {
                let fragment = Frame::Fragment { of, number, octets: &octets };
                assert_eq!(Frame::read(&fragment.to_bytes()), Some(fragment));
                assert!(fragment.to_bytes().len() <= 900, "fragments are at most 900 octets");
                let acknowledgement = Frame::Acknowledgement { of, number };
                assert_eq!(Frame::read(&acknowledgement.to_bytes()), Some(acknowledgement));
            }
        }
    }

    #[test]
    fn the_first_octets_are_as_documented() {
        let half = vec![0; 592];
        let frame = Frame::Fragment { of: Message::EncapsulationKey, number: 1, octets: &half };
        assert_eq!(frame.to_bytes()[..8], *b"VFPQ\x01\x01\x02\x50");
        let frame = Frame::Acknowledgement { of: Message::Ciphertext, number: 0 };
        assert_eq!(frame.to_bytes(), b"VFPQ\x04\x00\x00\x00");
    }

    #[test]
    fn wrong_magic_type_number_or_length_is_no_frame() {
        let half = vec![0; Message::Ciphertext.fragment_len()];
        let good = Frame::Fragment { of: Message::Ciphertext, number: 0, octets: &half }.to_bytes();
        for (at, wrong) in [(0, b'v'), (3, b'1'), (4, 0), (4, 1), (4, 3), (4, 5), (4, 255), (5, 2), (6, 3), (7, 0)] {
            let mut bytes = good.clone();
            bytes[at] = wrong;
            assert_eq!(Frame::read(&bytes), None, "octet {at} = {wrong}");
        }
        for len in 0..good.len() {
            assert_eq!(Frame::read(&good[..len]), None, "cut to {len}");
        }
        assert_eq!(Frame::read(&[good.as_slice(), &[0]].concat()), None, "one octet too many");
        // A length that is consistent but not that of the type.
        let mut short = good[..8 + 100].to_vec();
        short[6..8].copy_from_slice(&100_u16.to_be_bytes());
        assert_eq!(Frame::read(&short), None);
    }
}

//! The messages on the wire: `"VFY1" ‖ type(1) ‖ 0 ‖ len(2) ‖ body`, one per record. Four make a run; a fifth, without
//! a body, may follow it.

use super::failure::Failure;

/// First octets of every message; other data in the channel starts differently.
pub const MAGIC: &[u8; 4] = b"VFY1";
/// Length of the header.
const HEADER_LEN: usize = 8;

/// Body lengths of the four messages.
pub(super) const M1_LEN: usize = 64;
pub(super) const CORE2_LEN: usize = 132;
pub(super) const M2_LEN: usize = CORE2_LEN + 32;
pub(super) const M3_LEN: usize = 148;
pub(super) const M4_LEN: usize = 32;

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    M1 = 1,
    M2 = 2,
    M3 = 3,
    M4 = 4,
    /// R to I, after the run: another phone used this link before.
    LinkUsed = 16,
}

impl Kind {
    fn body_len(self) -> usize {
        match self {
            Kind::M1 => M1_LEN,
            Kind::M2 => M2_LEN,
            Kind::M3 => M3_LEN,
            Kind::M4 => M4_LEN,
            Kind::LinkUsed => 0,
        }
    }
}

/// Header and body of one message.
pub(super) fn frame(kind: Kind, body: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + kind.body_len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[kind as u8, 0]);
    out.extend_from_slice(&(kind.body_len() as u16).to_be_bytes());
    for part in body {
        out.extend_from_slice(part);
    }
    debug_assert_eq!(out.len(), HEADER_LEN + kind.body_len());
    out
}

/// Splits a frame; its length must be exactly that of its kind.
pub(super) fn open(frame: &[u8]) -> Result<(Kind, &[u8]), Failure> {
    let (header, body) = frame.split_at_checked(HEADER_LEN).ok_or(Failure::Malformed)?;
    let kind = match header[4] {
        1 => Kind::M1,
        2 => Kind::M2,
        3 => Kind::M3,
        4 => Kind::M4,
        16 => Kind::LinkUsed,
        0 | 5..=15 | 17.. => return Err(Failure::Malformed),
    };
    let announced = usize::from(u16::from_be_bytes([header[6], header[7]]));
    let right = &header[..4] == MAGIC && header[5] == 0 && announced == body.len() && body.len() == kind.body_len();
    if right { Ok((kind, body)) } else { Err(Failure::Malformed) }
}

/// The first `N` octets of `body`, which [`open`] has found long enough, advancing it.
pub(super) fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], Failure> {
    let (head, rest) = body.split_first_chunk().ok_or(Failure::Malformed)?;
    *body = rest;
    Ok(*head)
}

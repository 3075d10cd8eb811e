//! A connectivity check: the STUN binding request by which a leg proves itself (RFC 8445 §7.3, RFC 8489 §9.1).
//!
//! ```text
//!   header, USERNAME "gateway's ufrag:phone's ufrag", PRIORITY, role, USE-CANDIDATE …, MESSAGE-INTEGRITY, FINGERPRINT
//! ```
//! The shape is checked here first and strictly, because it comes from strangers: attributes end exactly with the
//! datagram, and after the integrity code only a fingerprint may follow. Role attributes and unknown ones are accepted
//! as they are: a lite agent has no role conflict that it could repair (RFC 8445 §7.3.1.1).

use super::credentials::UFRAG_LEN;
use std::net::SocketAddr;
use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageWrite, MessageWriteExt, MessageWriteMutSlice,
};

const HEADER_LEN: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const FINGERPRINT: u16 = 0x8028;

/// The longest answer: header, an IPv6 XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY-SHA256, FINGERPRINT.
const MAX_ANSWER_LEN: usize = 20 + 24 + 36 + 8;

/// A well-formed binding request with a user name; not yet authentic.
pub(super) struct Check<'a> {
    bytes: &'a [u8],
    ufrag: [u8; UFRAG_LEN],
}

/// A binding request whose integrity code was right.
pub(super) struct AuthenticCheck<'a> {
    message: Message<'a>,
    algorithm: IntegrityAlgorithm,
}

impl<'a> Check<'a> {
    /// Reads the shape and the first half of the user name.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER_LEN)?;
        let declared = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE || declared != rest.len() {
            return None;
        }
        let mut ufrag = None;
        let mut integrity = None;
        let mut ended = false;
        while !rest.is_empty() {
            let (head, after) = rest.split_at_checked(4)?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = after.get(..len)?;
            rest = after.get(len.next_multiple_of(4)..)?;
            match kind {
                _ if ended => return None,
                FINGERPRINT if len == 4 => ended = true,
                _ if integrity.is_some() => return None,
                MESSAGE_INTEGRITY if len == 20 => integrity = Some(IntegrityAlgorithm::Sha1),
                MESSAGE_INTEGRITY_SHA256 if len == 32 => integrity = Some(IntegrityAlgorithm::Sha256),
                FINGERPRINT | MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => return None,
                USERNAME if ufrag.is_none() => ufrag = Some(own_half(value)?),
                USERNAME => return None,
                _ => {}
            }
        }
        integrity?;
        Some(Self { bytes, ufrag: ufrag? })
    }

    /// Whom the check is for.
    pub(super) fn ufrag(&self) -> &[u8; UFRAG_LEN] {
        &self.ufrag
    }

    /// Checks integrity code and, where there is one, fingerprint.
    pub(super) fn authenticate(&self, key: &IntegrityKey) -> Option<AuthenticCheck<'a>> {
        let message = Message::from_bytes(self.bytes).ok()?;
        if message.method() != BINDING {
            return None;
        }
        let algorithm = message.validate_integrity_with_key(key).ok()?;
        Some(AuthenticCheck { message, algorithm })
    }
}

impl AuthenticCheck<'_> {
    /// The number that makes this check different from all others.
    pub(super) fn transaction(&self) -> u128 {
        self.message.transaction_id().into()
    }

    /// The success response: the address as seen, protected like the request; no SOFTWARE.
    ///
    /// `None` if it would be longer than the request, which no ICE agent's is: whoever forges a source address
    /// cannot make the relay send more than he sent.
    pub(super) fn answer(&self, seen: SocketAddr, key: &IntegrityKey) -> Option<Answer> {
        let mut answer = Answer { bytes: [0; MAX_ANSWER_LEN], len: 0 };
        let seen = SocketAddr::new(seen.ip().to_canonical(), seen.port());
        let mapped = XorMappedAddress::new(seen, self.message.transaction_id());
        let mut writer = Message::builder_success(&self.message, MessageWriteMutSlice::new(&mut answer.bytes));
        writer.add_attribute(&mapped).ok()?;
        writer.add_message_integrity_with_key(key, self.algorithm).ok()?;
        writer.add_fingerprint().ok()?;
        answer.len = writer.finish();
        (answer.len <= self.message.as_bytes().len()).then_some(answer)
    }
}

/// A response ready to be sent.
pub(super) struct Answer {
    bytes: [u8; MAX_ANSWER_LEN],
    len: usize,
}

impl Answer {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The gateway's user name fragment: what stands before the colon (RFC 8445 §7.2.2).
fn own_half(username: &[u8]) -> Option<[u8; UFRAG_LEN]> {
    let (own, rest) = username.split_first_chunk::<UFRAG_LEN>()?;
    (rest.first() == Some(&b':')).then_some(*own)
}

//! Looks at DTLS records from outside: RFC 6347 §4.1 headers and the unified header of RFC 9147 §4.
//!
//! Used to keep what cannot be a record away from the engines, and to see which handshake message a
//! plaintext record carries.

/// Longest datagram taken: an Ethernet frame with room for tunnels that reassemble.
pub(super) const MAX_DATAGRAM_LEN: usize = 2048;
/// Records in one datagram: the longest flight of a handshake has fewer.
const MAX_RECORDS: usize = 16;
const HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
/// Acknowledgement of RFC 9147 §7.
const ACK: u8 = 26;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Which record headers a datagram may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    /// 13-byte headers only: DTLS 1.2.
    Long,
    /// Both kinds: DTLS 1.3 during its handshake, which encrypts in epochs 2 and 3 only.
    LongAndUnified,
    /// Unified headers only: DTLS 1.3 afterwards. Anything else is not authenticated.
    Unified,
}

/// Whether a datagram consists of whole, plausible records.
pub(super) fn is_plausible(datagram: &[u8], headers: Headers) -> bool {
    is_plausible_and(datagram, headers, |_| true)
}

/// Whether it does, and each record with a 13-byte header is one the caller accepts.
pub(super) fn is_plausible_and(datagram: &[u8], headers: Headers, accepts: impl Fn(&Record<'_>) -> bool) -> bool {
    if datagram.is_empty() || datagram.len() > MAX_DATAGRAM_LEN {
        return false;
    }
    let mut rest = datagram;
    for _ in 0..MAX_RECORDS {
        let len = if is_unified(rest[0]) {
            let known_epoch = headers != Headers::LongAndUnified || rest[0] & 0x03 >= 2;
            (headers != Headers::Long && known_epoch).then(|| unified_len(rest)).flatten()
        } else {
            (headers != Headers::Unified).then(|| long_len(rest)).flatten()
        };
        let Some(next) = len.and_then(|len| rest.get(len..)) else {
            return false;
        };
        if !is_unified(rest[0]) && !Record::all(rest).take(1).all(|record| accepts(&record)) {
            return false;
        }
        if next.is_empty() {
            return true;
        }
        rest = next;
    }
    false
}

/// The records of a plausible datagram, one by one.
pub(super) fn split(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let unified = is_unified(*rest.first()?);
        let len = if unified { unified_len(rest) } else { long_len(rest) };
        let (record, next) = rest.split_at_checked(len?)?;
        rest = next;
        Some(record)
    })
}

/// One record with a 13-byte header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) content_type: u8,
    pub(super) epoch: u16,
    /// The record with its header.
    pub(super) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The records at the start of a datagram, up to the first that has no 13-byte header.
    pub(super) fn all(datagram: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        let mut rest = datagram;
        std::iter::from_fn(move || {
            let len = long_len(rest)?;
            let (bytes, next) = rest.split_at_checked(len)?;
            rest = next;
            let epoch = u16::from_be_bytes([bytes[3], bytes[4]]);
            Some(Record { content_type: bytes[0], epoch, bytes })
        })
    }

    /// The handshake message fragments of a plaintext record.
    pub(super) fn fragments(&self) -> impl Iterator<Item = Fragment<'a>> + use<'a> {
        let readable = self.content_type == HANDSHAKE && self.epoch == 0;
        let mut rest = if readable { &self.bytes[HEADER_LEN..] } else { &[] };
        std::iter::from_fn(move || {
            let header: &[u8; HANDSHAKE_HEADER_LEN] = rest.first_chunk()?;
            let len = u24(&header[9..12]);
            let (message, next) = rest.split_at_checked(HANDSHAKE_HEADER_LEN + len)?;
            rest = next;
            Some(Fragment {
                kind: header[0],
                message_len: u24(&header[1..4]),
                message_sequence: u16::from_be_bytes([header[4], header[5]]),
                offset: u24(&header[6..9]),
                bytes: message,
            })
        })
    }
}

/// A handshake message or a part of one (RFC 6347 §4.2.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) kind: u8,
    pub(super) message_len: usize,
    pub(super) message_sequence: u16,
    pub(super) offset: usize,
    /// With the handshake header.
    pub(super) bytes: &'a [u8],
}

impl Fragment<'_> {
    /// Whether it is all of its message.
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.len() == self.message_len
    }

    /// Without the handshake header.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[HANDSHAKE_HEADER_LEN..]
    }

    /// Bytes of the message in this fragment.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - HANDSHAKE_HEADER_LEN
    }
}

fn is_unified(first: u8) -> bool {
    first & 0xe0 == 0x20
}

/// Length of a record with a unified header; connection identifiers are not used.
fn unified_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first & 0x10 != 0 {
        return None;
    }
    let sequence_len = if first & 0x08 != 0 { 2 } else { 1 };
    if first & 0x04 == 0 {
        return (bytes.len() > 1 + sequence_len).then_some(bytes.len());
    }
    let len = bytes.get(1 + sequence_len..3 + sequence_len)?;
    Some(3 + sequence_len + usize::from(u16::from_be_bytes([len[0], len[1]])))
}

fn long_len(bytes: &[u8]) -> Option<usize> {
    let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
    let known_type = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&header[0]) || header[0] == ACK;
    // 254.255 is DTLS 1.0, which a ClientHello record may carry (RFC 6347 §4.1).
    let known_version = header[1] == 254 && matches!(header[2], 253 | 255);
    let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
    (known_type && known_version && len > 0).then_some(HEADER_LEN + len)
}

fn u24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_records_of_known_type_and_version_are_plausible() {
        let hello = record(HANDSHAKE, &[1; 20]);
        assert!(is_plausible(&hello, Headers::Long));
        assert!(is_plausible(&[hello.clone(), hello.clone()].concat(), Headers::LongAndUnified));
        assert!(!is_plausible(&hello, Headers::Unified));
        assert!(!is_plausible(&hello[..hello.len() - 1], Headers::Long));
        assert!(!is_plausible(&[&hello[..], &[0x16]].concat(), Headers::Long));
        assert!(!is_plausible(&record(24, &[1; 20]), Headers::Long));
        assert!(!is_plausible(&[], Headers::Long));
        assert!(!is_plausible(&[0; MAX_DATAGRAM_LEN + 1], Headers::Long));
        assert!(!is_plausible(&hello.repeat(17), Headers::Long));
        assert!(is_plausible(&[0x2f, 0, 1, 0, 2, 9, 9], Headers::Unified));
        assert!(!is_plausible(&[0x2f, 0, 1, 0, 3, 9, 9], Headers::Unified));
        assert!(!is_plausible(&[0x3f, 0, 1, 0, 2, 9, 9], Headers::Unified));
        assert!(!is_plausible(&[0x2f, 0, 1, 0, 2, 9, 9], Headers::Long));
        assert!(is_plausible(&[0x2e, 0, 1, 0, 2, 9, 9], Headers::LongAndUnified));
        assert!(!is_plausible(&[0x2d, 0, 1, 0, 2, 9, 9], Headers::LongAndUnified));
    }

    proptest! {
        #[test]
        fn no_bytes_from_the_network_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), first in 20_u8..64) {
            for datagram in [bytes.clone(), std::iter::once(first).chain(bytes.iter().copied()).collect()] {
                for headers in [Headers::Long, Headers::LongAndUnified, Headers::Unified] {
                    is_plausible(&datagram, headers);
                }
                split(&datagram).for_each(drop);
                Record::all(&datagram).flat_map(|record| record.fragments()).for_each(drop);
            }
        }
    }

    fn record(content_type: u8, body: &[u8]) -> Vec<u8> {
        let len = u8::try_from(body.len()).unwrap_or(u8::MAX);
        [&[content_type, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, len][..], body].concat()
    }
}

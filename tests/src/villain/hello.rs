//! The first message of a DTLS handshake, rewritten so that it asks for less (RFC 6347 §4.3.2, RFC 5764 §4.1.1,
//! RFC 8446 §4.2.1).

/// A handshake record.
const HANDSHAKE: u8 = 22;
/// A ClientHello inside it, and where its type stands: behind the record header of 13 octets.
const CLIENT_HELLO: u8 = 1;
const TYPE_AT: usize = 13;
/// `use_srtp`.
const USE_SRTP: [u8; 2] = [0, 14];
/// `supported_versions`.
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];
/// SRTP_AES128_CM_HMAC_SHA1_80.
const WEAKEST_PROFILE: [u8; 2] = [0, 1];
/// DTLS 1.3 and 1.2.
const DTLS_13: [u8; 2] = [0xfe, 0xfc];
const DTLS_12: [u8; 2] = [0xfe, 0xfd];

/// Asks for the weakest protection of packets only. Whether anything was changed.
pub(super) fn weaken_profile(datagram: &mut [u8]) -> bool {
    let Some(at) = extension(datagram, USE_SRTP) else { return false };
    let length = usize::from(u16::from_be_bytes([datagram[at + 4], datagram[at + 5]]));
    let Some(profiles) = datagram.get_mut(at + 6..at + 6 + length) else { return false };
    profiles.chunks_exact_mut(2).for_each(|profile| profile.copy_from_slice(&WEAKEST_PROFILE));
    true
}

/// Asks for DTLS 1.2 only. Whether anything was changed.
pub(super) fn weaken_version(datagram: &mut [u8]) -> bool {
    let Some(at) = extension(datagram, SUPPORTED_VERSIONS) else { return false };
    let length = usize::from(datagram[at + 4]);
    let Some(versions) = datagram.get_mut(at + 5..at + 5 + length) else { return false };
    let mut changed = false;
    for version in versions.chunks_exact_mut(2).filter(|version| **version == DTLS_13) {
        version.copy_from_slice(&DTLS_12);
        changed = true;
    }
    changed
}

/// Where this extension of a ClientHello begins. Its type is looked for, and its two lengths must fit each other.
fn extension(datagram: &[u8], kind: [u8; 2]) -> Option<usize> {
    let is_hello = datagram.first() == Some(&HANDSHAKE) && datagram.get(TYPE_AT) == Some(&CLIENT_HELLO);
    let fits = |at: usize| {
        let outer = usize::from(u16::from_be_bytes([datagram[at + 2], datagram[at + 3]]));
        let inner = match kind {
            USE_SRTP => usize::from(u16::from_be_bytes([datagram[at + 4], datagram[at + 5]])) + 3,
            _ => usize::from(datagram[at + 4]) + 1,
        };
        outer == inner && datagram.len() >= at + 4 + outer
    };
    let last = datagram.len().checked_sub(6).filter(|_| is_hello)?;
    (TYPE_AT..last).find(|at| datagram[*at..*at + 2] == kind && fits(*at))
}

//! One side of a call as the relay sees it: who may be it, where it is, how much it may send.

use super::credentials::{LegCredentials, UFRAG_LEN};
use super::slot::Side;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use stun_types::message::{IntegrityKey, ShortTermCredentials};
use zeroize::Zeroize;

/// Octets per second that one leg may send, headers of IP and UDP included. Our phones send up to 100 datagrams of
/// about 250 octets, headers included: this is more than four times that.
pub const LEG_BYTES_PER_S: u64 = 120_000;

/// How far a leg may run ahead of that rate: half a second, so that what a stalled network delivers at once passes.
pub const LEG_BURST: Duration = Duration::from_millis(500);

/// Octets of IPv6 and UDP headers, counted for each datagram so that empty ones are not free.
const HEADER_LEN: u64 = 48;

const NANOS_PER_BYTE: u64 = 1_000_000_000 / LEG_BYTES_PER_S;

/// Bits that remember which checks were seen: after an hour of checks every 5 s, 8 % are taken, so a genuine new
/// address is found by its first or second check.
const SEEN_BITS: usize = 8_192;

/// Octets of an address as a key: 16 of the IPv6 (or mapped IPv4) address, 2 of the port.
pub(super) const SOURCE_LEN: usize = 18;

/// Index of a leg in the relay: twice its slot's, plus one for the callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LegNumber(pub(super) u32);

pub(super) struct Leg {
    pub(super) ufrag: [u8; UFRAG_LEN],
    pub(super) key: IntegrityKey,
    pub(super) source: Option<SocketAddr>,
    /// Whether it ever had an address.
    pub(super) was_admitted: bool,
    /// Last time anything arrived from the admitted address.
    pub(super) heard: Instant,
    /// When what was sent so far would have been sent at the allowed rate.
    busy_until: Instant,
    seen: Box<[u64; SEEN_BITS / 64]>,
}

impl LegNumber {
    pub(super) fn new(slot_index: usize, side: Side) -> Option<Self> {
        let side = match side {
            Side::Caller => 0,
            Side::Callee => 1,
        };
        u32::try_from(slot_index * 2 + side).ok().map(Self)
    }

    pub(super) fn slot_index(self) -> usize {
        (self.0 / 2) as usize
    }

    pub(super) fn side(self) -> Side {
        if self.0.is_multiple_of(2) { Side::Caller } else { Side::Callee }
    }

    pub(super) fn other(self) -> Self {
        Self(self.0 ^ 1)
    }
}

impl Leg {
    pub(super) fn new(credentials: &LegCredentials, now: Instant) -> Self {
        Self {
            ufrag: *credentials.ufrag_bytes(),
            key: key(credentials),
            source: None,
            was_admitted: false,
            heard: now,
            busy_until: now,
            seen: Box::new([0; SEEN_BITS / 64]),
        }
    }

    /// From now on only the new credentials admit; the address stays.
    pub(super) fn restart(&mut self, credentials: &LegCredentials) {
        self.ufrag = *credentials.ufrag_bytes();
        self.key = key(credentials);
        self.seen.zeroize();
    }

    /// Takes a datagram's length from the allowance; false if there is not enough (GCRA).
    pub(super) fn may_send(&mut self, len: usize, now: Instant) -> bool {
        let cost = Duration::from_nanos((len as u64 + HEADER_LEN) * NANOS_PER_BYTE);
        let after = self.busy_until.max(now) + cost;
        let allowed = after <= now + LEG_BURST;
        if allowed {
            self.busy_until = after;
        }
        allowed
    }

    /// True if a check with this transaction id (or, rarely, one that looks like it) was seen before.
    pub(super) fn has_seen(&self, transaction: u128) -> bool {
        let (word, bit) = seen_bit(transaction);
        self.seen[word] & bit != 0
    }

    pub(super) fn note_seen(&mut self, transaction: u128) {
        let (word, bit) = seen_bit(transaction);
        self.seen[word] |= bit;
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.ufrag.zeroize();
        self.seen.zeroize();
    }
}

/// The key of a source address in the table; the same for an IPv4 address and its mapped form.
pub(super) fn source_key(from: SocketAddr) -> [u8; SOURCE_LEN] {
    let mut key = [0; SOURCE_LEN];
    let address = match from.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    key[..16].copy_from_slice(&address.octets());
    key[16..].copy_from_slice(&from.port().to_be_bytes());
    key
}

/// Whether a leg can be at this address at all.
pub(super) fn is_host(from: SocketAddr) -> bool {
    let address = from.ip().to_canonical();
    let nobody = address.is_unspecified() || address.is_multicast() || address == IpAddr::from([255; 4]);
    !nobody && from.port() != 0
}

fn key(credentials: &LegCredentials) -> IntegrityKey {
    ShortTermCredentials::new(credentials.password().to_owned()).make_key()
}

/// Transaction ids are random: any bits of one are a hash of it.
fn seen_bit(transaction: u128) -> (usize, u64) {
    let hash = (transaction as usize) % SEEN_BITS;
    (hash / 64, 1 << (hash % 64))
}

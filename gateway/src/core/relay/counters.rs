//! What the relay counts: totals by cause, never per call, leg or address.

/// Why a datagram went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCause {
    /// From an address that no leg has been admitted at.
    Stranger,
    /// First byte outside STUN, ZRTP, DTLS and RTP (RFC 7983), or empty.
    UnknownKind,
    /// Longer than [`MAX_DATAGRAM_LEN`](super::MAX_DATAGRAM_LEN).
    TooLong,
    /// Said to be STUN but not a binding request as ICE sends it.
    MalformedCheck,
    /// A check for a leg that does not exist.
    UnknownLeg,
    /// A check whose integrity code is wrong.
    UnauthenticCheck,
    /// A check that was used before, now from another address.
    ReplayedCheck,
    /// A check from an address that belongs to another leg, or can be nobody's.
    AddressTaken,
    /// The leg sent more than it may.
    OverRate,
    /// The other leg has not been admitted yet.
    NoPeer,
    /// DTLS that was kept for the other leg, which did not come in time or had enough.
    HeldTooLong,
}

const CAUSES: usize = 11;

/// Counters of one relay since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Datagrams passed on to the other leg.
    pub forwarded: u64,
    /// Checks answered.
    pub answered: u64,
    /// Orders that could not be followed: unknown slot, or a user name fragment drawn twice.
    pub refused_orders: u64,
    dropped: [u64; CAUSES],
}

impl RelayCounters {
    /// Datagrams dropped for one cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.dropped[cause as usize]
    }

    pub(super) fn drop_one(&mut self, cause: DropCause) {
        self.dropped[cause as usize] += 1;
    }
}

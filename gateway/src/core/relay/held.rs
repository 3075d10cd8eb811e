//! DTLS datagrams kept for a moment, until the other leg is there.
//!
//! The phone that is admitted first starts its handshake at once; without this its first flight would always be
//! lost and the call would start a retransmission later. One pool of buffers serves all calls.

use super::{MAX_DATAGRAM_LEN, leg::LegNumber};
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// Datagrams kept per leg: one DTLS flight (a ClientHello with ML-KEM takes two, a certificate flight three).
pub const MAX_HELD_PER_LEG: usize = 4;

/// How long one is kept: after a second the sender has repeated it several times.
pub const HOLD_TIME: Duration = Duration::from_secs(1);

/// Datagrams kept for all calls together: 32 calls starting within the same second.
pub const MAX_HELD: usize = 128;

/// The pool.
pub(super) struct Held {
    places: Box<[Place]>,
    arrived: u64,
}

struct Place {
    kept: Option<Kept>,
    bytes: [u8; MAX_DATAGRAM_LEN],
}

#[derive(Clone, Copy)]
struct Kept {
    to: LegNumber,
    number: u64,
    len: usize,
    expires: Instant,
}

impl Held {
    pub(super) fn new() -> Self {
        let places = (0..MAX_HELD).map(|_| Place { kept: None, bytes: [0; MAX_DATAGRAM_LEN] }).collect();
        Self { places, arrived: 0 }
    }

    /// Keeps a datagram for `to`; false if there is no room for it.
    pub(super) fn keep(&mut self, to: LegNumber, bytes: &[u8], now: Instant) -> bool {
        if self.kept().filter(|kept| kept.to == to).count() >= MAX_HELD_PER_LEG {
            return false;
        }
        let Some(place) = self.places.iter_mut().find(|place| place.kept.is_none()) else { return false };
        let Some(room) = place.bytes.get_mut(..bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        place.kept = Some(Kept { to, number: self.arrived, len: bytes.len(), expires: now + HOLD_TIME });
        self.arrived += 1;
        true
    }

    /// Moves the oldest datagram kept for `to` into `buffer`.
    pub(super) fn take(&mut self, to: LegNumber, buffer: &mut [u8]) -> Option<usize> {
        let oldest = self.kept().filter(|kept| kept.to == to).map(|kept| kept.number).min()?;
        let place = self.places.iter_mut().find(|place| place.kept.is_some_and(|kept| kept.number == oldest))?;
        let len = place.kept?.len;
        let fits = buffer.get_mut(..len).map(|room| room.copy_from_slice(&place.bytes[..len]));
        place.wipe();
        fits.map(|()| len)
    }

    /// Forgets what is kept for `to`.
    pub(super) fn forget(&mut self, to: LegNumber) {
        self.wipe_where(|kept| kept.to == to);
    }

    /// Forgets what was kept too long; how many those were.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        self.wipe_where(|kept| kept.expires <= now)
    }

    /// When the first one expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.kept().map(|kept| kept.expires).min()
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.places.iter().filter_map(|place| place.kept.as_ref())
    }

    fn wipe_where(&mut self, over: impl Fn(&Kept) -> bool) -> usize {
        let mut wiped = 0;
        for place in &mut self.places {
            if place.kept.as_ref().is_some_and(&over) {
                place.wipe();
                wiped += 1;
            }
        }
        wiped
    }
}

impl Place {
    fn wipe(&mut self) {
        self.kept = None;
        self.bytes.zeroize();
    }
}

//! When reports go out (RFC 3550 §6.2, §6.3) and by which clock they are stamped.

use std::time::{Duration, Instant};

use rand_core::RngCore;

/// Mean time between two reports (§6.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// Mean time to the first report: early, so that loss and round trip are soon known.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// A round trip beyond this is a peer's mistake, not a network.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(20);

/// Draws the moments of reports: uniformly between half and one and a half of the interval (§6.3.1),
/// so that they follow nothing that happens in the call.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    next: Instant,
}

impl Schedule {
    /// Begins when keys exist.
    pub fn new(rng: &mut impl RngCore, now: Instant) -> Self {
        Self { next: now + drawn(rng, FIRST_INTERVAL) }
    }

    /// When the next report is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// True once per due report.
    pub fn take_due(&mut self, rng: &mut impl RngCore, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + drawn(rng, INTERVAL);
        }
        due
    }
}

/// A clock in NTP format that runs true but starts anywhere: it tells nobody the phone's time.
#[derive(Debug, Clone, Copy)]
pub struct NtpClock {
    epoch: Instant,
    offset: u64,
}

impl NtpClock {
    /// A clock with a random start.
    pub fn new(rng: &mut impl RngCore, now: Instant) -> Self {
        Self { epoch: now, offset: rng.next_u64() }
    }

    /// Seconds in 32.32 bits.
    pub fn at(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.epoch).as_nanos();
        self.offset.wrapping_add(((nanos << 32) / 1_000_000_000) as u64)
    }

    /// Round trip from a report block about our stream: now − LSR − DLSR (§6.4.1).
    pub fn round_trip(&self, last_sender_report: u32, delay_since: u32, now: Instant) -> Option<Duration> {
        if last_sender_report == 0 {
            return None;
        }
        let middle = (self.at(now) >> 16) as u32;
        let units = middle.wrapping_sub(last_sender_report).wrapping_sub(delay_since);
        let round_trip = Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16);
        (round_trip <= MAX_ROUND_TRIP).then_some(round_trip)
    }
}

fn drawn(rng: &mut impl RngCore, interval: Duration) -> Duration {
    interval / 2 + interval.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
}

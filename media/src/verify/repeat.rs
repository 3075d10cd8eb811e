//! When a message is sent again: after 100, 200, 400 ms, then every 800 ms, until 10 s have passed.

use std::time::{Duration, Instant};

/// A run that has not finished by then has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// First repetition after this long.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait between repetitions.
const LONGEST: Duration = Duration::from_millis(800);

/// The clock of one outstanding message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeat {
    next: Instant,
    wait: Duration,
}

impl Repeat {
    /// The message was sent just now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now + FIRST, wait: FIRST }
    }

    /// When it is due again.
    pub(crate) fn at(&self) -> Instant {
        self.next
    }

    /// Whether it is due; if so, the next date is set.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.wait = (self.wait * 2).min(LONGEST);
        self.next = now + self.wait;
        true
    }
}

//! A steady beat on the media thread's clock, for sound that has no clock of its own (files, silence, the echo loop).

use std::time::{Duration, Instant};

/// After a stall longer than this the missed beats are skipped: catching up would send a burst.
const MAX_CATCH_UP: Duration = Duration::from_millis(100);

/// Beats without drift; each beat says how long it lasts.
#[derive(Debug, Default)]
pub struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// The first beat is due at `now`; before, there is none.
    pub fn start(&mut self, now: Instant) {
        self.next = Some(now);
    }

    /// Whether a beat is due, which lasts `period`; each beat is reported once.
    pub fn beat(&mut self, period: Duration, now: Instant) -> bool {
        let Some(next) = self.next.filter(|next| *next <= now) else { return false };
        let late = now.duration_since(next) > MAX_CATCH_UP;
        self.next = Some(if late { now } else { next } + period);
        true
    }

    /// When the next beat is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(20);

    #[test]
    fn beats_come_once_per_period_without_drift() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert!(!pace.beat(PERIOD, start), "at rest before the start");
        pace.start(start);
        let beats = (0..1000).filter(|ms| pace.beat(PERIOD, start + Duration::from_millis(*ms))).count();
        assert_eq!(beats, 50);
        assert_eq!(pace.next(), Some(start + 50 * PERIOD));
    }

    #[test]
    fn a_short_delay_is_caught_up_and_a_long_one_skipped() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.start(start);
        let late = start + 3 * PERIOD;
        assert_eq!(std::iter::repeat_with(|| pace.beat(PERIOD, late)).take_while(|due| *due).count(), 4);
        let very_late = start + Duration::from_secs(10);
        assert_eq!(std::iter::repeat_with(|| pace.beat(PERIOD, very_late)).take_while(|due| *due).count(), 1);
    }
}

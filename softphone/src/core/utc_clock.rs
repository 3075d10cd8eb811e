//! What time it is for people, derived from the moments the phone is given: the shell says it now and then.

use std::time::{Duration, Instant, SystemTime};

use time::{Date, OffsetDateTime};

/// Seconds of a minute.
const MINUTE_S: u64 = 60;

/// The time in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct UtcClock {
    told: SystemTime,
    at: Instant,
}

impl UtcClock {
    /// It is `told` at the moment `at`.
    pub(super) fn new(told: SystemTime, at: Instant) -> Self {
        Self { told, at }
    }

    /// The date and time at a moment.
    pub(super) fn at(&self, now: Instant) -> SystemTime {
        self.told + now.saturating_duration_since(self.at)
    }

    /// Whole minutes since 1970.
    pub(super) fn minute(&self, now: Instant) -> u64 {
        self.since_1970(now).as_secs() / MINUTE_S
    }

    /// The day.
    pub(super) fn day(&self, now: Instant) -> Date {
        let seconds = i64::try_from(self.since_1970(now).as_secs()).unwrap_or(i64::MAX);
        // A clock beyond the year 9999 is wrong, whatever is said here.
        OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date)
    }

    fn since_1970(&self, now: Instant) -> Duration {
        self.at(now).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_and_days_go_on_from_the_moment_they_were_told() {
        let start = Instant::now();
        let clock = UtcClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(86_399), start);
        assert_eq!((clock.minute(start), clock.day(start).to_string()), (1_439, "1970-01-01".into()));
        let later = start + Duration::from_secs(1);
        assert_eq!((clock.minute(later), clock.day(later).to_string()), (1_440, "1970-01-02".into()));
        let before_1970 = UtcClock::new(SystemTime::UNIX_EPOCH - Duration::from_secs(5), start);
        assert_eq!((before_1970.minute(start), before_1970.day(start).to_string()), (0, "1970-01-01".into()));
    }
}

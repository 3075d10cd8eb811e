//! The day by the system's clock, in UTC: nothing that is kept has a finer time.

use std::time::{SystemTime, UNIX_EPOCH};

use time::Date;

/// The Julian day number of 1970-01-01.
const EPOCH_DAY: u64 = 2_440_588;
const SECONDS_PER_DAY: u64 = 86_400;

/// Today; the first day of 1970 for a clock that is before it.
pub(super) fn today() -> Date {
    day_of(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn day_of(seconds: u64) -> Date {
    let day = i32::try_from(EPOCH_DAY + seconds / SECONDS_PER_DAY).ok();
    day.and_then(|day| Date::from_julian_day(day).ok()).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(day_of(0).to_string(), "1970-01-01");
        assert_eq!(day_of(1_795_651_199).to_string(), "2026-11-25");
        assert_eq!(day_of(1_795_651_200).to_string(), "2026-11-26");
        assert_eq!(day_of(u64::MAX / 2), Date::MAX);
    }
}

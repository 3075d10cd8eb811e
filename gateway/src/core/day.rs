//! Days: the finest time that is stored.

use std::fmt;

use time::Date;

/// Seconds of a day in Unix time, which has no leap seconds.
pub const SECONDS_PER_DAY: u64 = 86_400;

/// Julian day of 1970-01-01.
const JULIAN_DAY_OF_EPOCH: i32 = 2_440_588;

/// A UTC day, counted from 1970-01-01. Written as YYYY-MM-DD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

impl Day {
    /// The day with this number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The day of a moment, in seconds since 1970-01-01 UTC.
    pub fn of_unix_s(seconds: u64) -> Self {
        Self(u32::try_from(seconds / SECONDS_PER_DAY).unwrap_or(u32::MAX))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// So many days later.
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Its first moment, in seconds since 1970-01-01 UTC.
    pub fn start_unix_s(self) -> u64 {
        u64::from(self.0) * SECONDS_PER_DAY
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let julian = i32::try_from(self.0).unwrap_or(i32::MAX).saturating_add(JULIAN_DAY_OF_EPOCH);
        // Beyond the year 9999 it is that year's last day.
        let date = Date::from_julian_day(julian).unwrap_or(Date::MAX);
        write!(f, "{date}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_people_write_it() {
        assert_eq!(Day::of_unix_s(0).to_string(), "1970-01-01");
        assert_eq!(Day::of_unix_s(1_709_164_800 + 86_399).to_string(), "2024-02-29");
        assert_eq!(Day::of_unix_s(1_709_164_800 + 86_400).to_string(), "2024-03-01");
        assert_eq!(Day::from_number(u32::MAX).plus(1).to_string(), "9999-12-31");
        assert_eq!(Day::from_number(19_782).start_unix_s(), 1_709_164_800);
    }
}

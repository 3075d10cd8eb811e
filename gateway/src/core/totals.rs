//! Totals: the only thing the gateway counts about what happens on it, and only shown rounded.
//!
//! A counter that moves from 17 to 18 at 03:12 is a call record in disguise. So the exact numbers never
//! leave this file; what leaves is rounded down to one significant digit, and nothing below ten is shown.

use std::fmt;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// A connection was opened.
    FlowOpened,
    /// A phone signed in for the first time on its connection.
    SignedIn,
    /// A sign-in was refused: wrong password, unknown account, bad digest.
    SignInRefused,
    /// A call was asked for.
    CallAsked,
    /// A call was answered.
    CallAnswered,
    /// A call ended without an answer, for whatever reason.
    CallUnanswered,
    /// A message could not be understood or was not allowed.
    MessageRefused,
    /// A request or connection met a limit.
    Limited,
}

const COUNTS: usize = 8;

/// Exact counters inside, rounded ones outside. Starts at zero with the process and is never written anywhere.
#[derive(Default)]
pub struct Totals([u64; COUNTS]);

impl Totals {
    pub(crate) fn add(&mut self, count: Count) {
        let value = &mut self.0[count as usize];
        *value = value.saturating_add(1);
    }

    /// The counter, rounded.
    pub fn get(&self, count: Count) -> Rounded {
        Rounded::down(self.0[count as usize])
    }
}

impl fmt::Debug for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Totals")
    }
}

/// A number of which only the magnitude and the first digit are kept; below ten it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounded(u64);

impl Rounded {
    fn down(exact: u64) -> Self {
        let Some(digits) = exact.checked_ilog10().filter(|&digits| digits > 0) else {
            return Self(0);
        };
        let unit = 10_u64.pow(digits);
        Self(exact / unit * unit)
    }

    /// The rounded number.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("fewer than 10"),
            value => write!(f, "{value} or more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_digit_is_kept_and_nothing_below_ten() {
        for (exact, shown) in [
            (0, 0),
            (9, 0),
            (10, 10),
            (19, 10),
            (99, 90),
            (100, 100),
            (1234, 1000),
            (u64::MAX, 10_000_000_000_000_000_000),
        ] {
            assert_eq!(Rounded::down(exact).value(), shown, "{exact}");
        }
        assert_eq!(Rounded::down(7).to_string(), "fewer than 10");
        assert_eq!(Rounded::down(42).to_string(), "40 or more");
    }

    #[test]
    fn one_more_call_is_not_seen() {
        let mut totals = Totals::default();
        (0..12).for_each(|_| totals.add(Count::CallAsked));
        let before = totals.get(Count::CallAsked);
        totals.add(Count::CallAsked);
        assert_eq!(totals.get(Count::CallAsked), before);
        assert_eq!(totals.get(Count::Limited).value(), 0);
        assert_eq!(format!("{totals:?}"), "Totals");
    }
}

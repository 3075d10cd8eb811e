//! A wrapper that hides its content from every log, in every build.
//!
//! Addresses, SIP URIs, Call-IDs and names may be needed in a structure that is printed with
//! `Debug` or logged; wrapped in [`Redacted`] only the kind of thing shows, never the thing.

use std::fmt;

/// Hides `T` from `Debug` and `Display`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_show_the_content() {
        let hidden = Redacted("203.0.113.9");
        assert_eq!(format!("{hidden} {hidden:?} {hidden:#?}"), "(hidden) (hidden) (hidden)");
    }
}

//! Glare: both sides offer at once (RFC 3261 §14.1). Each refuses the other with 491 and tries again
//! after a random time; the side that made the Call-ID waits longer, so the tries do not meet again.

use std::time::Duration;

/// How often an offer is tried again before its owner is told 491: after this many misses the other
/// side is not colliding, it is refusing.
pub(crate) const MAX_GLARE_RETRIES: u8 = 5;

/// Steps of 10 ms a wait is drawn in.
const STEP: Duration = Duration::from_millis(10);

/// How many steps there are to draw from: pass a number below this to [`back_off`].
pub(crate) fn choices(made_call_id: bool) -> u32 {
    // 2.1 to 4 s and 0 to 2 s, both ends included.
    if made_call_id { 191 } else { 201 }
}

/// The wait before the offer is tried again.
pub(crate) fn back_off(made_call_id: bool, drawn: u32) -> Duration {
    let least = if made_call_id { Duration::from_millis(2100) } else { Duration::ZERO };
    least + STEP * drawn.min(choices(made_call_id) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_wait_in_ranges_that_do_not_overlap() {
        assert_eq!(back_off(true, 0), Duration::from_millis(2100));
        assert_eq!(back_off(true, choices(true) - 1), Duration::from_secs(4));
        assert_eq!(back_off(false, 0), Duration::ZERO);
        assert_eq!(back_off(false, choices(false) - 1), Duration::from_secs(2));
    }
}

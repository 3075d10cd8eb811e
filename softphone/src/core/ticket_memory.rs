//! Ring tickets seen lately: each makes the phone ring once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use undertone_media::verify::ring_ticket::RING_TICKET_LEN;

/// A ticket opens in the minute of its making, the one before and the one after: three minutes for clocks that differ
/// by one.
const REMEMBERED: Duration = Duration::from_secs(180);
/// Tickets remembered. Only those that open count, so only who knows this phone's key can fill it; the oldest go first.
pub(super) const MAX_TICKETS: usize = 256;

/// Ring tickets seen lately.
#[derive(Debug, Default)]
pub(super) struct TicketMemory {
    seen: VecDeque<(Instant, [u8; RING_TICKET_LEN])>,
}

impl TicketMemory {
    /// Whether this ticket, which opens, comes for the first time.
    pub(super) fn is_new(&mut self, ticket: &[u8; RING_TICKET_LEN], now: Instant) -> bool {
        while self.seen.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= REMEMBERED) {
            self.seen.pop_front();
        }
        if self.seen.iter().any(|(_, seen)| seen == ticket) {
            return false;
        }
        if self.seen.len() >= MAX_TICKETS {
            self.seen.pop_front();
        }
        self.seen.push_back((now, *ticket));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_counts_once_for_as_long_as_it_opens() {
        let start = Instant::now();
        let mut memory = TicketMemory::default();
        assert!(memory.is_new(&ticket(1), start));
        assert!(memory.is_new(&ticket(2), start));
        assert!(!memory.is_new(&ticket(1), start + REMEMBERED - Duration::from_millis(1)));
        assert!(memory.is_new(&ticket(1), start + REMEMBERED));
    }

    #[test]
    fn a_flood_of_tickets_is_bounded() {
        let start = Instant::now();
        let mut memory = TicketMemory::default();
        for number in 0..3 * MAX_TICKETS {
            assert!(memory.is_new(&ticket(number), start));
        }
        assert_eq!(memory.seen.len(), MAX_TICKETS);
        assert!(!memory.is_new(&ticket(3 * MAX_TICKETS - 1), start));
    }

    fn ticket(number: usize) -> [u8; RING_TICKET_LEN] {
        let mut ticket = [0; RING_TICKET_LEN];
        ticket[..8].copy_from_slice(&(number as u64).to_be_bytes());
        ticket
    }
}

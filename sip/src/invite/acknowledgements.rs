//! The ACKs of 2xx we have sent, to be sent again whenever a 2xx comes again (RFC 3261 §13.2.2.4).
//!
//! A 2xx from a fork that lost is acknowledged too, and its ACK repeated from here.

use std::collections::VecDeque;

use crate::user_agent::TransactionId;

/// ACKs kept per call: the call's own, its newest re-INVITEs', and those of forks that answered too
/// late. A fork beyond that gets no ACK and gives up by itself.
pub(crate) const MAX_ACKNOWLEDGEMENTS: usize = 8;

/// ACKs by INVITE transaction and To tag, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements(VecDeque<(TransactionId, String, Vec<u8>)>);

impl Acknowledgements {
    /// Whether one more fork may be acknowledged.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < MAX_ACKNOWLEDGEMENTS
    }

    /// Keeps an ACK; the oldest goes if there is no room.
    pub(crate) fn keep(&mut self, invite: TransactionId, tag: &str, ack: Vec<u8>) {
        if !self.has_room() {
            self.0.pop_front();
        }
        self.0.push_back((invite, tag.to_owned(), ack));
    }

    /// The ACK sent for this 2xx before.
    pub(crate) fn find(&self, invite: TransactionId, tag: &str) -> Option<&[u8]> {
        let kept = self.0.iter().find(|(of, from, _)| *of == invite && from == tag)?;
        Some(&kept.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut kept = Acknowledgements::default();
        for id in 0..=MAX_ACKNOWLEDGEMENTS as u64 {
            kept.keep(TransactionId(id), "t", vec![1]);
        }
        assert!(kept.find(TransactionId(0), "t").is_none());
        assert!(kept.find(TransactionId(1), "t").is_some());
        assert!(kept.find(TransactionId(1), "u").is_none());
        assert!(!kept.has_room());
    }
}

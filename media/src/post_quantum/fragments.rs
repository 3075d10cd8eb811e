//! One message on its way, in parts: what is still to be acknowledged, what has arrived. Both of fixed
//! size, so that no peer can grow them; wiped when dropped.

use super::frame::{FRAGMENTS, Frame, Message};
use zeroize::Zeroizing;

/// A message to be delivered.
pub(super) struct Outgoing {
    message: Message,
    octets: Zeroizing<Vec<u8>>,
    delivered: [bool; FRAGMENTS],
}

/// A message that is arriving.
pub(super) struct Incoming {
    message: Message,
    octets: Zeroizing<Vec<u8>>,
    arrived: [bool; FRAGMENTS],
}

impl Outgoing {
    /// `octets` are exactly as long as the message.
    pub(super) fn new(message: Message, octets: Zeroizing<Vec<u8>>) -> Self {
        debug_assert_eq!(octets.len(), message.len());
        Self { message, octets, delivered: [false; FRAGMENTS] }
    }

    /// The whole message.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The frames that nobody has acknowledged yet.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = Vec<u8>> {
        let parts = self.octets.chunks_exact(self.message.fragment_len());
        let numbered = parts.zip(&self.delivered).enumerate().filter(|(_, (_, delivered))| !**delivered);
        numbered.map(|(number, (octets, _))| Frame::Fragment { of: self.message, number, octets }.to_bytes())
    }

    /// One part has arrived.
    pub(super) fn acknowledge(&mut self, number: usize) {
        if let Some(delivered) = self.delivered.get_mut(number) {
            *delivered = true;
        }
    }

    /// All of it has arrived.
    pub(super) fn acknowledge_all(&mut self) {
        self.delivered = [true; FRAGMENTS];
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.delivered.iter().all(|delivered| *delivered)
    }
}

impl Incoming {
    /// Nothing of the message yet.
    pub(super) fn new(message: Message) -> Self {
        Self { message, octets: Zeroizing::new(vec![0; message.len()]), arrived: [false; FRAGMENTS] }
    }

    /// Keeps a part that [`Frame::read`] has found as long as it must be. What came first stays: a repetition is
    /// equal, and anything else is not the sender's.
    pub(super) fn take(&mut self, number: usize, octets: &[u8]) {
        let place = self.octets.chunks_exact_mut(self.message.fragment_len()).nth(number);
        if let (Some(place), Some(arrived @ false)) = (place, self.arrived.get_mut(number))
            && place.len() == octets.len()
        {
            place.copy_from_slice(octets);
            *arrived = true;
        }
    }

    /// The whole message, once all parts are there.
    pub(super) fn complete(&self) -> Option<&[u8]> {
        self.arrived.iter().all(|arrived| *arrived).then_some(self.octets.as_slice())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_in_any_order_make_the_message_and_the_first_of_each_stays() {
        for order in [[0, 1], [1, 0]] {
            let mut incoming = Incoming::new(Message::Ciphertext);
            for number in order {
                assert_eq!(incoming.complete(), None);
                incoming.take(number, &vec![number as u8 + 1; 544]);
                incoming.take(number, &vec![9; 544]);
            }
            assert_eq!(incoming.complete().unwrap(), [vec![1; 544], vec![2; 544]].concat());
        }
    }

    #[test]
    fn a_number_or_length_out_of_range_changes_nothing() {
        let mut incoming = Incoming::new(Message::EncapsulationKey);
        incoming.take(2, &[1; 592]);
        incoming.take(usize::MAX, &[1; 592]);
        incoming.take(0, &[1; 591]);
        assert!(incoming.octets.iter().all(|octet| *octet == 0) && incoming.complete().is_none());
        let mut outgoing = Outgoing::new(Message::Ciphertext, Zeroizing::new(vec![0; 1_088]));
        outgoing.acknowledge(2);
        assert_eq!(outgoing.outstanding().count(), 2);
    }

    #[test]
    fn only_what_is_not_acknowledged_is_outstanding() {
        let mut outgoing = Outgoing::new(Message::EncapsulationKey, Zeroizing::new(vec![5; 1_184]));
        assert_eq!(outgoing.outstanding().count(), 2);
        outgoing.acknowledge(0);
        let left: Vec<_> = outgoing.outstanding().collect();
        assert_eq!(left, [Frame::Fragment { of: Message::EncapsulationKey, number: 1, octets: &[5; 592] }.to_bytes()]);
        assert!(!outgoing.is_delivered());
        outgoing.acknowledge(1);
        assert!(outgoing.is_delivered() && outgoing.outstanding().count() == 0);
    }
}

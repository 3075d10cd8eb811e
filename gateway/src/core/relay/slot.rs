//! Places for calls: a fixed number of slots, each reused under a new generation.
//!
//! A generation makes a late order about an ended call harmless: it names a slot that is gone.

use std::collections::VecDeque;

/// One call's place in the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId {
    index: u32,
    generation: u32,
}

/// Which of a call's two legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The leg of the phone that sent the INVITE.
    Caller,
    /// The leg of the phone that was invited.
    Callee,
}

/// Gives out slots and takes them back; the oldest free one goes first, so that a number rests as long as it can.
#[derive(Debug)]
pub struct SlotNumbers {
    free: VecDeque<SlotId>,
    /// The generation in use per index, `None` while free.
    taken: Vec<Option<u32>>,
}

impl SlotId {
    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

impl Side {
    /// The other leg of the same call.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl SlotNumbers {
    /// As many slots as the relay was built for.
    pub fn new(max_calls: u32) -> Self {
        Self {
            free: (0..max_calls).map(|index| SlotId { index, generation: 0 }).collect(),
            taken: (0..max_calls).map(|_| None).collect(),
        }
    }

    /// A place for one more call; `None` when the relay is full.
    pub fn allocate(&mut self) -> Option<SlotId> {
        let slot = self.free.pop_front()?;
        self.taken[slot.index()] = Some(slot.generation);
        Some(slot)
    }

    /// Takes a place back. A slot that is not in use (given back twice) is ignored.
    pub fn release(&mut self, slot: SlotId) {
        let Some(taken) = self.taken.get_mut(slot.index()) else { return };
        if *taken == Some(slot.generation) {
            *taken = None;
            self.free.push_back(SlotId { index: slot.index, generation: slot.generation.wrapping_add(1) });
        }
    }

    /// How many calls have a place.
    pub fn in_use(&self) -> usize {
        self.taken.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_relay_gives_no_slot_until_one_comes_back() {
        let mut numbers = SlotNumbers::new(2);
        let first = numbers.allocate().unwrap();
        let second = numbers.allocate().unwrap();
        assert_eq!((numbers.allocate(), numbers.in_use()), (None, 2));
        numbers.release(first);
        let third = numbers.allocate().unwrap();
        assert_eq!(third.index(), first.index());
        assert_ne!(third, first);
        assert_ne!(third, second);
    }

    #[test]
    fn a_slot_given_back_twice_is_free_only_once() {
        let mut numbers = SlotNumbers::new(1);
        let slot = numbers.allocate().unwrap();
        numbers.release(slot);
        numbers.release(slot);
        assert!(numbers.allocate().is_some());
        numbers.release(slot);
        assert_eq!(numbers.allocate(), None);
    }
}

//! Packets that wait for their time, by timestamp; all room is there from the start.

use crate::codec::MAX_PACKET_LEN;

/// Frames that can wait: 1.9 s of 20 ms frames, more than the longest wait with its backlog. When
/// full, the oldest gives way.
pub(super) const CAPACITY: usize = 96;

/// One waiting frame.
pub(super) struct Slot {
    used: bool,
    redundant: bool,
    timestamp: i64,
    samples: usize,
    len: usize,
    data: [u8; MAX_PACKET_LEN],
}

impl Slot {
    pub(super) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    pub(super) fn redundant(&self) -> bool {
        self.redundant
    }

    pub(super) fn opus(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

/// The waiting frames.
pub(super) struct Store {
    slots: Vec<Slot>,
}

impl Store {
    pub(super) fn new() -> Self {
        let empty =
            || Slot { used: false, redundant: false, timestamp: 0, samples: 0, len: 0, data: [0; MAX_PACKET_LEN] };
        Self { slots: (0..CAPACITY).map(|_| empty()).collect() }
    }

    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.used = false);
    }

    /// Keeps a packet unless one of the same timestamp waits; true if an older one had to go for it.
    pub(super) fn insert(&mut self, timestamp: i64, samples: usize, redundant: bool, opus: &[u8]) -> bool {
        if opus.len() > MAX_PACKET_LEN || self.get(timestamp).is_some() {
            return false;
        }
        let free = self.slots.iter().position(|slot| !slot.used);
        let overflow = free.is_none();
        let Some(at) = free.or_else(|| self.position_of_oldest()) else { return false };
        let slot = &mut self.slots[at];
        slot.used = true;
        slot.redundant = redundant;
        slot.timestamp = timestamp;
        slot.samples = samples;
        slot.len = opus.len();
        slot.data[..opus.len()].copy_from_slice(opus);
        overflow
    }

    /// The frame that begins exactly here.
    pub(super) fn get(&self, timestamp: i64) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.used && slot.timestamp == timestamp)
    }

    /// The first frame that begins after `timestamp`.
    pub(super) fn first_after(&self, timestamp: i64) -> Option<&Slot> {
        self.waiting().filter(|slot| slot.timestamp > timestamp).min_by_key(|slot| slot.timestamp)
    }

    /// The last waiting frame that begins at `timestamp` or before.
    pub(super) fn last_until(&self, timestamp: i64) -> Option<&Slot> {
        self.waiting().filter(|slot| slot.timestamp <= timestamp).max_by_key(|slot| slot.timestamp)
    }

    /// Drops all frames that begin before `timestamp`; returns how many.
    pub(super) fn drop_before(&mut self, timestamp: i64) -> u64 {
        let old = self.slots.iter_mut().filter(|slot| slot.used && slot.timestamp < timestamp);
        old.map(|slot| slot.used = false).count() as u64
    }

    fn waiting(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.used)
    }

    fn position_of_oldest(&self) -> Option<usize> {
        (0..self.slots.len()).min_by_key(|&at| self.slots[at].timestamp)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_come_out_by_timestamp_whatever_order_they_came_in() {
        let mut store = Store::new();
        for timestamp in [960, -960, 2_880, 0] {
            assert!(!store.insert(timestamp, 960, false, &[timestamp as u8]));
        }
        assert_eq!(store.first_after(i64::MIN).unwrap().timestamp(), -960);
        assert_eq!(store.first_after(0).unwrap().timestamp(), 960);
        assert_eq!(store.last_until(2_000).unwrap().timestamp(), 960);
        assert_eq!(store.drop_before(960), 2);
        assert!(store.get(0).is_none() && store.get(2_880).is_some());
    }

    #[test]
    fn a_full_store_gives_up_its_oldest_frame() {
        let mut store = Store::new();
        for n in 0..CAPACITY as i64 {
            assert!(!store.insert(n, 1, false, &[1]));
        }
        assert!(store.insert(1_000, 1, false, &[1]));
        assert!(store.get(0).is_none() && store.get(1_000).is_some());
    }

    #[test]
    fn the_first_copy_of_a_frame_stays() {
        let mut store = Store::new();
        store.insert(0, 960, true, &[1]);
        store.insert(0, 960, false, &[2]);
        assert!(store.get(0).unwrap().redundant());
        assert_eq!(store.get(0).unwrap().opus(), [1]);
    }
}

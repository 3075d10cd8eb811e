//! A hash table of fixed size: from a user name fragment or a source address to a leg.
//!
//! It never grows and never allocates after its making, so a packet costs the same whoever sends it. The hash is
//! SipHash-2-4 under a random key: nobody can choose addresses that collide. Deletion shifts the run back (no
//! tombstones), and what was deleted is overwritten.

use rand_core::RngCore;
use zeroize::Zeroize;

/// Marks an empty place; no leg has this number.
const EMPTY: u32 = u32::MAX;

/// Places per entry that must fit: half empty, so that a run of taken places stays short.
const PLACES_PER_ENTRY: usize = 2;

/// Longest key that the hash takes: the two words of an address and one of its port.
const MAX_KEY_LEN: usize = 24;

/// Maps keys of `N` octets to numbers of legs.
pub(super) struct KeyedTable<const N: usize> {
    seed: [u64; 2],
    places: Box<[Place<N>]>,
    entries: usize,
    limit: usize,
}

#[derive(Clone, Copy)]
struct Place<const N: usize> {
    key: [u8; N],
    leg: u32,
}

impl<const N: usize> KeyedTable<N> {
    /// A table with room for `limit` entries.
    pub(super) fn new(limit: usize, rng: &mut impl RngCore) -> Self {
        const { assert!(N < MAX_KEY_LEN, "the hash takes keys of up to 23 octets") };
        let places = (limit.max(1) * PLACES_PER_ENTRY).next_power_of_two();
        Self {
            seed: [rng.next_u64(), rng.next_u64()],
            places: vec![Place { key: [0; N], leg: EMPTY }; places].into_boxed_slice(),
            entries: 0,
            limit,
        }
    }

    /// The leg of this key.
    pub(super) fn get(&self, key: &[u8; N]) -> Option<u32> {
        self.find(key).ok().map(|place| self.places[place].leg)
    }

    /// Adds a key; false if it is there already or the table is full.
    pub(super) fn insert(&mut self, key: [u8; N], leg: u32) -> bool {
        if self.entries == self.limit || leg == EMPTY {
            return false;
        }
        match self.find(&key) {
            Ok(_) => false,
            Err(free) => {
                self.places[free] = Place { key, leg };
                self.entries += 1;
                true
            }
        }
    }

    /// Removes a key and overwrites it.
    pub(super) fn remove(&mut self, key: &[u8; N]) {
        let Ok(mut hole) = self.find(key) else { return };
        let mask = self.places.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            if self.places[next].leg == EMPTY {
                break;
            }
            let home = self.home(&self.places[next].key);
            let may_move = (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask);
            if may_move {
                self.places[hole] = self.places[next];
                hole = next;
            }
        }
        self.places[hole].key.zeroize();
        self.places[hole].leg = EMPTY;
        self.entries -= 1;
    }

    /// The place of the key, or the empty place where it would go.
    fn find(&self, key: &[u8; N]) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut place = self.home(key);
        loop {
            match &self.places[place] {
                empty if empty.leg == EMPTY => return Err(place),
                taken if taken.key == *key => return Ok(place),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn home(&self, key: &[u8; N]) -> usize {
        // Truncation to the machine's word loses nothing: the mask keeps fewer bits.
        (siphash(self.seed, key) as usize) & (self.places.len() - 1)
    }
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012) of fewer than [`MAX_KEY_LEN`] octets.
fn siphash(seed: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        seed[0] ^ 0x736f_6d65_7073_6575,
        seed[1] ^ 0x646f_7261_6e64_6f6d,
        seed[0] ^ 0x6c79_6765_6e65_7261,
        seed[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut padded = [0; MAX_KEY_LEN];
    padded[..bytes.len()].copy_from_slice(bytes);
    let (words, _) = padded.as_chunks::<8>();
    let last = bytes.len() / 8;
    for (index, word) in words.iter().enumerate().take(last + 1) {
        let mut word = u64::from_le_bytes(*word);
        if index == last {
            word |= (bytes.len() as u64) << 56;
        }
        v[3] ^= word;
        rounds(&mut v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    rounds(&mut v, 4);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn rounds(v: &mut [u64; 4], count: usize) {
    for _ in 0..count {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn the_hash_is_the_published_one() {
        // Vectors of the SipHash-2-4 reference: key 00..0f, input 00, 00 01, … of the given length.
        let seed = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(seed, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(seed, &input[..8]), 0x93f5_f579_9a93_2462);
        assert_eq!(siphash(seed, &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_full_table_takes_no_more_and_stays_correct() {
        let mut table = KeyedTable::<2>::new(3, &mut ChaCha20Rng::seed_from_u64(1));
        assert!((0..3).all(|leg| table.insert([leg, 0], u32::from(leg))));
        assert!(!table.insert([9, 0], 9));
        table.remove(&[1, 0]);
        assert!(table.insert([9, 0], 9));
        assert!(!table.insert([9, 0], 8), "a key is never overwritten");
        assert_eq!((table.get(&[9, 0]), table.get(&[1, 0])), (Some(9), None));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map_whatever_is_done_to_it(seed: u64, steps in proptest::collection::vec((any::<bool>(), 0u8..24), 0..200)) {
            let mut table = KeyedTable::<1>::new(16, &mut ChaCha20Rng::seed_from_u64(seed));
            let mut map = BTreeMap::new();
            for (number, (insert, key)) in steps.into_iter().enumerate() {
                if insert {
                    let fits = map.len() < 16 && !map.contains_key(&key);
                    prop_assert_eq!(table.insert([key], number as u32), fits);
                    if fits {
                        map.insert(key, number as u32);
                    }
                } else {
                    table.remove(&[key]);
                    map.remove(&key);
                }
                for key in 0..24 {
                    prop_assert_eq!(table.get(&[key]), map.get(&key).copied());
                }
            }
            let wiped = table.places.iter().filter(|place| place.leg == EMPTY).all(|place| place.key == [0]);
            prop_assert!(wiped);
        }
    }
}

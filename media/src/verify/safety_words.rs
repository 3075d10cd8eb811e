//! What people compare at a first call: four words, or eight digits where they share no language. Each of the two
//! reads one half and picks the other one out of several, so that nobody can agree without having listened.

use super::word_list::{EVEN, ODD};
use rand_core::RngCore;

/// Wrong halves beside the right one.
pub const DECOYS: usize = 3;
/// Digits of one half.
const HALF_DIGITS: usize = 4;

/// 32 bits derived from the transcript: equal on both phones unless somebody sits in between, then
/// equal with probability 2^-32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SafetyWords([u8; 4]);

/// Two of the four words, and four of the eight digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Half {
    octets: [u8; 2],
    digits: [u8; HALF_DIGITS],
}

impl SafetyWords {
    /// From 32 bits of a transcript.
    pub fn from_bits(bits: [u8; 4]) -> Self {
        Self(bits)
    }

    /// Four words, from alternating lists.
    pub fn words(&self) -> [&'static str; 4] {
        let [[a, b], [c, d]] = self.halves().map(|half| half.words());
        [a, b, c, d]
    }

    /// The same as eight digits (26.6 bits).
    pub fn digits(&self) -> String {
        format!("{:08}", self.number())
    }

    /// The half that the caller reads, and the one that the callee reads.
    pub fn halves(&self) -> [Half; 2] {
        let [a, b, c, d] = self.0;
        let digit = |place: u32| (self.number() / 10_u32.pow(place) % 10) as u8;
        [
            Half { octets: [a, b], digits: [7, 6, 5, 4].map(digit) },
            Half { octets: [c, d], digits: [3, 2, 1, 0].map(digit) },
        ]
    }

    fn number(&self) -> u32 {
        u32::from_be_bytes(self.0) % 100_000_000
    }
}

impl Half {
    /// Two words.
    pub fn words(&self) -> [&'static str; 2] {
        let [a, b] = self.octets.map(usize::from);
        [EVEN[a], ODD[b]]
    }

    /// Four digits.
    pub fn digits(&self) -> String {
        self.digits.iter().map(|digit| char::from(b'0' + digit)).collect()
    }

    /// Halves that sound unlike this one and unlike each other: none of all four shares a word or a digit at its place
    /// with another. If decoys could be alike, the odd one out would be the right one. `rng` must be the system's (or a
    /// test's).
    pub fn decoys<R: RngCore>(&self, rng: &mut R) -> [Half; DECOYS] {
        let mut drawn = [*self; 1 + DECOYS];
        for at in 1..drawn.len() {
            let earlier = drawn;
            drawn[at] = loop {
                let decoy = Half::draw(rng);
                if earlier[..at].iter().all(|half| decoy.is_unlike(half)) {
                    break decoy;
                }
            };
        }
        let [_, decoys @ ..] = drawn;
        decoys
    }

    fn draw<R: RngCore>(rng: &mut R) -> Half {
        let mut octets = [0; 2];
        rng.fill_bytes(&mut octets);
        Half { octets, digits: std::array::from_fn(|_| (rng.next_u32() % 10) as u8) }
    }

    fn is_unlike(&self, other: &Half) -> bool {
        let differ = |(a, b): (&u8, u8)| *a != b;
        self.octets.iter().zip(other.octets).all(differ) && self.digits.iter().zip(other.digits).all(differ)
    }
}

impl std::fmt::Debug for SafetyWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SafetyWords")
    }
}

impl std::fmt::Debug for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Half")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn two_halves_make_the_whole() {
        let words = SafetyWords::from_bits([250, 2, 3, 4]);
        let [first, second] = words.halves();
        assert_eq!([first.words(), second.words()].concat(), words.words());
        assert_eq!(first.digits() + &second.digits(), words.digits());
        assert_eq!(words.digits(), format!("{:08}", 0xfa02_0304_u32 % 100_000_000));
    }

    #[test]
    fn decoys_sound_unlike_the_right_half_and_each_other() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for _ in 0..1_000 {
            let mut bits = [0; 4];
            rng.fill_bytes(&mut bits);
            let right = SafetyWords::from_bits(bits).halves()[0];
            let decoys = right.decoys(&mut rng);
            let all = [&[right][..], &decoys].concat();
            for (at, half) in all.iter().enumerate() {
                for other in &all[..at] {
                    assert!(half.words().iter().zip(other.words()).all(|(a, b)| *a != b));
                    assert!(half.digits().chars().zip(other.digits().chars()).all(|(a, b)| a != b), "not even decoys");
                }
            }
        }
    }
}

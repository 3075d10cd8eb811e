//! What people compare at a first call: four words, or eight digits where they share no language.

use super::word_list::{EVEN, ODD};

/// 32 bits derived from the transcript: equal on both phones unless somebody sits in between, then
/// equal with probability 2^-32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SafetyWords([u8; 4]);

impl SafetyWords {
    pub(super) fn new(bits: [u8; 4]) -> Self {
        Self(bits)
    }

    /// Four words, from alternating lists.
    pub fn words(&self) -> [&'static str; 4] {
        let [a, b, c, d] = self.0.map(usize::from);
        [EVEN[a], ODD[b], EVEN[c], ODD[d]]
    }

    /// The same as eight digits (26.6 bits).
    pub fn digits(&self) -> String {
        format!("{:08}", u32::from_be_bytes(self.0) % 100_000_000)
    }
}

impl std::fmt::Debug for SafetyWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SafetyWords")
    }
}

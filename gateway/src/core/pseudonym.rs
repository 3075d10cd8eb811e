//! Pseudonyms: fixed-size stand-ins for text and addresses that the gateway must compare but need not keep.
//!
//! An HMAC under a key drawn at start and held in memory only. Equal inputs give equal pseudonyms for as long
//! as the key lives; nobody who sees a pseudonym, or a memory image without the key, can go back by guessing.

use std::fmt;

use rand_core::RngCore;
use ring::hmac;

/// A stand-in of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pseudonym([u8; 16]);

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym")
    }
}

/// The key under which pseudonyms are made.
pub(crate) struct PseudonymKey(hmac::Key);

impl PseudonymKey {
    pub(crate) fn draw(rng: &mut impl RngCore) -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()))
    }

    /// The pseudonym of a sequence of parts; `("ab", "c")` and `("a", "bc")` differ.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&context.sign().as_ref()[..16]);
        Pseudonym(short)
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey")
    }
}

impl Pseudonym {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn equal_parts_meet_and_everything_else_differs() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (key, other) = (PseudonymKey::draw(&mut rng), PseudonymKey::draw(&mut rng));
        assert_eq!(key.of(&[b"ab", b"c"]), key.of(&[b"ab", b"c"]));
        assert_ne!(key.of(&[b"ab", b"c"]), key.of(&[b"a", b"bc"]));
        assert_ne!(key.of(&[b"ab"]), other.of(&[b"ab"]));
        assert_eq!(format!("{:?} {key:?}", key.of(&[])), "Pseudonym PseudonymKey");
    }
}

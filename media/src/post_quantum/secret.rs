//! What both sides share after the exchange, and how it changes the keys of the call.

use super::failure::Failure;
use crate::keys::ExporterBlock;
use crate::verify::hash;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The ML-KEM-768 shared secret and the hash of the exchange it came from. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    shared: [u8; 32],
    exchange: [u8; 32],
}

/// Length of the block that is derived.
struct BlockLen(usize);

impl KeyType for BlockLen {
    fn len(&self) -> usize {
        self.0
    }
}

impl Secret {
    pub(super) fn new(shared: &[u8], encapsulation_key: &[u8], ciphertext: &[u8]) -> Result<Self, Failure> {
        let mut secret = Self { shared: [0; 32], exchange: hash(&[encapsulation_key, ciphertext]) };
        if shared.len() != secret.shared.len() {
            return Err(Failure::LocalSetup);
        }
        secret.shared.copy_from_slice(shared);
        Ok(secret)
    }

    /// Replaces the block by `HKDF-SHA256(salt = block, ikm = shared secret, info = "VFY1 pq" ‖ H(ek ‖ ct))` (RFC 5869)
    /// of the same length: to predict it one must know both the block and the secret.
    ///
    /// # Errors
    /// [`Failure::LocalSetup`] if the derivation is not possible; the block is then of no use.
    pub fn mix_into(&self, keys: &mut ExporterBlock) -> Result<(), Failure> {
        let mixing_key = Salt::new(HKDF_SHA256, keys.expose()).extract(&self.shared);
        let block = keys.expose_mut();
        let info: [&[u8]; 2] = [b"VFY1 pq", &self.exchange];
        let derived = mixing_key.expand(&info, BlockLen(block.len())).and_then(|derived| derived.fill(block));
        derived.map_err(|_| Failure::LocalSetup)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

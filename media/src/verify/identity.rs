//! The long-term key of an account (X25519, RFC 7748) and its key code.

use super::channel::hash;
use rand_core::RngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Alphabet of RFC 4648 §6, without padding.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Octets of the hash that a key code shows: 160 bits.
const KEY_CODE_LEN: usize = 20;

/// The secret half. Wiped when dropped; no `Clone`, opaque `Debug`.
pub struct IdentityKey(StaticSecret);

/// The public half: what a contact's phone pins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentityPublic([u8; 32]);

impl IdentityKey {
    /// Draws a new key. `rng` must be the system's (or a test's).
    pub fn generate<R: RngCore>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(&bytes)
    }

    /// From its 32 stored octets.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The 32 octets to be stored, encrypted.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> IdentityPublic {
        IdentityPublic(PublicKey::from(&self.0).to_bytes())
    }

    /// X25519 with a peer's key; `None` if that key is of low order and would fix the result.
    pub(super) fn agree(&self, peer: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityKey")
    }
}

impl IdentityPublic {
    /// From its 32 octets.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 octets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The code people compare by other means: eight groups of four characters.
    pub fn key_code(&self) -> String {
        let hashed = hash(&[b"VFY1 id", &self.0]);
        let mut code = String::with_capacity(39);
        for group in hashed[..KEY_CODE_LEN].chunks_exact(5) {
            let bits = group.iter().fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
            for (position, shift) in (0..40).step_by(5).rev().enumerate() {
                if position % 4 == 0 && !code.is_empty() {
                    code.push(' ');
                }
                code.push(char::from(BASE32[(bits >> shift) as usize & 31]));
            }
        }
        code
    }
}

impl std::fmt::Debug for IdentityPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityPublic")
    }
}

//! Sealing: how kept things are encrypted.
//!
//! ```text
//!   magic(16) ‖ salt(16) ‖ nonce(24) ‖ XChaCha20-Poly1305(content), with magic ‖ salt authenticated ‖ SHA-256(32)
//! ```
//! The key is argon2id (RFC 9106 §4, second recommended choice: 64 MiB, 3 passes, 4 lanes) of passphrase and salt, or
//! a drawn key, then the salt is only authenticated. The checksum at the end covers nothing secret; it lets a damaged
//! file be told from a wrong passphrase. The costs are part of the format, not of the file: a file cannot ask for less.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand_core::RngCore;
use ring::digest::{SHA256, digest};
use undertone_config::Secret;
use zeroize::Zeroizing;

const MAGIC_LEN: usize = 16;
const SALT_LEN: usize = 16;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
pub(super) const CHECKSUM_LEN: usize = 32;
/// What sealing adds to the content.
pub const OVERHEAD: usize = MAGIC_LEN + SALT_LEN + NONCE_LEN + TAG_LEN + CHECKSUM_LEN;
const LANES: u32 = 4;

/// Names the kind and, in its last octet, the version of a file; one kind cannot be opened as another.
pub type Magic = [u8; MAGIC_LEN];

/// What guessing one passphrase costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// The only one used outside tests.
    pub const PRODUCTION: Self = Self { memory_kib: 64 * 1024, passes: 3 };

    /// Next to nothing, so that tests can try many.
    #[cfg(test)]
    pub(crate) const TRIAL: Self = Self { memory_kib: 64, passes: 1 };
}

/// A drawn key of 256 bits. Wiped when dropped.
pub struct SealKey(Zeroizing<[u8; 32]>);

/// What opens a sealed file.
#[derive(Debug, Clone, Copy)]
pub enum Opener<'a> {
    /// What a person knows.
    Passphrase(&'a Secret, Cost),
    /// What another sealed file holds.
    Key(&'a SealKey),
}

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// Cut off, changed or of another kind.
    Damaged,
    /// Intact and of this kind, but of a version that is not known here.
    Newer,
    /// Intact, but sealed with another passphrase or key.
    WrongKey,
    /// The passphrase could not be worked on.
    NoMemory,
}

impl SealKey {
    /// Takes over 32 drawn octets.
    #[must_use]
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

impl Opener<'_> {
    fn cipher(&self, salt: &[u8]) -> Result<XChaCha20Poly1305, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Self::Key(drawn) => key.copy_from_slice(drawn.expose()),
            Self::Passphrase(passphrase, cost) => {
                let params = Params::new(cost.memory_kib, cost.passes, LANES, Some(key.len()));
                let params = params.map_err(|_| SealError::NoMemory)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.expose().as_bytes(), salt, key.as_mut())
                    .map_err(|_| SealError::NoMemory)?;
            }
        }
        Ok(XChaCha20Poly1305::new(&Key::from(*key)))
    }
}

/// Encrypts `content`; every time with a new salt and nonce.
///
/// # Errors
/// When the passphrase cannot be worked on.
pub fn seal<R: RngCore>(magic: &Magic, content: &[u8], opener: Opener<'_>, rng: &mut R) -> Result<Vec<u8>, SealError> {
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut nonce);
    let mut sealed = Vec::with_capacity(content.len() + OVERHEAD);
    sealed.extend_from_slice(magic);
    sealed.extend_from_slice(&salt);
    let payload = Payload { msg: content, aad: &sealed };
    let encrypted = opener.cipher(&salt)?.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::NoMemory)?;
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&encrypted);
    let checksum = digest(&SHA256, &sealed);
    sealed.extend_from_slice(checksum.as_ref());
    Ok(sealed)
}

/// The content of what [`seal`] made.
///
/// # Errors
/// When it is damaged or sealed with something else.
pub fn open(magic: &Magic, sealed: &[u8], opener: Opener<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let body_len = sealed.len().checked_sub(CHECKSUM_LEN).ok_or(SealError::Damaged)?;
    let (body, checksum) = sealed.split_at(body_len);
    let is_intact = sealed.len() >= OVERHEAD && digest(&SHA256, body).as_ref() == checksum;
    let (kind, version) = magic.split_at(MAGIC_LEN - 1);
    if !is_intact || !body.starts_with(kind) || body[kind.len()..] < *version {
        return Err(SealError::Damaged);
    }
    if !body[kind.len()..].starts_with(version) {
        return Err(SealError::Newer);
    }
    let (aad, rest) = body.split_at(MAGIC_LEN + SALT_LEN);
    let (nonce, encrypted) = rest.split_at(NONCE_LEN);
    let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| SealError::Damaged)?;
    let payload = Payload { msg: encrypted, aad };
    let content = opener.cipher(&aad[MAGIC_LEN..])?.decrypt(&XNonce::from(nonce), payload);
    content.map(Zeroizing::new).map_err(|_| SealError::WrongKey)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const MAGIC: &Magic = b"undertone test 1";

    #[test]
    fn what_is_sealed_comes_back_and_is_never_sealed_alike_twice() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let passphrase = Secret::new("correct horse".into());
        let opener = Opener::Passphrase(&passphrase, Cost::TRIAL);
        let first = seal(MAGIC, b"content", opener, &mut rng).unwrap();
        let second = seal(MAGIC, b"content", opener, &mut rng).unwrap();
        assert_ne!(first[MAGIC_LEN..], second[MAGIC_LEN..]);
        assert_eq!(first.len(), OVERHEAD + 7);
        assert_eq!(open(MAGIC, &first, opener).unwrap().as_slice(), b"content");
        assert!(!first.windows(7).any(|piece| piece == b"content"));
    }

    #[test]
    fn every_changed_octet_and_every_cut_is_told_as_damage() {
        let key = SealKey::new(Zeroizing::new([7; 32]));
        let sealed = seal(MAGIC, b"content", Opener::Key(&key), &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(open(MAGIC, &damaged, Opener::Key(&key)).err(), Some(SealError::Damaged), "octet {at}");
            }
            assert_eq!(open(MAGIC, &sealed[..at], Opener::Key(&key)).err(), Some(SealError::Damaged), "cut at {at}");
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert_eq!(open(MAGIC, &longer, Opener::Key(&key)).err(), Some(SealError::Damaged));
        for other in [b"undertone test 2", b"undertone tesT 1"] {
            assert_eq!(open(other, &sealed, Opener::Key(&key)).err(), Some(SealError::Damaged));
        }
        assert_eq!(open(b"undertone test 0", &sealed, Opener::Key(&key)).err(), Some(SealError::Newer));
    }

    #[test]
    fn a_forger_who_mends_the_checksum_is_stopped_by_the_seal() {
        let key = SealKey::new(Zeroizing::new([7; 32]));
        let sealed = seal(MAGIC, b"content", Opener::Key(&key), &mut ChaCha20Rng::seed_from_u64(3)).unwrap();
        let body = &sealed[..sealed.len() - CHECKSUM_LEN];
        for at in MAGIC_LEN..body.len() {
            let mut forged = body.to_vec();
            forged[at] ^= 1;
            let checksum = digest(&SHA256, &forged);
            forged.extend_from_slice(checksum.as_ref());
            assert_eq!(open(MAGIC, &forged, Opener::Key(&key)).err(), Some(SealError::WrongKey), "octet {at}");
        }
    }

    #[test]
    fn another_passphrase_or_cost_opens_nothing() {
        let [right, wrong] = ["right", "wrong"].map(|text| Secret::new(text.into()));
        let sealed = Opener::Passphrase(&right, Cost::TRIAL);
        let sealed = seal(MAGIC, b"content", sealed, &mut ChaCha20Rng::seed_from_u64(4)).unwrap();
        let cheaper = Cost { memory_kib: 32, passes: 1 };
        for opener in [Opener::Passphrase(&wrong, Cost::TRIAL), Opener::Passphrase(&right, cheaper)] {
            assert_eq!(open(MAGIC, &sealed, opener).err(), Some(SealError::WrongKey));
        }
    }

    #[test]
    fn the_production_cost_is_what_the_design_asks_for() {
        assert_eq!((Cost::PRODUCTION.memory_kib, Cost::PRODUCTION.passes, LANES), (65_536, 3, 4));
    }
}

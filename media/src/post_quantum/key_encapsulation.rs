//! ML-KEM-768 (FIPS 203) by `aws-lc-rs`, which draws its own randomness from the system. Its memory and its secrets are
//! wiped when freed.

use super::failure::Failure;
use super::secret::Secret;
use aws_lc_rs::kem::{self, ML_KEM_768};
use zeroize::Zeroizing;

/// The initiator's one-time key.
pub(super) struct DecapsulationKey(kem::DecapsulationKey);

impl DecapsulationKey {
    /// A new key, and the encapsulation key that belongs to it.
    pub(super) fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), Failure> {
        let key = kem::DecapsulationKey::generate(&ML_KEM_768).map_err(|_| Failure::LocalSetup)?;
        let public = key.encapsulation_key().and_then(|public| public.key_bytes()).map_err(|_| Failure::LocalSetup)?;
        Ok((Self(key), Zeroizing::new(public.as_ref().to_vec())))
    }

    /// A ciphertext for another key gives another secret, not an error: implicit rejection (FIPS 203 §6.3).
    pub(super) fn decapsulate(&self, encapsulation_key: &[u8], ciphertext: &[u8]) -> Result<Secret, Failure> {
        let shared = self.0.decapsulate(ciphertext.into()).map_err(|_| Failure::LocalSetup)?;
        Secret::new(shared.as_ref(), encapsulation_key, ciphertext)
    }
}

/// Ciphertext and secret for the owner of `encapsulation_key`.
///
/// The library reads a key with coefficients out of range, but encapsulates to none: that is the modulus
/// check of FIPS 203 §7.2.
pub(super) fn encapsulate(encapsulation_key: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Secret), Failure> {
    let key = kem::EncapsulationKey::new(&ML_KEM_768, encapsulation_key).map_err(|_| Failure::KeyRefused)?;
    let (ciphertext, shared) = key.encapsulate().map_err(|_| Failure::KeyRefused)?;
    let secret = Secret::new(shared.as_ref(), encapsulation_key, ciphertext.as_ref())?;
    Ok((Zeroizing::new(ciphertext.as_ref().to_vec()), secret))
}

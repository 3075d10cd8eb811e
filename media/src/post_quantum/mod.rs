//! The post-quantum exchange: mixes an ML-KEM-768 secret (FIPS 203) into the keys of a call, inside the
//! encrypted channel, before VFY1 and before the first SRTP packet. Specified in `docs/verification.md`.
//!
//! [`Exchange`] carries an encapsulation key one way and a ciphertext back; [`Secret`] is what both
//! sides then share, and turns the exporter block into the mixed one that everything else hangs on.
//! Whoever records a call today and can break elliptic curves later still lacks that secret.

mod exchange;
mod failure;
mod fragments;
mod frame;
mod key_encapsulation;
mod secret;

pub use exchange::{Exchange, Output};
pub use failure::Failure;
pub use frame::MAGIC;
pub use secret::Secret;

#[cfg(test)]
mod tests;

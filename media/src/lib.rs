//! Sound ⇄ protected datagrams, as pure state: no socket, clock, thread or random generator of its own.
//!
//! `session` is one call's media as its owner sees it. Below it, from sound to wire: `codec` (Opus),
//! `playout` (what is heard when), `rtp` and `rtcp` (formats and statistics). `dtls` agrees on keys
//! with the other phone (RFC 5764), `srtp` protects each packet with them (RFC 3711, RFC 7714),
//! `post_quantum` mixes a secret into those keys that no quantum computer gets out of a recording,
//! `verify` proves the phones to each other, `certificate` makes the throw-away certificate of one
//! call, `keys` holds what must be wiped from memory afterwards.

pub mod certificate;
pub mod codec;
pub mod dtls;
pub mod keys;
pub mod playout;
pub mod post_quantum;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod srtp;
pub mod verify;

/// Samples per second of all sound inside the phone (mono `f32`).
pub const SAMPLE_RATE_HZ: u32 = 48_000;

#[cfg(test)]
mod synthetic_speech;

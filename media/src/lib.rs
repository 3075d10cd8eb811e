//! Sound ⇄ protected datagrams, as pure state: no socket, clock, thread or random generator of its own.
//!
//! `dtls` agrees on keys with the other phone (RFC 5764), `srtp` protects each packet with them
//! (RFC 3711, RFC 7714), `certificate` makes the throw-away certificate of one call, `keys` holds
//! what must be wiped from memory afterwards.

pub mod certificate;
pub mod dtls;
pub mod keys;
pub mod srtp;
pub mod verify;

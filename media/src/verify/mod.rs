//! VFY1: how two phones prove to each other that nobody sits between them, inside the encrypted
//! channel of the call, where the gateway sees only ciphertext. Specified in `docs/verification.md`.
//!
//! [`Exchange`] runs the four messages of one DTLS association; [`ChannelBinding`] ties it to the
//! very SRTP keys and certificates of that association; [`IdentityKey`] is the long-term key it
//! proves; [`SafetyWords`] are what people compare at the first call; a [`ring_ticket`] tells the callee's phone who
//! calls before it does anything.

mod channel;
mod exchange;
mod failure;
mod identity;
mod message;
mod repeat;
pub mod ring_ticket;
mod safety_words;
mod word_list;

pub(crate) use channel::hash;
pub use channel::{AddressHash, ChannelBinding};
pub use exchange::{Capabilities, Exchange, InviteProof, InviteToken, Output, Proven, Role, Settings};
pub use failure::Failure;
pub use identity::{IdentityKey, IdentityPublic};
pub use message::MAGIC;
pub(crate) use repeat::{LIMIT, Repeat};
pub use safety_words::{DECOYS, Half, SafetyWords};

//! A dishonest gateway: the honest one with somebody inside who reads, rewrites and invents whatever passes through.
//!
//! ```text
//!  phone ═ signalling ═ rewritten ═ core::Gateway ═ rewritten ═ signalling ═ phone
//!    └─ media ─ Leg (own certificate, own keys) ─ decrypted sound ─ Leg ─ media ─┘
//! ```
//! It can do what whoever owns the server can do, and no more: it sees and changes signalling and datagrams, owns
//! accounts, makes keys of its own. It knows no phone's key, and cannot reach into an association between two phones.
//! `undertone-gateway` is not able to do any of this: it links no code that could decrypt a call.
//!
//! What it does is a list of [`Mischief`], so that a test reads as a sentence.

// Each place looks for its own kind of mischief and leaves the others to others.
#![allow(clippy::wildcard_enum_match_arm)]

mod descriptions;
mod dishonest_gateway;
mod distortion;
mod forged_request;
mod hello;
mod leg;
mod mischief;

pub use dishonest_gateway::DishonestGateway;
pub(crate) use dishonest_gateway::Output;
pub use mischief::{Distortion, Mischief, TicketTrick, Whom};

//! Protection of each RTP and RTCP packet: RFC 3711, with the ciphers of RFC 7714.
//!
//! [`Context`] holds both directions of one association. Packets are protected and opened in place,
//! without allocation; nothing about a packet is remembered before its tag has been verified.

mod cipher;
mod context;
mod header;
mod key_derivation;
mod profile;
mod replay;

pub use context::{Context, Counters, Discard, MAX_FOREIGN_SOURCES, ProtectError, SsrcPolicy};
pub use header::is_rtcp;
pub use profile::Profile;

pub use crate::keys::ExporterBlock;

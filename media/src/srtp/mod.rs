//! Protection of each RTP and RTCP packet: RFC 3711, with the ciphers of RFC 7714.

mod profile;

pub use profile::Profile;

pub use crate::keys::ExporterBlock;

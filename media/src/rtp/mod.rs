//! RTP as calls use it: the fixed header (RFC 3550 §5.1), redundancy (RFC 2198) and telephone events
//! (RFC 4733), read and written in place.

pub mod header;
pub mod red;
pub mod telephone_event;

pub use header::{HEADER_LEN, Header, Packet};

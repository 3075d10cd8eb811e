//! SDP for one audio stream keyed by DTLS-SRTP (RFC 8866, RFC 3264, RFC 5763, RFC 8839, RFC 8842).
//!
//! ```text
//! bytes ─ Description::parse ─▶ Description ─ answer / relayed ─▶ Description ─ to_bytes ─▶ bytes
//!                │
//!                └▶ SdpRefusal: the reason a person understands, and 488 or 400
//! ```
//! A [`Description`] without a SHA-256 fingerprint cannot exist: plain RTP and keys in signalling are
//! refused where they are read. What is written comes from one constant template.

mod attribute;
mod candidate;
mod codec;
mod description;
mod fingerprint;
mod negotiate;
mod read;
mod refusal;
mod template;

pub use candidate::{Candidate, Ice, MAX_CANDIDATES};
pub use codec::{Codec, OPUS, RED, TELEPHONE_EVENT};
pub use description::{Description, Direction, Origin, OtherMedia, Setup, Transport};
pub use fingerprint::Fingerprint;
pub use negotiate::{Capabilities, DtlsRole, Negotiated, Payloads, answer, conclude};
pub use read::{MAX_ATTRIBUTES, MAX_MEDIA, MAX_SDP_LEN};
pub use refusal::SdpRefusal;

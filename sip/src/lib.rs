//! Signalling as pure state: SIP messages on the wire, SDP, digest authentication, and (above them)
//! transactions, dialogs, calls and registration. No sockets, no clocks, no randomness of its own.

pub mod digest;
pub mod sdp;
pub mod user_agent;
pub mod wire;

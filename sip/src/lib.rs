//! Signalling as pure state: SIP messages on the wire, SDP, digest authentication, and (above them)
//! transactions, dialogs, calls and registration. No sockets, no clocks, no randomness of its own.

mod dialog;
pub mod digest;
mod invite;
mod join_token;
pub mod registration;
pub mod sdp;
mod transaction;
pub mod user_agent;
pub mod wire;

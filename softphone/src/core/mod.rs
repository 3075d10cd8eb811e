//! The phone as pure state: no socket, clock, thread or random source of its own.
//!
//! ```text
//!   faces ──Command──▶ phone ──MediaCommand──▶ media path ◀──▶ datagrams
//!         ◀──Event────       ◀──MediaEvent───             ◀──▶ sound
//!                      ▲
//!                      └─▶ bytes on flows (TLS to the gateway, or directly to another phone)
//! ```
//! The signalling side and the media path run on different threads and meet only in `MediaCommand` and `MediaEvent`.

pub mod call;
pub mod command;
pub mod event;
pub mod ice;
pub mod media_command;
pub mod media_event;
pub mod phone_output;
pub mod phone_settings;

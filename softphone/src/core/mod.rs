//! The phone as pure state: no socket, clock, thread or random source of its own.
//!
//! ```text
//!   faces ──Command──▶ phone ──MediaCommand──▶ media path ◀──▶ datagrams
//!         ◀──Event────       ◀──MediaEvent───             ◀──▶ sound
//!                      ▲
//!                      └─▶ bytes on flows (TLS to the gateway, or directly to another phone)
//! ```
//! The signalling side and the media path run on different threads and meet only in `MediaCommand` and `MediaEvent`.

mod address;
pub mod call;
mod call_control;
pub mod ceremony;
pub mod checking;
pub mod command;
pub mod contacts;
mod direct_line;
pub mod event;
mod gateway_line;
mod holding;
pub mod ice;
mod line;
pub mod media_command;
pub mod media_event;
pub mod media_path;
pub mod negotiate;
mod not_done;
mod parties;
pub mod phone;
pub mod phone_output;
pub mod phone_settings;
pub mod ringing;
mod ticket_memory;
mod unverified;
mod utc_clock;
pub mod verification;
mod warning;

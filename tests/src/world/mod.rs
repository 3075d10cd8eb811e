//! The whole product in one process and in virtual time: phones, a gateway with its relay, and the network between.
//!
//! ```text
//!  station 0 ─ core::Phone ══ signalling link (ordered, delayed) ══ core::Gateway
//!    └ MediaPath ── media link (str0m-netem: loss, jitter, …) ── core::relay::Relay ── media link ── station 1 …
//! ```
//! Nothing sleeps and nothing listens on a port. Every random source but the DTLS engines' own is seeded, so one seed
//! gives one run; what that covers exactly is said at [`Transcript`].

// A test looks for one event among many and must not break when there is one more.
#![allow(clippy::wildcard_enum_match_arm)]

mod acquaintance;
mod calls;
mod exchange;
mod gateway_site;
mod media_link;
mod signalling_link;
mod simulation;
mod station;
mod transcript;
mod voice;

pub use acquaintance::TODAY;
pub use exchange::{Exchange, Kind};
pub use gateway_site::{DOMAIN, RELAY};
pub use media_link::Line;
pub use signalling_link::Break;
pub use simulation::{Falsify, World};
pub use station::{FRAME, FRAME_SAMPLES, Station, StationId};
pub use transcript::Transcript;
pub use voice::voice;

//! The gateway as pure state: no socket, no clock, no thread, no random source of its own.
//!
//! What arrives is handed in with the time it arrived; what must leave is polled. Nothing here records a call
//! beyond its life: there is no type for it.

pub mod accounts;
mod answers;
mod authentication;
mod bindings;
mod flows;
mod fork;
mod hide;
mod lease;
pub mod limits;
pub mod output;
mod pseudonym;
mod registrar;
pub mod relay;
pub mod settings;
pub mod totals;

pub use accounts::{AccountName, Accounts, Verifier};
pub use limits::{Origin, OriginSalt};
pub use output::Output;
pub use registrar::FLOW_TIMER_S;
pub use settings::{RelayAddresses, Settings};

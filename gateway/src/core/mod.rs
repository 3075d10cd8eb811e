//! The gateway as pure state: no socket, no clock, no thread, no random source of its own.
//!
//! What arrives is handed in with the time it arrived; what must leave is polled. Nothing here records a call
//! beyond its life: there is no type for it.

pub mod accounts;
mod answers;
mod authentication;
mod b2bua;
mod bindings;
pub mod day;
pub mod device;
pub mod errand;
mod flows;
mod fork;
mod gateway;
mod hide;
pub mod invite_token;
mod joining;
mod lease;
pub mod limits;
pub mod output;
mod pseudonym;
mod registrar;
pub mod relay;
pub mod settings;
pub mod succession;
pub mod totals;

pub use accounts::{AccountName, Accounts, Verifier};
pub use authentication::{MAX_NONCES_PER_FLOW, NONCE_LIFE};
pub use b2bua::{REFUSAL_AFTER, REFUSAL_JITTER};
pub use bindings::MAX_DEVICES_PER_ACCOUNT;
pub use day::Day;
pub use device::DeviceHash;
pub use errand::{Errand, ErrandDone, ErrandId, Outcome};
pub use flows::{FlowOpened, SIGN_IN_WITHIN};
pub use gateway::Gateway;
pub use invite_token::TokenHash;
pub use limits::{Origin, OriginSalt};
pub use output::Output;
pub use registrar::{FLOW_TIMER_S, MAX_EXPIRES_S, MIN_EXPIRES_S};
pub use settings::{RelayAddresses, Settings};
pub use succession::{Announcement, Succession};

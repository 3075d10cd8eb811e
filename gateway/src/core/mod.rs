//! The gateway as pure state: no socket, no clock, no thread, no random source of its own.
//!
//! What arrives is handed in with the time it arrived; what must leave is polled. Nothing here records a call
//! beyond its life: there is no type for it.

pub mod accounts;
pub mod limits;
pub mod relay;
pub mod totals;

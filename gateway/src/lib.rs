//! gateway
pub mod core;

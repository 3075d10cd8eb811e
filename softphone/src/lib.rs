//! The Undertone phone: its core as a library, and the shells around it.

pub mod core;

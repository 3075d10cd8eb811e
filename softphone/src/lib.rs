//! The Undertone phone: its core as a library, and the shells around it.
//!
//! `core` decides, `net` moves bytes, `audio` moves sound, `ui` and `cli` talk with people.

pub mod audio;
pub mod cli;
pub mod core;
pub mod net;
pub mod ui;

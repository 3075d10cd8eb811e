//! The Undertone phone: its core as a library, and the shells around it.
//!
//! `core` decides, `keeping` keeps what nobody else may read, `net` moves bytes, `audio` moves sound, `ui` and `cli`
//! talk with people.

pub mod audio;
pub mod cli;
pub mod core;
pub mod keeping;
pub mod net;
pub mod ui;

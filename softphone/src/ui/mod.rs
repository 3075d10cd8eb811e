//! What people and programs see and type: sentences, lines, JSON, keys. Every face translates into
//! [`Command`](crate::core::command::Command) and from [`Event`](crate::core::event::Event), and decides nothing.

pub mod command_line;
pub mod event_line;
pub mod keys;
pub mod printer;
pub mod prompt;
pub mod qr;
pub mod terminal;
pub mod warning_box;

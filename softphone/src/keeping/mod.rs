//! What the phone keeps between runs and nobody else may read: its identity, and the contacts it protects.
//!
//! ```text
//!   a person ──┬─ passphrase ──argon2id──▶ identity file ──opens──┬▶ identity key
//!   keystore ──┘                                                  └▶ contacts key ──opens──▶ contacts file
//! ```
//! Files are replaced as a whole (temporary file, fsync, rename), readable by their owner only, and changed under one
//! lock of the profile. What cannot be opened is said in one sentence and never overwritten.

pub mod contacts_file;
mod contacts_format;
pub mod error;
pub mod identity_file;
pub mod keystore;
pub mod keystore_entry;
mod lock;
pub mod seal;

//! What the phone keeps between runs and nobody else may read: its identity, the contacts it protects, and the key of
//! this device.
//!
//! ```text
//!   a person ──┬─ passphrase ──argon2id──▶ identity file ──opens──┬▶ identity key
//!   keystore ──┘                                                  └▶ contacts key ──opens──▶ contacts file
//! ```
//! The device key is not sealed: a phone must be able to sign in before anybody has typed a passphrase, and whoever
//! has it can sign in as this device until it is revoked, but not pose as its owner in a call.
//!
//! Files are replaced as a whole (temporary file, fsync, rename), readable by their owner only, and changed under one
//! lock of the profile. What cannot be opened is said in one sentence and never overwritten.

pub mod contacts_file;
mod contacts_format;
pub mod device_key;
pub mod error;
pub mod gateway_keys;
pub mod identity_file;
pub mod keystore;
pub mod keystore_entry;
pub mod link_identity;
mod lock;
pub mod pending_join;
pub mod seal;

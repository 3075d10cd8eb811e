//! Configuration of Undertone: files, flags and environment become checked values.
//!
//! A value of [`GatewayConfig`] or [`PhoneConfig`] can only be made valid: the files are first read
//! as they stand (`raw`, unknown keys refused), then turned into addresses, pins and paths. Every
//! refusal is a [`ConfigError`] that names the file, the key, the value and the remedy.
//! This crate also owns what must never reach a log by accident: [`Secret`] and [`Redacted`].

mod account;
mod domain;
mod error;
mod gateway;
mod host_port;
mod link;
mod operator_key;
mod paths;
mod phone;
mod pin;
mod private_file;
mod raw;
mod redacted;
mod secret;

pub use account::{AccountAddress, AccountAddressError, AccountName};
pub use domain::{Domain, DomainError};
pub use error::ConfigError;
pub use gateway::{GatewayConfig, RelayConfig, default_gateway_file};
pub use host_port::{DEFAULT_TLS_PORT, HostPort, HostPortError};
pub use link::{ContactLink, JoinLink, Link, LinkError, LinkToken, MAX_LINK_LEN, MAX_SEALED_LEN};
pub use operator_key::{OperatorKey, OperatorKeyError};
pub use paths::{Environment, PhonePaths};
pub use phone::{AnnouncedPin, Credential, PhoneConfig, SoundConfig};
pub use pin::{Pin, PinError};
pub use private_file::write_private;
pub use redacted::Redacted;
pub use secret::Secret;

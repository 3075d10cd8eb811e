//! The blind relay: carries a call's protected datagrams between its two legs and can read none of them.
//!
//! RFC 8445 §2.5 (ICE-lite), RFC 8489 (STUN), RFC 7983 (demultiplexing by the first byte).
//!
//! The signalling core owns the numbering of slots and draws the credentials; it tells the relay by
//! [`RelayCommand`], so a call needs no round trip to the relay's thread.

mod command;
mod credentials;
mod slot;

pub use command::{RelayCommand, RelayEvent};
pub use credentials::{LegCredentials, PASSWORD_LEN, UFRAG_LEN};
pub use slot::{Side, SlotId, SlotNumbers};

/// How long a call may be without any datagram from either leg: longer than a phone's pause between two consent
/// checks (5 s, RFC 7675) many times over, shorter than people take to give up and wonder.
pub const SILENCE: std::time::Duration = std::time::Duration::from_secs(45);

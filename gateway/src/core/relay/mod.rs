//! The blind relay: carries a call's protected datagrams between its two legs and can read none of them.
//!
//! RFC 8445 §2.5 (ICE-lite), RFC 8489 (STUN), RFC 7983 (demultiplexing by the first byte).
//!
//! The signalling core owns the numbering of slots and draws the credentials; it tells the relay by
//! [`RelayCommand`], so a call needs no round trip to the relay's thread.

mod blind;
mod check;
mod command;
mod counters;
mod credentials;
mod held;
mod keyed_table;
mod leg;
mod slot;

pub use blind::{Relay, RelayAction};
pub use command::{RelayCommand, RelayEvent};
pub use counters::{DropCause, RelayCounters};
pub use credentials::{LegCredentials, PASSWORD_LEN, UFRAG_LEN};
pub use held::{HOLD_TIME, MAX_HELD, MAX_HELD_PER_LEG};
pub use leg::{LEG_BURST, LEG_BYTES_PER_S};
pub use slot::{Side, SlotId, SlotNumbers};

use std::time::Duration;

/// Longest datagram that is carried: what fits an Ethernet frame. Our phones send far less.
pub const MAX_DATAGRAM_LEN: usize = 1_500;

/// How long a leg, once admitted, may send nothing at all: many times a phone's pause between two consent checks (5 s,
/// RFC 7675), and about as long as people wait before they give up.
pub const SILENCE: Duration = Duration::from_secs(45);

/// How long an address stays its leg's without a sign of life: three pauses between consent checks.
pub const ADDRESS_KEPT: Duration = Duration::from_secs(15);

/// Pause between two looks for silent legs.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

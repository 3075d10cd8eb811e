//! What the signalling core tells the relay, and what the relay reports back.

use super::credentials::LegCredentials;
use super::slot::{Side, SlotId};

/// An order to the relay. Orders about a slot whose generation has passed are ignored.
#[derive(Debug)]
pub enum RelayCommand {
    /// Carry a call: whoever proves to know a leg's password is that leg.
    Open {
        /// The call's place, from [`SlotNumbers`](super::SlotNumbers).
        slot: SlotId,
        /// The caller's and the callee's credentials, in this order.
        legs: [LegCredentials; 2],
    },
    /// One leg has new credentials (ICE restart, RFC 8445 §9, or another device answered). Its old address stays in
    /// use until a check with the new ones arrives; the old credentials admit nobody any more.
    Restart {
        /// The call's place.
        slot: SlotId,
        /// Whose credentials are replaced.
        side: Side,
        /// The new ones.
        credentials: LegCredentials,
    },
    /// Stop at once and forget the call.
    Close {
        /// The call's place.
        slot: SlotId,
    },
}

/// What the relay reports. It never names an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayEvent {
    /// A leg that had been admitted sent nothing at all for [`SILENCE`](super::SILENCE): the call is dead and should
    /// be ended. Said once per slot.
    Silent {
        /// The call's place.
        slot: SlotId,
    },
}

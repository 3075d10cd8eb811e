//! What the signalling core asks its shell to do.

use undertone_sip::user_agent::FlowId;

use super::errand::{Errand, ErrandId};
use super::relay::RelayCommand;

/// One thing for the shell to do. Drain until `None` after every `handle_…`.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes, one whole message, on the flow.
    Transmit {
        /// Where.
        flow: FlowId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close the flow once everything before is sent. The core has forgotten it; no `handle_flow_closed` is needed.
    CloseFlow {
        /// Which.
        flow: FlowId,
    },
    /// An order to the relay.
    Relay(RelayCommand),
    /// Something for the account store; report it with `Gateway::handle_errand_done`, whatever comes of it.
    Errand {
        /// Names it in the report.
        id: ErrandId,
        /// What to do.
        errand: Errand,
    },
}

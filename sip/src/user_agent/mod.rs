//! The user agent: calls, dialogs and transactions behind one door, for a phone and for each leg of a
//! gateway.

mod event;
mod flow;
mod settings;

pub use event::{EndCause, Event, Output, SessionId, TransactionId};
pub use flow::{FlowId, FlowIdentity, Transport};
pub use settings::{Invite, MAX_SESSIONS, MAX_TRANSACTIONS, RING_LIMIT, Settings};

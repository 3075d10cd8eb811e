//! The user agent: calls, dialogs and transactions behind one door, for a phone and for each leg of a
//! gateway (RFC 3261, 3311, 4028, 5626 §3.1, 6026).
//!
//! ```text
//!  shell ── handle_flow_opened, handle_message, handle_timeout ─▶ UserAgent ── poll_output ─▶ Transmit
//!  owner ── invite, ring, accept, reject, hang_up, reoffer …   ─▶           ──             ─▶ Event
//! ```
//! No sockets, no clock, no randomness of its own: the same inputs with the same seed give the same
//! bytes. Drain [`UserAgent::poll_output`] after every call, and call
//! [`UserAgent::handle_timeout`] at [`UserAgent::poll_timeout`].

mod agent;
mod alarms;
pub(crate) mod compose;
pub(crate) mod context;
mod event;
mod flow;
mod incoming;
mod login;
pub(crate) mod outbox;
mod settings;

pub(crate) use alarms::Alarm;

pub use agent::{Counters, UserAgent};
pub use event::{EndCause, Event, Output, SessionId, TransactionId};
pub use flow::{FlowId, FlowIdentity, Transport};
pub use login::Login;
pub use settings::{Invite, MAX_SESSIONS, MAX_TRANSACTIONS, RING_LIMIT, Settings};

pub use crate::transaction::MAX_TRANSACTIONS_PER_FLOW;

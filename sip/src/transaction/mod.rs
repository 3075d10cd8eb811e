//! Transactions: one request and its answers, repeated until they arrive (RFC 3261 §17, RFC 6026).
//!
//! Four pure state machines, each in its own file with its ladder, say what to do as [`Effect`]s;
//! [`layer`] matches messages to them, keeps their bytes and carries the effects out. ACK for a 2xx
//! belongs to no transaction: it passes through to the dialog.

mod client_invite;
mod client_request;
pub(crate) mod key;
pub(crate) mod layer;
mod server_invite;
mod server_request;
mod time;

pub use layer::MAX_TRANSACTIONS_PER_FLOW;
pub(crate) use layer::{Arrival, Layer, Owner};
pub(crate) use time::{T1, T2, TIMEOUT};

/// The timers of RFC 3261 §17 and RFC 6026, by their letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Repeats an INVITE.
    A,
    /// Gives an INVITE up.
    B,
    /// Absorbs repeated refusals of an INVITE.
    D,
    /// Repeats a request other than INVITE.
    E,
    /// Gives a request other than INVITE up.
    F,
    /// Repeats a refusal of an INVITE.
    G,
    /// Gives up waiting for the ACK of a refusal.
    H,
    /// Absorbs repeated ACKs.
    I,
    /// Absorbs repeated requests other than INVITE.
    J,
    /// Absorbs repeated answers to requests other than INVITE.
    K,
    /// Absorbs repeats of an accepted INVITE (RFC 6026).
    L,
    /// Lets repeated and forked acceptances of an INVITE through (RFC 6026).
    M,
    /// Not in the RFC: a request nobody above answered is forgotten when its client has given up.
    Abandoned,
}

impl Timer {
    /// The least of them in order.
    pub(crate) const FIRST: Self = Self::A;
}

/// What a state machine asks of the layer, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send our request (again).
    SendRequest,
    /// Send the ACK of a refusal.
    SendAck,
    /// Send the newest response (again).
    SendResponse,
    /// Hand the message that arrived to the dialog or the owner.
    Deliver,
    /// Tell the dialog or the owner that nobody answered.
    TimedOut,
    /// Start a timer, replacing one of the same letter.
    Arm(Timer, std::time::Duration),
    /// Stop a timer.
    Disarm(Timer),
    /// Forget the transaction and its timers.
    Terminate,
}

/// Effects of one step; short, and mostly empty.
pub(crate) type Effects = Vec<Effect>;

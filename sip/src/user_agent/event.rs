//! What a user agent tells its owner.
//!
//! Every session ends with exactly one [`Event::Rejected`] or [`Event::Ended`]; nothing about that
//! session follows it. Messages that finish the signalling may still be sent after that.

use super::flow::FlowId;
use crate::wire::{Request, Response};

/// Names one call (an INVITE and the dialog it makes) inside one user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Names one transaction inside one user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// One thing to do or to know. Drain until `None` after every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes, one whole message, on the flow.
    Transmit {
        /// Where.
        flow: FlowId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Event(Event),
}

/// Something happened to a session or a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody calls. 100 has been sent; answer with `ring`, `accept` or `reject`.
    IncomingInvite {
        /// The new session.
        session: SessionId,
        /// The flow it came on, and will stay on.
        flow: FlowId,
        /// The INVITE as it was read. It has an SDP offer.
        request: Box<Request>,
    },
    /// The other side answered our INVITE provisionally (101–199; 100 is swallowed).
    Progress {
        /// The session.
        session: SessionId,
        /// 180, 183, …
        status: u16,
        /// An early answer, if the message had one.
        sdp: Option<Vec<u8>>,
    },
    /// The other side took our call. At most once per session, whatever forks.
    Answered {
        /// The session.
        session: SessionId,
        /// The answer.
        sdp: Vec<u8>,
    },
    /// The other side refused our call (300–699, or 503 when our own tables are full). The session is over.
    Rejected {
        /// The session.
        session: SessionId,
        /// Status of the refusal.
        status: u16,
        /// Reason phrase as received: never show it to the other leg.
        reason: String,
    },
    /// The caller confirmed our acceptance (its ACK arrived).
    Confirmed {
        /// The session.
        session: SessionId,
    },
    /// The other side offers new media; answer with `accept_reoffer` or `refuse_reoffer`.
    Reoffer {
        /// The session.
        session: SessionId,
        /// The offer.
        sdp: Vec<u8>,
    },
    /// Our new offer was answered.
    ReofferAnswered {
        /// The session.
        session: SessionId,
        /// The answer.
        sdp: Vec<u8>,
    },
    /// Our new offer was refused; the session goes on as it was.
    ReofferRefused {
        /// The session.
        session: SessionId,
        /// Status of the refusal; 491 after repeated glare, 408 when nobody answered.
        status: u16,
    },
    /// The session is over.
    Ended {
        /// The session.
        session: SessionId,
        /// Why.
        cause: EndCause,
    },
    /// A request outside any dialog that the owner asked for in `Settings::surfaced`; answer it with `respond`.
    IncomingRequest {
        /// Its transaction.
        transaction: TransactionId,
        /// The flow it came on.
        flow: FlowId,
        /// The request as it was read.
        request: Box<Request>,
    },
    /// An answer to a request made with `request` (provisional ones other than 100 too).
    Response {
        /// The transaction `request` returned.
        transaction: TransactionId,
        /// The answer as it was read.
        response: Box<Response>,
    },
    /// A request made with `request` got no final answer, or its flow closed.
    RequestTimedOut {
        /// The transaction `request` returned.
        transaction: TransactionId,
    },
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCause {
    /// The other side hung up.
    RemoteBye,
    /// The caller gave up before we answered.
    RemoteCancel,
    /// Nobody answered in time: no response, no ACK, or the call rang too long.
    Timeout,
    /// The session timer ran out (RFC 4028): the other side is gone.
    SessionExpired,
    /// The flow closed under the call.
    FlowClosed,
    /// We hung up or rejected the call ourselves.
    LocalHangUp,
    /// The other side accepted the call without a usable answer.
    BadAnswer,
}

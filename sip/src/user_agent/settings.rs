//! What a user agent is told once, and what starts a call.

use std::time::Duration;

use super::login::Login;
use crate::wire::{HeaderName, Method, NameAddr, Uri};

/// Transactions one user agent holds at most. A busy gateway has about four per call set-up; beyond
/// this a request is answered 503 without any state.
pub const MAX_TRANSACTIONS: usize = 65_536;

/// Sessions one user agent holds at most, both directions together.
pub const MAX_SESSIONS: usize = 16_384;

/// How long a call may ring before it is given up: longer than any person lets a phone ring, shorter
/// than the three minutes after which proxies give up (RFC 3261 §16.6, timer C).
pub const RING_LIMIT: Duration = Duration::from_secs(150);

/// A user agent's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Session interval we ask for (RFC 4028), in seconds; at least 90.
    pub session_expires_s: u32,
    /// Requests outside dialogs that come to the owner as `Event::IncomingRequest`. Other known
    /// methods get 405, unknown ones 501.
    pub surfaced: Vec<Method>,
    /// Whether a request with `Max-Forwards: 0` is refused with 483: right for a B2BUA, which would
    /// send it on, wrong for a phone, which is where it was going.
    pub refuse_last_hop: bool,
    /// How long a call may ring.
    pub ring_limit: Duration,
    /// Bound of the transaction table.
    pub max_transactions: usize,
    /// Bound of the session table.
    pub max_sessions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_expires_s: 1800,
            surfaced: vec![Method::Options],
            refuse_last_hop: false,
            ring_limit: RING_LIMIT,
            max_transactions: MAX_TRANSACTIONS,
            max_sessions: MAX_SESSIONS,
        }
    }
}

/// A call to be made.
#[derive(Debug)]
pub struct Invite {
    /// Where the request goes.
    pub request_uri: Uri,
    /// Who calls. A tag is added, an existing one replaced.
    pub from: NameAddr,
    /// Who is called. A tag is removed.
    pub to: NameAddr,
    /// Where we are reached inside the dialog.
    pub contact: Uri,
    /// The offer.
    pub sdp: Vec<u8>,
    /// Answers one digest challenge, if given.
    pub credentials: Option<Login>,
    /// Further headers of our own making: `Max-Forwards` (in place of the usual 70), `Route`,
    /// `Expires`, `Reason` or an `Authorization` made beforehand. Others are ignored.
    pub extra: Vec<(HeaderName, String)>,
}

//! One call: who is at the other end and how far it has come.
//!
//! ```text
//! outgoing   Reaching ──flow──▶ Calling ──180──▶ RingingThere ──answered──▶ Connecting ──keys──▶ Encrypted
//!            (direct only)         │                  │                        │                   │
//! incoming                   RingingHere ──answer here────────────────────────▶│                   │
//!                                  │                  │                        │                   │
//!                                  └─── refused, cancelled, 60 s ──▶ gone ◀────┴─ 10 s, wrong key ─┴─ hung up, lost
//! ```
//! There is no stage in which sound flows without keys. A call that is over is dropped, with everything it knew.

use std::time::{Duration, Instant};

use serde::Serialize;
use undertone_media::certificate::Certificate;
use undertone_media::dtls;
use undertone_sip::user_agent::{FlowId, SessionId};

use super::address::DirectCallee;
use super::checking::Check;
use super::event::EndReason;
use super::negotiate::{Agreed, Local};
use super::parties::Parties;

/// How long a phone rings, here or there, before nobody is assumed to answer.
pub const RING_TIME: Duration = Duration::from_secs(60);
/// How long two phones may take from the answer to the first key; a person takes longer silence for a dead line.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long another phone may take to let itself be connected to (direct mode).
pub const REACH_TIME: Duration = Duration::from_secs(10);

/// A call in which nothing authentic arrives for this long has lost its other side (as RFC 7675 §5.1 for consent).
pub const SILENCE_TIME: Duration = Duration::from_secs(30);

/// Names one call of this phone for as long as the phone runs; never sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// One call.
pub(super) struct Call {
    pub(super) id: CallId,
    /// The other person, as shown.
    pub(super) other: String,
    /// Who sent the first INVITE, and which address the other phone must prove; for the verification.
    pub(super) parties: Parties,
    pub(super) flow: FlowId,
    /// Known from the INVITE on.
    pub(super) session: Option<SessionId>,
    pub(super) stage: Stage,
    /// How far the verification has come.
    pub(super) check: Check,
    pub(super) muted: bool,
    pub(super) hold: Hold,
    pub(super) silence: Silence,
}

/// How far it has come.
pub(super) enum Stage {
    /// Direct mode: the flow to the other phone is being opened.
    Reaching { until: Instant, callee: DirectCallee },
    /// The INVITE is under way.
    Calling { until: Instant, own: Own },
    /// The other phone rings.
    RingingThere { until: Instant, own: Own },
    /// This phone rings. The answer is ready, so that a call that cannot work never rings.
    RingingHere { until: Instant, certificate: Certificate, terms: Terms, answer: Vec<u8> },
    /// Answered; the phones are agreeing on keys.
    Connecting { until: Instant, terms: Terms },
    /// Sound flows.
    Encrypted { since: Instant, terms: Terms },
}

/// What this phone brings into a call that is not answered yet.
pub(super) struct Own {
    pub(super) local: Local,
    pub(super) certificate: Certificate,
}

/// What an answered call rests on.
pub(super) struct Terms {
    pub(super) local: Local,
    pub(super) agreed: Agreed,
}

/// Who holds the call.
#[derive(Default)]
pub(super) struct Hold {
    /// What the person here wants.
    pub(super) here: bool,
    /// What the other side was last told by a description (phones that cannot be told inside the channel).
    pub(super) told: bool,
    /// An offer that tells it is under way.
    pub(super) telling: bool,
    /// The other side holds.
    pub(super) there: bool,
}

/// Whether the other side is still there.
#[derive(Default)]
pub(super) struct Silence {
    /// Nothing authentic arrives.
    pub(super) lasts: bool,
    /// When that is too long.
    until: Option<Instant>,
}

impl Call {
    /// Follows whether the other side is silent. A foreign phone may be while the call is on hold; ours never are.
    pub(super) fn watch_silence(&mut self, now: Instant) {
        let foreign = self.terms().is_some_and(|terms| terms.agreed.peer() == dtls::Peer::Foreign);
        let allowed = foreign && (self.hold.here || self.hold.there);
        self.silence.until = match self.silence.until {
            _ if allowed || !self.silence.lasts => None,
            None => Some(now + SILENCE_TIME),
            until => until,
        };
    }

    /// When the call must have got on, else it is given up.
    pub(super) fn until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Reaching { until, .. }
            | Stage::Calling { until, .. }
            | Stage::RingingThere { until, .. }
            | Stage::RingingHere { until, .. }
            | Stage::Connecting { until, .. } => Some(*until),
            Stage::Encrypted { .. } => self.silence.until,
        }
    }

    /// Why it ends when it has not got on in time.
    pub(super) fn overdue_reason(&self) -> EndReason {
        match &self.stage {
            Stage::Reaching { .. } => EndReason::CannotBeReached,
            Stage::Calling { .. } | Stage::RingingThere { .. } => EndReason::NoAnswer,
            Stage::RingingHere { .. } => EndReason::NotAnsweredHere,
            Stage::Connecting { .. } => EndReason::NoKeys,
            Stage::Encrypted { .. } => EndReason::ConnectionLost,
        }
    }

    /// Why it ends when the person here hangs up.
    pub(super) fn hang_up_reason(&self) -> EndReason {
        match &self.stage {
            Stage::Reaching { .. } | Stage::Calling { .. } | Stage::RingingThere { .. } => EndReason::GaveUp,
            Stage::RingingHere { .. } => EndReason::DeclinedHere,
            Stage::Connecting { .. } | Stage::Encrypted { .. } => EndReason::HungUpHere,
        }
    }

    /// Whether a media path exists for it.
    pub(super) fn has_media(&self) -> bool {
        self.terms().is_some()
    }

    /// What it rests on, once answered.
    pub(super) fn terms(&self) -> Option<&Terms> {
        match &self.stage {
            Stage::Connecting { terms, .. } | Stage::Encrypted { terms, .. } => Some(terms),
            Stage::Reaching { .. } | Stage::Calling { .. } | Stage::RingingThere { .. } | Stage::RingingHere { .. } => {
                None
            }
        }
    }

    /// What it rests on, once answered.
    pub(super) fn terms_mut(&mut self) -> Option<&mut Terms> {
        match &mut self.stage {
            Stage::Connecting { terms, .. } | Stage::Encrypted { terms, .. } => Some(terms),
            Stage::Reaching { .. } | Stage::Calling { .. } | Stage::RingingThere { .. } | Stage::RingingHere { .. } => {
                None
            }
        }
    }

    /// Whole seconds for which it was encrypted.
    pub(super) fn duration_s(&self, now: Instant) -> u64 {
        match &self.stage {
            Stage::Encrypted { since, .. } => now.saturating_duration_since(*since).as_secs(),
            Stage::Reaching { .. }
            | Stage::Calling { .. }
            | Stage::RingingThere { .. }
            | Stage::RingingHere { .. }
            | Stage::Connecting { .. } => 0,
        }
    }
}

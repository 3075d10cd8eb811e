//! Forking: one call rings on every device of the callee, the first to answer takes it (RFC 3261 §13, §16.7).
//!
//! ```text
//!          ┌─ branch ─ trying ── 180/183 ──▶ ringing ── 200 ──▶ taken: all others are cancelled
//! caller ──┼─ branch ─ trying ── 486/488/408/… ──▶ gone
//!          └─ branch ─ trying ── 6xx ──▶ all gone
//! ```
//! Which device said what stays here: the caller learns "rings" and "answered", or nothing.

use undertone_sip::user_agent::SessionId;

use super::hide::LegSdp;
use super::lease::Lease;

/// One device being called.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) session: SessionId,
    pub(crate) lease: Lease,
    /// What this device is told in SDP.
    pub(crate) sdp: LegSdp,
}

/// The devices still being called.
#[derive(Debug)]
pub(crate) struct Fork {
    branches: Vec<Branch>,
    /// How many were called at first. An early answer passes only when it was one.
    tried: usize,
    /// Some device has said that it rings.
    ringing: bool,
}

impl Fork {
    pub(crate) fn new(branches: Vec<Branch>) -> Self {
        Self { tried: branches.len(), branches, ringing: false }
    }

    /// A device rings. True the first time: then the caller is told.
    pub(crate) fn ring(&mut self) -> bool {
        !std::mem::replace(&mut self.ringing, true)
    }

    pub(crate) fn is_ringing(&self) -> bool {
        self.ringing
    }

    /// Whether an early answer may be passed to the caller: with several devices he could get several.
    pub(crate) fn may_answer_early(&self) -> bool {
        self.tried == 1
    }

    pub(crate) fn branch(&self, session: SessionId) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.session == session)
    }

    /// Takes one device out: it answered, refused or is gone.
    pub(crate) fn take(&mut self, session: SessionId) -> Option<Branch> {
        let at = self.branches.iter().position(|branch| branch.session == session)?;
        Some(self.branches.remove(at))
    }

    /// Nobody is left who could answer.
    pub(crate) fn is_over(&self) -> bool {
        self.branches.is_empty()
    }

    /// Takes out everybody who is left.
    pub(crate) fn take_all(&mut self) -> Vec<Branch> {
        std::mem::take(&mut self.branches)
    }

    /// All devices still being called, to be cancelled.
    pub(crate) fn into_branches(self) -> Vec<Branch> {
        self.branches
    }
}

/// A refusal that speaks for the person, not for the one device (RFC 3261 §21.6): the other devices stop too.
pub(crate) fn refuses_everywhere(status: u16) -> bool {
    (600..700).contains(&status)
}

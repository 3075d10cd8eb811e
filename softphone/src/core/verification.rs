//! The verification of a call (VFY1) on the media thread: one run inside the association, between the session and the
//! signalling side. It starts when the keys exist and tells what was proven, or why nobody must trust the call.
//!
//! There is one run per association, and one association per media path.

use std::time::Instant;

use rand_core::RngCore;
use undertone_media::session::Session;
use undertone_media::verify::{
    self, AddressHash, Capabilities, ChannelBinding, Exchange, Failure, IdentityKey, IdentityPublic, InviteToken,
    Proven, Role,
};

use super::media_event::MediaEvent;

/// What a run needs to know of the call.
#[derive(Debug)]
pub struct Wanted {
    /// Who sent the call's first INVITE.
    pub role: Role,
    /// This phone's long-term key.
    pub identity: IdentityKey,
    /// This phone's own address.
    pub own_address: AddressHash,
    /// The address that was called, or that the caller shows; `None` where addresses mean nothing.
    pub peer_address: Option<AddressHash>,
    /// The key that the other phone must prove; `None` if any will do.
    pub pinned: Option<IdentityPublic>,
    /// Initiator: the token of the other person's link. Responder: the tokens of the links given out.
    pub tokens: Vec<InviteToken>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both phones proved their keys on this very channel. Equal words on both phones: nobody sits in between.
    Proven(Proven),
    /// They did not.
    Failed {
        /// Why.
        why: Failure,
        /// A key had been shown by then, so that it is no accident of the line.
        counts: bool,
    },
}

/// One run.
pub(super) struct Verification {
    exchange: Exchange,
}

impl Verification {
    /// Starts in a session that has just become encrypted.
    pub(super) fn start<R: RngCore>(wanted: Wanted, session: &Session<R>, rng: &mut R, now: Instant) -> Option<Self> {
        let connected = session.connected()?;
        let channel = ChannelBinding::new(
            &connected.keys,
            connected.role,
            &connected.local_fingerprint,
            &connected.peer_fingerprint,
        );
        let settings = verify::Settings {
            role: wanted.role,
            channel,
            own_address: wanted.own_address,
            peer_address: wanted.peer_address,
            pinned: wanted.pinned,
            // Said in every call: where the announcement was stripped, that is what gives it away.
            capabilities: Capabilities { ml_kem: true },
            post_quantum_ran: session.is_post_quantum(),
            tokens: wanted.tokens,
        };
        Some(Self { exchange: Exchange::new(settings, wanted.identity, rng, now) })
    }

    /// A record of the association.
    pub(super) fn handle_message(&mut self, message: &[u8], now: Instant) {
        self.exchange.handle_message(message, now);
    }

    /// Tells the caller that another phone used their link before.
    pub(super) fn tell_link_used(&mut self, now: Instant) {
        self.exchange.tell_link_used(now);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.exchange.handle_timeout(now);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.poll_timeout()
    }

    /// Sends what the run has to say; returns what the signalling side must know of it, if anything.
    pub(super) fn drain<R: RngCore>(&mut self, session: &mut Session<R>, now: Instant) -> Option<MediaEvent> {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                // A record that cannot be sent now is repeated by the run's own clock.
                verify::Output::Send(message) => {
                    let _ = session.send_channel_data(&message, now);
                }
                verify::Output::Proven(proven) => return Some(MediaEvent::Verification(Verdict::Proven(*proven))),
                verify::Output::Failed(why) => {
                    let counts = self.exchange.has_shown_keys();
                    return Some(MediaEvent::Verification(Verdict::Failed { why, counts }));
                }
                verify::Output::LinkUsedBefore => return Some(MediaEvent::LinkUsedBefore),
            }
        }
        None
    }
}

//! How a call gets on: what people, the other side, the media and time make of it.
//!
//! This is the ladder of [`super::call`] put into motion. Everything that ends a call goes through [`Phone::end`], so
//! that a call's keys, its media path and its place in the user agent always go together.

use std::time::Instant;

use rand_core::RngCore;
use undertone_media::certificate::Certificate;
use undertone_media::session::SoundGate;
use undertone_media::verify::{AddressHash, IdentityKey, InviteToken, Role};
use undertone_media::{dtls, srtp};
use undertone_sip::sdp::Description;
use undertone_sip::user_agent::{EndCause, FlowId, Invite, SessionId};
use undertone_sip::wire::{NameAddr, Uri, reason_phrase};

use super::address::{self, Callee, DirectCallee};
use super::call::{CONNECT_TIME, Call, CallId, Hold, Own, REACH_TIME, RING_TIME, Silence, Stage, Terms};
use super::checking::Check;
use super::contacts::ContactError;
use super::event::{EndReason, Event, NotDone, Side, Statistics, Verification, clean};
use super::line::{Line, Road};
use super::media_command::MediaCommand;
use super::media_event::{MediaEvent, MediaFailure, PathStats};
use super::negotiate::{Local, Refusal};
use super::parties::{Parties, Standing};
use super::phone::Phone;
use super::phone_output::Output;
use super::verification::Wanted;

impl<R: RngCore> Phone<R> {
    /// Begins a call to the typed address, or to the contact of that name.
    pub(super) fn dial(&mut self, typed: &str, hidden: bool, now: Instant) -> Result<(), NotDone> {
        if self.call.is_some() {
            return Err(NotDone::AlreadyInCall);
        }
        let address = match self.contacts.named(typed) {
            Ok(contact) => contact.address.to_string(),
            Err(ContactError::Ambiguous) => {
                return Err(NotDone::BadAddress { hint: "several contacts have this name, so use the address" });
            }
            Err(_nobody_by_that_name) => typed.to_owned(),
        };
        match self.line.road(&address, now)? {
            Road::Gateway { flow, callee } => self.dial_account(flow, callee, hidden, now)?,
            Road::Direct { flow, callee, is_open } => {
                let parties = Parties::stranger(Role::Initiator, None, None);
                let call = self.begin(callee.shown.clone(), parties, flow, now);
                let stage = Stage::Reaching { until: now + REACH_TIME, callee };
                self.call = Some(Call { stage, ..call });
                if is_open {
                    self.place_reached_call(flow, now);
                }
            }
        }
        Ok(())
    }

    fn dial_account(&mut self, flow: FlowId, callee: Callee, hidden: bool, now: Instant) -> Result<(), NotDone> {
        let account = address::account(&callee.uri);
        let contact = account.as_ref().and_then(|account| self.contacts.at(account));
        let hidden = hidden || self.hides || contact.is_some_and(|contact| contact.hide_from);
        if hidden && contact.is_some_and(|contact| contact.token.is_some()) {
            // Whoever gave out the link keeps its user as a contact, which needs an address.
            return Err(NotDone::CannotHide);
        }
        let (shown, parties) = match contact {
            Some(contact) => (contact.name.clone(), Parties::contact(Role::Initiator, contact)),
            None => {
                let hash = address::hash(&callee.uri);
                (callee.shown, Parties::stranger(Role::Initiator, account, Some(hash)))
            }
        };
        let own = self.draw_own(flow, now)?;
        let from = if hidden { address::anonymous_uri() } else { self.line.own_uri(flow) };
        let call = self.begin(shown, parties, flow, now);
        self.invite(call, from, callee.uri, own, now);
        Ok(())
    }

    /// Direct mode: the flow to the called phone is open.
    pub(super) fn place_reached_call(&mut self, flow: FlowId, now: Instant) {
        let Some(call) = self.call.take_if(|call| call.flow == flow && matches!(call.stage, Stage::Reaching { .. }))
        else {
            return;
        };
        let Stage::Reaching { callee: DirectCallee { uri, .. }, .. } = &call.stage else { return };
        let uri = uri.clone();
        match self.draw_own(flow, now) {
            Ok(own) => self.invite(call, self.line.own_uri(flow), uri, own, now),
            Err(why) => {
                self.call = Some(call);
                self.show(Event::NotDone { why });
                self.end(EndReason::CannotBeReached, "", now);
            }
        }
    }

    /// A flow is gone before a call could be placed on it.
    pub(super) fn fail_unplaced_call(&mut self, flow: FlowId, now: Instant) {
        if self.call.as_ref().is_some_and(|call| call.flow == flow && call.session.is_none()) {
            self.end(EndReason::CannotBeReached, "", now);
        }
    }

    /// Takes the call that rings here.
    pub(super) fn answer(&mut self, now: Instant) -> Result<(), NotDone> {
        let Some(mut call) = self.call.take_if(|call| matches!(call.stage, Stage::RingingHere { .. })) else {
            return Err(NotDone::NothingToAnswer);
        };
        let (Stage::RingingHere { certificate, terms, answer, .. }, Some(session)) = (call.stage, call.session) else {
            return Err(NotDone::NothingToAnswer);
        };
        let contact = self.line.contact(call.flow, &mut self.rng);
        self.user_agent.accept(session, contact, answer, now);
        let stage = self.connect(call.id, &mut call.parties, call.muted, certificate, terms, now);
        self.call = Some(Call { stage, ..call });
        Ok(())
    }

    /// Refuses the call that rings here.
    pub(super) fn reject(&mut self, now: Instant) -> Result<(), NotDone> {
        match &self.call {
            Some(Call { stage: Stage::RingingHere { .. }, .. }) => {
                self.end(EndReason::DeclinedHere, "", now);
                Ok(())
            }
            Some(_) | None => Err(NotDone::NothingToAnswer),
        }
    }

    /// Ends the call from here.
    pub(super) fn hang_up_here(&mut self, now: Instant) -> Result<(), NotDone> {
        let why = self.call.as_ref().ok_or(NotDone::NoCall)?.hang_up_reason();
        self.end(why, "", now);
        Ok(())
    }

    /// Microphone off or on; may be decided before the call is answered.
    pub(super) fn mute(&mut self, on: bool) -> Result<(), NotDone> {
        let call = self.call.as_mut().ok_or(NotDone::NoCall)?;
        call.muted = on;
        let call = call.id;
        self.set_microphone();
        self.show(Event::Muted { call, on });
        Ok(())
    }

    /// The microphone is off while the person wants it so, and while the other side holds the call.
    pub(super) fn set_microphone(&mut self) {
        if let Some(call) = self.call.as_ref().filter(|call| call.has_media()) {
            let (call, on) = (call.id, call.muted || call.hold.there);
            self.output(Output::Media(MediaCommand::Mute { call, on }));
        }
    }

    /// Sends a key of the dial pad.
    pub(super) fn dtmf(&mut self, digit: char) -> Result<(), NotDone> {
        let digit = digit.to_ascii_uppercase();
        if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            return Err(NotDone::NotADigit);
        }
        match &self.call {
            Some(Call { stage: Stage::Encrypted { .. }, .. }) if self.withholds_sound() => Err(NotDone::SoundWithheld),
            Some(Call { id, stage: Stage::Encrypted { .. }, .. }) => {
                let call = *id;
                self.output(Output::Media(MediaCommand::Dtmf { call, digit }));
                Ok(())
            }
            Some(_) => Err(NotDone::NotInCall),
            None => Err(NotDone::NoCall),
        }
    }

    /// The called phone (or the gateway) reports how it is getting on.
    pub(super) fn follow_progress(&mut self, session: SessionId, status: u16) {
        let Some(call) = self.call.take_if(|call| call.session == Some(session)) else { return };
        let rings = matches!((&call.stage, status), (Stage::Calling { .. }, 180 | 183));
        let stage = match call.stage {
            // The minute counts from the start, so that it is always the caller who gives up first.
            Stage::Calling { until, own } if rings => Stage::RingingThere { until, own },
            stage @ (Stage::Calling { .. }
            | Stage::Reaching { .. }
            | Stage::RingingThere { .. }
            | Stage::RingingHere { .. }
            | Stage::Connecting { .. }
            | Stage::Encrypted { .. }) => stage,
        };
        if rings {
            self.show(Event::Ringing { call: call.id, at: Side::There, other: call.other.clone() });
        }
        self.call = Some(Call { stage, ..call });
    }

    /// The called phone answered.
    pub(super) fn take_answer(&mut self, session: SessionId, sdp: &[u8], now: Instant) {
        let Some(mut call) = self.call.take_if(|call| call.session == Some(session)) else { return };
        let own = match call.stage {
            Stage::Calling { own, .. } | Stage::RingingThere { own, .. } => own,
            other @ (Stage::Reaching { .. }
            | Stage::RingingHere { .. }
            | Stage::Connecting { .. }
            | Stage::Encrypted { .. }) => {
                self.call = Some(Call { stage: other, ..call });
                return;
            }
        };
        let agreed = Description::parse(sdp).map_err(Refusal::from).and_then(|answer| own.local.conclude(&answer));
        match agreed {
            Ok(agreed) if call.parties.must_prove && agreed.peer() == dtls::Peer::Foreign => {
                self.call = Some(Call { stage: Stage::Calling { until: now, own }, ..call });
                self.end(EndReason::ProofMissing, "", now);
            }
            Ok(agreed) => {
                let terms = Terms { local: own.local, agreed };
                let stage = self.connect(call.id, &mut call.parties, call.muted, own.certificate, terms, now);
                self.call = Some(Call { stage, ..call });
            }
            Err(refusal) => {
                self.call = Some(Call { stage: Stage::Calling { until: now, own }, ..call });
                self.end(EndReason::NotCompatible, &refusal.to_string(), now);
            }
        }
    }

    /// The call was refused.
    pub(super) fn take_refusal(&mut self, session: SessionId, status: u16, reason: &str, now: Instant) {
        if self.is_current(session) {
            let (why, detail) = refusal_reason(status, reason);
            self.forget_session();
            self.end(why, &detail, now);
        }
    }

    /// The user agent says the call is over.
    pub(super) fn take_end(&mut self, session: SessionId, cause: EndCause, now: Instant) {
        self.forget_silent(session);
        if !self.is_current(session) {
            return;
        }
        let in_call = self.call.as_ref().is_some_and(Call::has_media);
        let why = match cause {
            EndCause::RemoteBye => EndReason::HungUpThere,
            EndCause::RemoteCancel => EndReason::CallerGaveUp,
            EndCause::Timeout if in_call => EndReason::ConnectionLost,
            EndCause::Timeout => EndReason::CannotBeReached,
            EndCause::SessionExpired | EndCause::FlowClosed => EndReason::ConnectionLost,
            EndCause::LocalHangUp => EndReason::HungUpHere,
            EndCause::BadAnswer => EndReason::NotCompatible,
        };
        self.forget_session();
        self.end(why, "", now);
    }

    /// What the media path reports.
    pub(super) fn follow_media(&mut self, id: CallId, event: MediaEvent, now: Instant) {
        if let MediaEvent::Stats(stats) = event {
            self.show(Event::Statistics(statistics(id, &stats)));
            return;
        }
        if !self.call.as_ref().is_some_and(|call| call.id == id && call.has_media()) {
            return;
        }
        match event {
            MediaEvent::Encrypted { profile, version, peer_fingerprint, post_quantum } => {
                self.take_keys(profile, version, peer_fingerprint, post_quantum, now);
            }
            MediaEvent::Verification(verdict) => self.take_verdict(verdict, now),
            MediaEvent::LinkUsedBefore => self.hear_link_used(),
            MediaEvent::FirstSound => self.show(Event::SoundStarted { call: id }),
            MediaEvent::PeerHeld(on) => self.held_there(on, now),
            MediaEvent::PeerSilent(silent) => {
                if let Some(call) = &mut self.call {
                    call.silence.lasts = silent;
                    call.watch_silence(now);
                }
            }
            MediaEvent::Dtmf(digit) => self.show(Event::Digit { call: id, digit }),
            MediaEvent::Failed(failure) => {
                let encrypted = matches!(self.call, Some(Call { stage: Stage::Encrypted { .. }, .. }));
                let stripped = failure == MediaFailure::PostQuantumStripped;
                let detail = if stripped { failure.to_string() } else { String::new() };
                self.end(failure_reason(failure, encrypted), &detail, now);
            }
            MediaEvent::PathReady { .. } | MediaEvent::Stats(_) => {}
        }
    }

    /// Time is up for what the call was waiting for.
    pub(super) fn give_up(&mut self, now: Instant) {
        if let Some(why) = self.call.as_ref().map(Call::overdue_reason) {
            self.end(why, "", now);
        }
    }

    /// Ends the call: tells the other side if it does not know, drops the media and all keys, tells the person.
    pub(super) fn end(&mut self, why: EndReason, detail: &str, now: Instant) {
        let Some(call) = self.call.take() else { return };
        if let Some(session) = call.session {
            match (&call.stage, why) {
                (Stage::RingingHere { .. }, EndReason::NotAnsweredHere) => {
                    self.user_agent.reject(session, 480, reason_phrase(480), now);
                }
                (Stage::RingingHere { .. }, _) => self.user_agent.reject(session, 603, reason_phrase(603), now),
                (_, _) => self.user_agent.hang_up(session, now),
            }
        }
        if call.has_media() {
            self.output(Output::Media(MediaCommand::Close { call: call.id }));
        }
        let duration_s = call.duration_s(now);
        let detail = if detail.is_empty() { hint(&call, why) } else { detail };
        self.show(Event::Ended { call: call.id, why, detail: clean(detail), other: call.other, duration_s });
        self.line.leave(call.flow, now);
    }

    pub(super) fn is_current(&self, session: SessionId) -> bool {
        self.call.as_ref().is_some_and(|call| call.session == Some(session))
    }

    pub(super) fn begin(&mut self, other: String, parties: Parties, flow: FlowId, now: Instant) -> Call {
        self.line.enter(flow);
        let id = self.next_call_id();
        // Replaced by the caller with the stage the call begins in.
        let callee = DirectCallee::nobody();
        let stage = Stage::Reaching { until: now, callee };
        let (check, hold, silence) = (Check::default(), Hold::default(), Silence::default());
        Call { id, other, parties, flow, session: None, stage, check, muted: false, hold, silence }
    }

    fn draw_own(&mut self, flow: FlowId, now: Instant) -> Result<Own, NotDone> {
        let certificate = Certificate::generate(self.clock.at(now)).map_err(|_| NotDone::NoKeys)?;
        let local = Local::draw(&certificate, self.line.media_address(flow), &mut self.rng);
        Ok(Own { local, certificate })
    }

    fn invite(&mut self, call: Call, from: Uri, uri: Uri, mut own: Own, now: Instant) {
        let ring_ticket = self.ring_ticket(&call.parties, &own.local, now);
        let sdp = own.local.offer(ring_ticket).to_bytes();
        let contact = self.line.contact(call.flow, &mut self.rng);
        let from = NameAddr::new(from);
        let to = NameAddr::new(uri.clone());
        let invite = Invite { request_uri: uri, from, to, contact, sdp, credentials: None, extra: Vec::new() };
        let session = self.user_agent.invite(call.flow, invite, now);
        self.show(Event::Calling { call: call.id, to: call.other.clone() });
        let stage = Stage::Calling { until: now + RING_TIME, own };
        self.call = Some(Call { session: Some(session), stage, ..call });
    }

    /// `Err(None)`: this phone has no keys to offer.
    pub(super) fn prepare_answer(
        &mut self,
        flow: FlowId,
        offer: &[u8],
        now: Instant,
    ) -> Result<(Certificate, Terms, Vec<u8>), Option<Refusal>> {
        let offer = Description::parse(offer).map_err(|refusal| Some(refusal.into()))?;
        let Own { mut local, certificate } = self.draw_own(flow, now).map_err(|_| None)?;
        let (answer, agreed) = local.answer(&offer)?;
        Ok((certificate, Terms { local, agreed }, answer.to_bytes()))
    }

    fn connect(
        &mut self,
        id: CallId,
        parties: &mut Parties,
        muted: bool,
        certificate: Certificate,
        terms: Terms,
        now: Instant,
    ) -> Stage {
        let mut settings = Box::new(terms.agreed.media(&terms.local, certificate));
        settings.session.post_quantum = terms.agreed.is_post_quantum().then_some(parties.role);
        if terms.agreed.peer() == dtls::Peer::Ours {
            settings.verification = Some(self.wanted(parties, now));
            if matches!(self.line, Line::Gateway(_)) {
                settings.session.sound = SoundGate::UntilVerified;
            }
        }
        self.output(Output::Media(MediaCommand::Open { call: id, settings }));
        if muted {
            self.output(Output::Media(MediaCommand::Mute { call: id, on: true }));
        }
        self.show(Event::Connecting { call: id });
        Stage::Connecting { until: now + CONNECT_TIME, terms }
    }

    /// What the verification of the call has to find.
    fn wanted(&self, parties: &mut Parties, now: Instant) -> Wanted {
        let today = self.clock.day(now);
        let contact = parties.account.as_ref().and_then(|account| self.contacts.at(account));
        let tokens = match parties.role {
            Role::Initiator => contact.and_then(|contact| contact.token.as_ref()).into_iter().collect(),
            Role::Responder => {
                let open = || self.contacts.links().iter().filter(|link| !link.is_expired(today));
                parties.links = open().map(|link| link.id).collect();
                open().map(|link| &link.token).collect::<Vec<_>>()
            }
        };
        Wanted {
            role: parties.role,
            identity: IdentityKey::from_bytes(&self.identity.to_bytes()),
            own_address: self.line.own_address().unwrap_or_else(|| AddressHash::of("")),
            peer_address: parties.peer,
            pinned: parties.pinned,
            tokens: tokens.into_iter().map(|token| InviteToken::new(*token.expose())).collect(),
        }
    }

    fn take_keys(
        &mut self,
        profile: srtp::Profile,
        version: dtls::Version,
        seen: [u8; 32],
        post_quantum: bool,
        now: Instant,
    ) {
        let Some(call) = self.call.take() else { return };
        let Stage::Connecting { terms, until } = call.stage else {
            self.call = Some(call);
            return;
        };
        if seen != terms.agreed.peer_fingerprint() {
            // The session has checked it; a call whose key nobody vouches for must not depend on one check.
            self.call = Some(Call { stage: Stage::Connecting { terms, until }, ..call });
            self.end(EndReason::WrongKey, "", now);
            return;
        }
        let verification = match terms.agreed.peer() {
            dtls::Peer::Ours if call.parties.pinned.is_some() => Verification::Checking,
            dtls::Peer::Ours => Verification::NotVerified,
            dtls::Peer::Foreign => Verification::CannotBeVerified,
        };
        let (cipher, key_agreement) = (cipher_name(profile), version_name(version));
        self.show(Event::Encrypted { call: call.id, cipher, key_agreement, post_quantum, verification });
        self.call = Some(Call { stage: Stage::Encrypted { since: now, terms }, ..call });
    }

    fn forget_session(&mut self) {
        if let Some(call) = &mut self.call {
            call.session = None;
        }
    }
}

/// What a person can do about it, where the reason alone does not tell.
fn hint(call: &Call, why: EndReason) -> &'static str {
    match (call.parties.standing, why) {
        (Standing::ByTheirLink, EndReason::CannotBeReached | EndReason::NoAnswer) => {
            "their link may have expired or been used by another phone: ask them for a new one"
        }
        (_, _) => "",
    }
}

/// What the status of a refusal means to a person, and what of its reason phrase is worth showing.
fn refusal_reason(status: u16, reason: &str) -> (EndReason, String) {
    let why = match status {
        486 | 600 => EndReason::Busy,
        603 => EndReason::DeclinedThere,
        400 | 415 | 488 | 606 => EndReason::NotCompatible,
        500..=599 => EndReason::GatewayFailed,
        _ => EndReason::CannotBeReached,
    };
    let says_more = why == EndReason::NotCompatible && reason != reason_phrase(status);
    (why, if says_more { reason.to_owned() } else { String::new() })
}

fn failure_reason(failure: MediaFailure, encrypted: bool) -> EndReason {
    match failure {
        MediaFailure::NoPath => EndReason::NoPath,
        MediaFailure::PathLost => EndReason::ConnectionLost,
        // The other side never showed that it has them.
        MediaFailure::NoKeys if encrypted => EndReason::ConnectionLost,
        MediaFailure::NoKeys => EndReason::NoKeys,
        MediaFailure::WrongKey => EndReason::WrongKey,
        MediaFailure::PostQuantumStripped => EndReason::VerificationFailed,
        MediaFailure::Closed if encrypted => EndReason::HungUpThere,
        MediaFailure::Closed | MediaFailure::Encryption | MediaFailure::Settings => EndReason::EncryptionFailed,
    }
}

fn cipher_name(profile: srtp::Profile) -> &'static str {
    match profile {
        srtp::Profile::AeadAes256Gcm => "AES-256-GCM",
        srtp::Profile::AeadAes128Gcm => "AES-128-GCM",
        srtp::Profile::AesCm128HmacSha1_80 => "AES-128-CM-HMAC-SHA1-80",
    }
}

fn version_name(version: dtls::Version) -> &'static str {
    match version {
        dtls::Version::Dtls12 => "DTLS 1.2",
        dtls::Version::Dtls13 => "DTLS 1.3",
    }
}

fn statistics(call: CallId, path: &PathStats) -> Statistics {
    let session = path.session.clone().unwrap_or_default();
    let discarded = session.discarded;
    let refused_inside = discarded.not_media
        + discarded.too_long
        + discarded.before_keys
        + discarded.rtp_refused
        + discarded.rtcp_refused
        + discarded.rtp_malformed
        + discarded.rtcp_malformed;
    Statistics {
        call,
        round_trip_ms: path.round_trip.map(|time| time.as_secs_f32() * 1000.0),
        packets_received: session.received.packets,
        packets_sent: session.sent.packets,
        loss_percent: session.network.loss_received * 100.0,
        playout_delay_ms: session.mouth_to_ear.playout.as_secs_f32() * 1000.0,
        datagrams_dropped: refused_inside + path.refused.stranger + path.refused.void,
        addresses: path.addresses.clone(),
    }
}

//! Holding a call, and every other change of a running one.
//!
//! Between our phones hold is said inside the encrypted channel and no message tells the gateway. A foreign phone is
//! told by a new offer (RFC 3264 §8.4: `sendonly`; `sendrecv` takes the call back). The microphone stops at once in
//! either case: whether the other side has been told does not matter for what it may hear.

use std::time::Instant;

use rand_core::RngCore;
use undertone_media::dtls;
use undertone_sip::sdp::Description;
use undertone_sip::user_agent::SessionId;

use super::call::{Call, Stage};
use super::event::{EndReason, Event, NotDone, Side};
use super::media_command::MediaCommand;
use super::negotiate::{self, PathChange, Refusal};
use super::phone::Phone;
use super::phone_output::Output;

impl<R: RngCore> Phone<R> {
    /// Puts the call on hold or takes it back.
    pub(super) fn hold(&mut self, on: bool, now: Instant) -> Result<(), NotDone> {
        let call = self.call.as_mut().ok_or(NotDone::NoCall)?;
        let Stage::Encrypted { terms, .. } = &call.stage else { return Err(NotDone::NotInCall) };
        if call.hold.here == on {
            return Ok(());
        }
        let told_in_channel = terms.agreed.peer() == dtls::Peer::Ours;
        self.set_hold_here(on, now);
        if !told_in_channel {
            self.tell_hold(now);
        }
        Ok(())
    }

    /// The other side holds or takes back.
    pub(super) fn held_there(&mut self, on: bool, now: Instant) {
        if let Some(call) = &mut self.call
            && call.hold.there != on
        {
            call.hold.there = on;
            call.watch_silence(now);
            let call = call.id;
            self.set_microphone();
            self.show(Event::OnHold { call, by: Side::There, on });
        }
    }

    /// The other side offers a change of the running call.
    pub(super) fn take_reoffer(&mut self, session: SessionId, sdp: &[u8], now: Instant) {
        if !self.is_current(session) {
            self.user_agent.refuse_reoffer(session, 488, "No such call", now);
            return;
        }
        let offer = Description::parse(sdp).map_err(Refusal::from);
        match offer.and_then(|offer| self.reanswer(&offer).map(|changed| (offer, changed))) {
            Ok((offer, (answer, change))) => {
                self.user_agent.accept_reoffer(session, answer, now);
                self.change_path(change);
                self.held_there(negotiate::holds(&offer), now);
            }
            Err(refusal) => {
                self.user_agent.refuse_reoffer(session, refusal.status(), &refusal.to_string(), now);
            }
        }
    }

    /// The other side answered this phone's offer of a change.
    pub(super) fn take_reanswer(&mut self, session: SessionId, sdp: &[u8], now: Instant) {
        if !self.is_current(session) {
            return;
        }
        let Some(Call { stage: Stage::Encrypted { terms, .. }, hold, .. }) = &mut self.call else { return };
        hold.telling = false;
        let agreed =
            Description::parse(sdp).map_err(Refusal::from).and_then(|d| terms.local.reconclude(&d, &mut terms.agreed));
        match agreed {
            Ok(change) => {
                self.change_path(change);
                self.tell_hold(now);
            }
            // The other side says it would go on with other keys than those that are proven.
            Err(Refusal::NewKeys) => self.end(EndReason::WrongKey, "", now),
            Err(Refusal::Description(_) | Refusal::NoRelay | Refusal::NoAddress) => self.take_back_hold(now),
        }
    }

    /// The other side refused this phone's offer of a change; the call goes on as it was.
    pub(super) fn take_refused_reoffer(&mut self, session: SessionId, now: Instant) {
        if self.is_current(session) {
            self.take_back_hold(now);
        }
    }

    fn set_hold_here(&mut self, on: bool, now: Instant) {
        if let Some(call) = &mut self.call {
            call.hold.here = on;
            call.watch_silence(now);
            let call = call.id;
            self.output(Output::Media(MediaCommand::Hold { call, on }));
            self.show(Event::OnHold { call, by: Side::Here, on });
        }
    }

    /// Brings what a foreign phone was told into line with what the person here wants; one offer at a time.
    fn tell_hold(&mut self, now: Instant) {
        let Some(Call { session: Some(session), stage: Stage::Encrypted { terms, .. }, hold, .. }) = &mut self.call
        else {
            return;
        };
        if hold.telling || hold.told == hold.here {
            return;
        }
        hold.telling = true;
        hold.told = hold.here;
        let (session, direction) = (*session, negotiate::wanted(hold.here));
        let offer = terms.local.reoffer(&terms.agreed, direction).to_bytes();
        self.user_agent.reoffer(session, offer, now);
    }

    /// The other side does not play along: back to what it was last told.
    fn take_back_hold(&mut self, now: Instant) {
        let Some(Call { hold, .. }) = &mut self.call else { return };
        if !std::mem::replace(&mut hold.telling, false) && hold.told == hold.here {
            return;
        }
        hold.told = !hold.told;
        let (here, told) = (hold.here, hold.told);
        self.show(Event::NotDone { why: NotDone::HoldRefused });
        if here != told {
            self.set_hold_here(told, now);
        }
    }

    fn reanswer(&mut self, offer: &Description) -> Result<(Vec<u8>, PathChange), Refusal> {
        let Some(call) = &mut self.call else { return Err(Refusal::NewKeys) };
        let direction = negotiate::wanted(call.hold.told);
        let Some(terms) = call.terms_mut() else { return Err(Refusal::NewKeys) };
        let (answer, change) = terms.local.reanswer(offer, &mut terms.agreed, direction, &mut self.rng)?;
        Ok((answer.to_bytes(), change))
    }

    fn change_path(&mut self, change: PathChange) {
        let Some((call, local)) = self.call.as_ref().and_then(|call| Some((call.id, call.terms()?.local.ice()))) else {
            return;
        };
        match (change, local) {
            (PathChange::RestartIce(remote), Some(local)) => {
                self.output(Output::Media(MediaCommand::RestartIce { call, local, remote }));
            }
            (PathChange::Redirect(remote), _) => self.output(Output::Media(MediaCommand::Redirect { call, remote })),
            (PathChange::Same | PathChange::RestartIce(_), _) => {}
        }
    }
}

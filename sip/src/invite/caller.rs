//! The caller's side of a call's beginning (RFC 3261 §13.2, §9.1; forks §13.2.2.4).
//!
//! The first 2xx makes the call. Any further 2xx from another fork is acknowledged and hung up, and
//! so is the first if the call was withdrawn or carries no SDP.

use std::time::Instant;

use rand_core::RngCore;

use super::session::{MAX_EARLY_DIALOGS, Phase, Session, SessionAlarm, sdp_of};
use super::session_timer::SessionTimer;
use crate::dialog::Dialog;
use crate::transaction::{Owner, TIMEOUT};
use crate::user_agent::context::Context;
use crate::user_agent::{EndCause, Event, FlowId, Invite, SessionId, TransactionId, compose};
use crate::wire::{HeaderName, Headers, Method, NameAddr, Request, Response};

impl Session {
    /// Sends the INVITE. `None`: the flow is gone or there is no room.
    pub(crate) fn call<R: RngCore>(
        context: &mut Context<R>,
        id: SessionId,
        flow: FlowId,
        invite: Invite,
        now: Instant,
    ) -> Option<Self> {
        let call_id = context.token(16);
        let local_tag = context.tag();
        let cseq = context.first_cseq();
        let timer = SessionTimer::new(context.settings.session_expires_s);
        let mut request = Request::new(Method::Invite, invite.request_uri);
        let mut to = invite.to;
        to.params.remove("tag");
        let headers = &mut request.headers;
        headers.push(HeaderName::From, invite.from.with_tag(local_tag.clone()).to_string());
        headers.push(HeaderName::To, to.to_string());
        headers.push(HeaderName::CallId, call_id.clone());
        headers.push(HeaderName::CSeq, compose::cseq(cseq, &Method::Invite));
        for (name, value) in invite.extra {
            if compose::may_be_added(&name) {
                headers.push(name, value);
            }
        }
        offer_headers(headers, &invite.contact, &timer);
        request.body = invite.sdp.clone();
        let transaction = context.start(flow, Owner::Session(id), request.clone(), now)?;
        let session = Self {
            local_tag,
            login: invite.credentials,
            local_sdp: invite.sdp,
            ..Self::begin(id, flow, (call_id, transaction), request, invite.contact, timer)
        };
        session.arm(context, SessionAlarm::RingLimit, now + context.settings.ring_limit);
        Some(session)
    }

    /// A response to the INVITE that makes the call; a 2xx here is not a repeat.
    pub(super) fn handle_invite_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        response: Response,
        now: Instant,
    ) {
        match (response.status, self.phase) {
            (..=199, Phase::Withdrawing) => self.send_cancel(context, now),
            (..=100, _) => {}
            (101..=199, Phase::Calling) => self.handle_progress(context, response),
            (200..=299, Phase::Calling) => self.handle_answer(context, response, now),
            (200..=299, Phase::Withdrawing) => {
                if self.choose(context, &response) {
                    self.send_bye(context, now);
                } else {
                    self.phase = Phase::Over;
                }
            }
            (200..=299, _) => self.refuse_fork(context, response, now),
            (300.., Phase::Calling) => self.handle_refusal(context, response, now),
            (300.., Phase::Withdrawing) => self.phase = Phase::Over,
            _ => {}
        }
    }

    fn handle_progress<R: RngCore>(&mut self, context: &mut Context<R>, response: Response) {
        if let Some(dialog) = Dialog::of_caller(&self.request, &response)
            && let Some(tag) = dialog.remote_tag().map(str::to_owned)
        {
            let has_room = self.early.len() < MAX_EARLY_DIALOGS;
            match self.early.get_mut(&tag) {
                Some(early) => early.refresh_target(&response.headers),
                None if has_room => {
                    self.early.insert(tag, dialog);
                }
                None => {}
            }
        }
        let status = response.status;
        let sdp = sdp_of(&response.headers, response.body);
        context.tell(Event::Progress { session: self.id, status, sdp });
    }

    fn handle_answer<R: RngCore>(&mut self, context: &mut Context<R>, response: Response, now: Instant) {
        self.disarm(context, SessionAlarm::RingLimit);
        if !self.choose(context, &response) {
            self.end(context, EndCause::BadAnswer);
            self.phase = Phase::Over;
            return;
        }
        self.peer_allows_update = response.headers.lists(&HeaderName::Allow, "UPDATE");
        let Some(sdp) = sdp_of(&response.headers, response.body) else {
            return self.close(context, EndCause::BadAnswer, now);
        };
        self.phase = Phase::Established;
        self.remote_sdp.clone_from(&sdp);
        let agreement = self.timer.handle_accepted(&response.headers);
        self.keep_time(context, agreement, now);
        context.tell(Event::Answered { session: self.id, sdp });
        self.send_next_offer(context, now);
    }

    /// Makes the answering fork's dialog the call's, and acknowledges. `false`: it is no dialog.
    fn choose<R: RngCore>(&mut self, context: &mut Context<R>, response: &Response) -> bool {
        let tag = response.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
        let early = tag.and_then(|tag| self.early.remove(&tag)).map(|mut dialog| {
            dialog.confirm(response);
            dialog
        });
        let Some(dialog) = early.or_else(|| Dialog::of_caller(&self.request, response)) else {
            return false;
        };
        self.early.clear();
        self.acknowledge(context, &dialog, self.invite, response);
        self.dialog = Some(dialog);
        true
    }

    /// A fork that answered too late (§13.2.2.4): acknowledged, then hung up.
    fn refuse_fork<R: RngCore>(&mut self, context: &mut Context<R>, response: Response, now: Instant) {
        if !self.acknowledgements.has_room() {
            return;
        }
        let Some(mut dialog) = Dialog::of_caller(&self.request, &response) else { return };
        self.acknowledge(context, &dialog, self.invite, &response);
        let cseq = dialog.next_cseq();
        let bye = Context::<R>::in_dialog(&dialog, Method::Bye, cseq);
        context.start(self.flow, Owner::Nobody, bye, now);
    }

    fn handle_refusal<R: RngCore>(&mut self, context: &mut Context<R>, response: Response, now: Instant) {
        let request = (&Method::Invite, &self.request.uri);
        if let Some((name, value)) = self.authorize(context, self.invite, &response, request) {
            self.request.headers.set(name, value);
            if self.invite_again(context, now) {
                self.authorized = Some(self.invite);
                return;
            }
        } else if response.status == 422
            && self.timer.handle_too_small(&response.headers)
            && self.invite_again(context, now)
        {
            return;
        }
        self.told_over = true;
        self.phase = Phase::Over;
        let Response { status, reason, .. } = response;
        context.tell(Event::Rejected { session: self.id, status, reason });
    }

    /// The same INVITE with the next sequence number (§8.1.3.5).
    fn invite_again<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) -> bool {
        let Ok(cseq) = self.request.headers.cseq() else { return false };
        let headers = &mut self.request.headers;
        headers.set(HeaderName::CSeq, compose::cseq(cseq.number + 1, &Method::Invite));
        for (name, value) in self.timer.ask() {
            headers.set(name, value);
        }
        self.early.clear();
        let request = self.request.clone();
        match context.start(self.flow, Owner::Session(self.id), request, now) {
            Some(transaction) => {
                self.invite = transaction;
                true
            }
            None => false,
        }
    }

    /// Sends the CANCEL once, and stops waiting for the 487 after 64·T1 (§9.1).
    pub(super) fn send_cancel<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        if !self.cancel_sent {
            self.cancel_sent = true;
            context.layer.cancel(self.invite, &mut context.outbox, now);
            self.arm(context, SessionAlarm::Linger, now + TIMEOUT);
        }
    }

    /// Acknowledges a 2xx and keeps the ACK for its repeats.
    pub(super) fn acknowledge<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        dialog: &Dialog,
        invite: TransactionId,
        response: &Response,
    ) {
        let Ok(cseq) = response.headers.cseq() else { return };
        let Some(ack) = context.ack(self.flow, dialog, cseq.number) else { return };
        context.outbox.transmit(self.flow, ack.clone());
        self.acknowledgements.keep(invite, dialog.remote_tag().unwrap_or_default(), ack);
    }

    /// Answers a repeated 2xx with the ACK sent before; `false`: this 2xx is new.
    pub(super) fn repeat_ack<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: &Response,
    ) -> bool {
        let Ok(to) = response.headers.to() else { return false };
        match self.acknowledgements.find(transaction, to.tag().unwrap_or_default()) {
            Some(ack) => {
                context.outbox.transmit(self.flow, ack.to_vec());
                true
            }
            None => false,
        }
    }
}

/// What every INVITE of ours says about us.
pub(super) fn offer_headers(headers: &mut Headers, contact: &crate::wire::Uri, timer: &SessionTimer) {
    headers.push(HeaderName::Contact, NameAddr::new(contact.clone()).to_string());
    headers.push(HeaderName::Allow, compose::ALLOW);
    headers.push(HeaderName::Supported, compose::SUPPORTED);
    for (name, value) in timer.ask() {
        headers.push(name, value);
    }
    headers.push(HeaderName::ContentType, compose::SDP);
}

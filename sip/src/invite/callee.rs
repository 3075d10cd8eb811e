//! The callee's side of a call's beginning (RFC 3261 §13.3, §9.2).
//!
//! The 2xx is repeated by the call, not the transaction, until its ACK arrives, over TCP and TLS too
//! (§13.3.1.4); without ACK for 64·T1 the call is hung up.

use std::time::{Duration, Instant};

use rand_core::RngCore;

use super::session::{Acceptance, Phase, Role, Session, SessionAlarm, sdp_of};
use super::session_timer::{MIN_SE_S, SessionTimer};
use crate::dialog::Dialog;
use crate::transaction::{T1, T2, TIMEOUT};
use crate::user_agent::context::{Context, Reply};
use crate::user_agent::{EndCause, Event, FlowId, SessionId, TransactionId};
use crate::wire::{HeaderName, Request, Uri};

/// How often a ringing callee shows that it is still there (§13.3.1.1).
const PROVISIONAL_PAUSE: Duration = Duration::from_secs(60);

impl Session {
    /// Takes an INVITE that makes a call, or says how to refuse it.
    pub(crate) fn incoming<R: RngCore>(
        context: &mut Context<R>,
        id: SessionId,
        (flow, transaction): (FlowId, TransactionId),
        mut request: Request,
        now: Instant,
    ) -> Result<Self, Reply> {
        if SessionTimer::is_too_small(&request.headers) {
            return Err(Reply::new(422).with(HeaderName::MinSe, MIN_SE_S.to_string()));
        }
        let body = std::mem::take(&mut request.body);
        let Some(remote_sdp) = sdp_of(&request.headers, body) else {
            return Err(Reply::new(488));
        };
        let local_tag = match context.layer.received(transaction) {
            Some((_, tag)) => tag.to_owned(),
            None => return Err(Reply::new(500)),
        };
        let cseq = context.first_cseq();
        let Some(dialog) = Dialog::of_callee(&request, &local_tag, cseq) else {
            return Err(Reply::new(400));
        };
        let contact = match context.flows.get(&flow) {
            Some(identity) => identity.contact.clone(),
            None => return Err(Reply::new(500)),
        };
        context.layer.assign(transaction, id);
        let peer_allows_update = request.headers.lists(&HeaderName::Allow, "UPDATE");
        let timer = SessionTimer::new(context.settings.session_expires_s);
        let names = (dialog.call_id.clone(), transaction);
        let session = Self {
            role: Role::Callee,
            phase: Phase::Incoming,
            local_tag,
            dialog: Some(dialog),
            remote_sdp,
            peer_allows_update,
            ..Self::begin(id, flow, names, request, contact, timer)
        };
        let expires = session.request.headers.expires().map(|s| Duration::from_secs(s.into()));
        let limit = context.settings.ring_limit;
        let limit = expires.map_or(limit, |expires| expires.min(limit));
        session.arm(context, SessionAlarm::RingLimit, now + limit);
        context.respond(transaction, Reply::new(100), now);
        Ok(session)
    }

    /// Sends a provisional answer, which makes an early dialog.
    pub(crate) fn ring<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        status: u16,
        sdp: Option<Vec<u8>>,
        now: Instant,
    ) {
        if self.phase != Phase::Incoming || !(101..200).contains(&status) {
            return;
        }
        let mut reply = Reply::new(status).with_contact(&self.contact);
        if let Some(sdp) = sdp {
            reply = reply.with_sdp(sdp);
        }
        context.respond(self.invite, reply, now);
        self.arm(context, SessionAlarm::RepeatProvisional, now + PROVISIONAL_PAUSE);
    }

    pub(super) fn repeat_provisional<R: RngCore>(&self, context: &mut Context<R>, now: Instant) {
        if self.phase == Phase::Incoming {
            context.layer.repeat_response(self.invite, &mut context.outbox);
            self.arm(context, SessionAlarm::RepeatProvisional, now + PROVISIONAL_PAUSE);
        }
    }

    /// Takes the call.
    pub(crate) fn accept<R: RngCore>(&mut self, context: &mut Context<R>, contact: Uri, sdp: Vec<u8>, now: Instant) {
        if self.phase != Phase::Incoming {
            return;
        }
        self.phase = Phase::Accepted;
        self.contact = contact;
        self.disarm(context, SessionAlarm::RingLimit);
        self.disarm(context, SessionAlarm::RepeatProvisional);
        self.send_acceptance(context, self.invite, sdp, now);
    }

    /// Answers an INVITE of theirs, first or later, with a 2xx that is repeated until its ACK.
    pub(super) fn send_acceptance<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        sdp: Vec<u8>,
        now: Instant,
    ) {
        let cseq = match context.layer.received(transaction).map(|(r, _)| r.headers.cseq()) {
            Some(Ok(cseq)) => cseq.number,
            Some(Err(_)) | None => return,
        };
        self.send_answer(context, transaction, sdp, now);
        self.acceptance = Some(Acceptance { transaction, cseq, pause: T1 });
        self.arm(context, SessionAlarm::RepeatAcceptance, now + T1);
        self.arm(context, SessionAlarm::NoAck, now + TIMEOUT);
    }

    /// The 2xx to an offer of theirs.
    pub(super) fn send_answer<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        sdp: Vec<u8>,
        now: Instant,
    ) {
        let Some((request, _)) = context.layer.received(transaction) else { return };
        let timer = self.timer.accept(&request.headers);
        self.local_sdp.clone_from(&sdp);
        let reply = Reply::new(200).with_contact(&self.contact).with_headers(timer).with_sdp(sdp);
        context.respond(transaction, reply, now);
        if let Some(agreement) = self.timer.agreed() {
            self.keep_time(context, agreement, now);
        }
    }

    pub(super) fn repeat_acceptance<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        let Some(acceptance) = &mut self.acceptance else { return };
        acceptance.pause = (acceptance.pause * 2).min(T2);
        let next = now + acceptance.pause;
        context.layer.repeat_response(acceptance.transaction, &mut context.outbox);
        self.arm(context, SessionAlarm::RepeatAcceptance, next);
    }

    /// The ACK of our 2xx, by its sequence number.
    pub(crate) fn handle_ack<R: RngCore>(&mut self, context: &mut Context<R>, cseq: u32, now: Instant) {
        if self.acceptance.as_ref().is_some_and(|acceptance| acceptance.cseq == cseq) {
            self.confirm(context, now);
        }
    }

    /// Any later request shows as well that our 2xx arrived, if its ACK was lost.
    pub(super) fn confirm<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        if self.acceptance.take().is_none() {
            return;
        }
        self.disarm(context, SessionAlarm::RepeatAcceptance);
        self.disarm(context, SessionAlarm::NoAck);
        if self.phase == Phase::Accepted {
            self.phase = Phase::Established;
            if !self.told_over {
                context.tell(Event::Confirmed { session: self.id });
            }
        }
        if self.bye_wanted {
            self.send_bye(context, now);
        } else {
            self.send_next_offer(context, now);
        }
    }

    pub(super) fn handle_no_ack<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        self.acceptance = None;
        self.close(context, EndCause::Timeout, now);
    }

    /// Refuses the call.
    pub(crate) fn reject<R: RngCore>(&mut self, context: &mut Context<R>, (status, reason): (u16, &str), now: Instant) {
        if self.phase == Phase::Incoming && (300..700).contains(&status) {
            self.refuse(context, Reply::new(status).with_reason(reason), EndCause::LocalHangUp, now);
        }
    }

    /// Their CANCEL of an INVITE that is not answered yet: the first one or an offer.
    pub(crate) fn handle_cancel<R: RngCore>(&mut self, context: &mut Context<R>, invite: TransactionId, now: Instant) {
        if invite != self.invite {
            self.refuse_reoffer(context, 487, "", now);
        } else if self.phase == Phase::Incoming {
            self.refuse(context, Reply::new(487), EndCause::RemoteCancel, now);
        }
    }

    /// Answers the first INVITE with a refusal; the call is over.
    pub(super) fn refuse<R: RngCore>(&mut self, context: &mut Context<R>, reply: Reply, cause: EndCause, now: Instant) {
        context.respond(self.invite, reply, now);
        self.end(context, cause);
        self.phase = Phase::Over;
    }
}

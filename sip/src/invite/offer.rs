//! New offers inside a call: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311).
//!
//! ```text
//!  Idle ── ours: re-INVITE ─▶ Ours ── 2xx: ACK ─▶ ──▶ Idle
//!    │                          │ 491: Waiting (random) ──▶ re-INVITE again
//!    │                          │ ◀─ their offer: 491 ─▶
//!    └─ ◀─ theirs ──▶ Theirs ── 2xx ─▶ (re-INVITE: until ACK) ──▶ Idle
//!                       │ ◀─ another: 500 Retry-After ─▶
//! ```
//! An offer of ours that cannot go out at once waits for its turn; the newest one counts. An offer of
//! theirs that repeats what they have (a session refresh) gets what we have without asking anybody.

use std::time::{Duration, Instant};

use rand_core::RngCore;

use super::caller::offer_headers;
use super::glare::{MAX_GLARE_RETRIES, back_off, choices};
use super::refresh::RETRY;
use super::session::{Phase, Role, Session, SessionAlarm, sdp_of};
use super::session_timer::{MIN_SE_S, SessionTimer};
use crate::transaction::{Owner, TIMEOUT};
use crate::user_agent::context::{Context, Reply};
use crate::user_agent::{EndCause, Event, TransactionId};
use crate::wire::{HeaderName, Method, Request, Response};

/// How long our owner may think about an offer of theirs; their transaction gives up after 32 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(25);

/// A 500 for an offer that comes too early says to try again within this many seconds (§14.2).
const RETRY_AFTER_S: u32 = 10;

/// Where offer and answer stand.
#[derive(Debug)]
pub(crate) enum Exchange {
    Idle,
    Ours { transaction: TransactionId, offer: Offer, is_cancelled: bool },
    Waiting(Offer),
    Theirs { transaction: TransactionId, sdp: Vec<u8>, is_invite: bool },
}

/// An offer of ours.
#[derive(Debug)]
pub(crate) struct Offer {
    sdp: Vec<u8>,
    /// Nobody asked for it: it refreshes the session.
    is_refresh: bool,
    retries: u8,
}

impl Exchange {
    pub(super) fn is_ours(&self, id: TransactionId) -> bool {
        matches!(self, Self::Ours { transaction, .. } if *transaction == id)
    }

    pub(super) fn is_open_invite(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }
}

impl Session {
    /// Offers new media, at once or when what is going on has finished.
    pub(crate) fn reoffer<R: RngCore>(&mut self, context: &mut Context<R>, sdp: Vec<u8>, now: Instant) {
        match self.phase {
            Phase::Accepted | Phase::Established if !self.told_over => {
                self.next_offer = Some(sdp);
                self.send_next_offer(context, now);
            }
            Phase::Calling | Phase::Incoming => {
                context.tell(Event::ReofferRefused { session: self.id, status: 491 });
            }
            Phase::Accepted | Phase::Established | Phase::Withdrawing | Phase::Closing | Phase::Over => {}
        }
    }

    /// Sends the offer that waits for its turn, if this is it.
    pub(super) fn send_next_offer<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        let is_free = self.phase == Phase::Established && self.exchange.is_idle() && self.acceptance.is_none();
        if is_free && let Some(sdp) = self.next_offer.take() {
            self.send_offer(context, Offer { sdp, is_refresh: false, retries: 0 }, None, now);
        }
    }

    /// Refreshes the session with what is agreed, for a side that knows no UPDATE.
    pub(super) fn offer_again<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        let sdp = self.local_sdp.clone();
        self.send_offer(context, Offer { sdp, is_refresh: true, retries: 0 }, None, now);
    }

    fn send_offer<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        offer: Offer,
        authorization: Option<(HeaderName, String)>,
        now: Instant,
    ) {
        let Some(dialog) = &mut self.dialog else { return };
        let cseq = dialog.next_cseq();
        let mut request = Context::<R>::in_dialog(dialog, Method::Invite, cseq);
        offer_headers(&mut request.headers, &self.contact, &self.timer);
        let is_authorized = authorization.is_some();
        if let Some((name, value)) = authorization {
            request.headers.push(name, value);
        }
        request.body.clone_from(&offer.sdp);
        match context.start(self.flow, Owner::Session(self.id), request, now) {
            Some(transaction) => {
                if is_authorized {
                    self.authorized = Some(transaction);
                }
                self.exchange = Exchange::Ours { transaction, offer, is_cancelled: false };
                self.arm(context, SessionAlarm::OfferLimit, now + TIMEOUT);
            }
            None => self.offer_refused(context, &offer, 503, now),
        }
    }

    fn offer_refused<R: RngCore>(&mut self, context: &mut Context<R>, offer: &Offer, status: u16, now: Instant) {
        self.exchange = Exchange::Idle;
        if offer.is_refresh {
            self.arm(context, SessionAlarm::Refresh, now + RETRY);
        } else {
            context.tell(Event::ReofferRefused { session: self.id, status });
        }
    }

    pub(super) fn handle_offer_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: Response,
        now: Instant,
    ) {
        if response.status < 200 {
            return;
        }
        let exchange = std::mem::replace(&mut self.exchange, Exchange::Idle);
        let Exchange::Ours { offer, is_cancelled, .. } = exchange else { return };
        self.disarm(context, SessionAlarm::OfferLimit);
        if response.status < 300 {
            self.handle_offer_accepted(context, (transaction, offer), response, now);
        } else if self.phase == Phase::Established {
            let failed = (transaction, offer, is_cancelled);
            self.handle_offer_refused(context, failed, response, now);
        }
        if self.phase == Phase::Closing && self.bye.is_none() {
            self.phase = Phase::Over;
        }
    }

    fn handle_offer_accepted<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        (transaction, offer): (TransactionId, Offer),
        response: Response,
        now: Instant,
    ) {
        let Some(mut dialog) = self.dialog.take() else { return };
        dialog.refresh_target(&response.headers);
        self.acknowledge(context, &dialog, transaction, &response);
        self.dialog = Some(dialog);
        if self.phase != Phase::Established {
            return;
        }
        let agreement = self.timer.handle_accepted(&response.headers);
        self.keep_time(context, agreement, now);
        match sdp_of(&response.headers, response.body) {
            Some(sdp) => {
                self.local_sdp = offer.sdp;
                let is_news = !offer.is_refresh || sdp != self.remote_sdp;
                self.remote_sdp.clone_from(&sdp);
                if is_news {
                    context.tell(Event::ReofferAnswered { session: self.id, sdp });
                }
            }
            None => self.offer_refused(context, &offer, 488, now),
        }
        self.send_next_offer(context, now);
    }

    fn handle_offer_refused<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        (transaction, offer, is_cancelled): (TransactionId, Offer, bool),
        response: Response,
        now: Instant,
    ) {
        let uri = self.dialog.as_ref().map(|dialog| dialog.path().0);
        let authorization =
            uri.and_then(|uri| self.authorize(context, transaction, &response, (&Method::Invite, &uri)));
        if authorization.is_some() {
            return self.send_offer(context, offer, authorization, now);
        }
        match response.status {
            422 if self.timer.handle_too_small(&response.headers) => {
                self.send_offer(context, offer, None, now);
            }
            491 if offer.retries < MAX_GLARE_RETRIES && !is_cancelled => {
                let made_call_id = self.role == Role::Caller;
                let wait = back_off(made_call_id, context.below(choices(made_call_id)));
                self.exchange = Exchange::Waiting(Offer { retries: offer.retries + 1, ..offer });
                self.arm(context, SessionAlarm::Glare, now + wait);
            }
            // The dialog is gone over there (§12.2.1.2).
            408 | 481 => self.close(context, EndCause::Timeout, now),
            status => {
                let status = if is_cancelled { 408 } else { status };
                self.offer_refused(context, &offer, status, now);
                self.send_next_offer(context, now);
            }
        }
    }

    /// The random wait after a glare is over.
    pub(super) fn retry_offer<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        match std::mem::replace(&mut self.exchange, Exchange::Idle) {
            Exchange::Waiting(offer) => self.send_offer(context, offer, None, now),
            other @ (Exchange::Idle | Exchange::Ours { .. } | Exchange::Theirs { .. }) => {
                self.exchange = other;
            }
        }
    }

    /// Nobody answered our offer: it is cancelled, and after that the call is dead.
    pub(super) fn handle_offer_limit<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        let Exchange::Ours { transaction, is_cancelled, .. } = &mut self.exchange else { return };
        if *is_cancelled {
            return self.close(context, EndCause::Timeout, now);
        }
        *is_cancelled = true;
        context.layer.cancel(*transaction, &mut context.outbox, now);
        self.arm(context, SessionAlarm::OfferLimit, now + TIMEOUT);
    }

    pub(super) fn handle_reinvite<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        request: Request,
        now: Instant,
    ) {
        context.respond(transaction, Reply::new(100), now);
        self.handle_offer(context, transaction, request, now);
    }

    pub(super) fn handle_update<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        request: Request,
        now: Instant,
    ) {
        if !request.body.is_empty() {
            return self.handle_offer(context, transaction, request, now);
        }
        if SessionTimer::is_too_small(&request.headers) {
            let reply = Reply::new(422).with(HeaderName::MinSe, MIN_SE_S.to_string());
            return context.respond(transaction, reply, now);
        }
        self.refresh_targets(&request);
        let mut reply = Reply::new(200).with_contact(&self.contact);
        if matches!(self.phase, Phase::Accepted | Phase::Established) {
            self.confirm(context, now);
            reply = reply.with_headers(self.timer.accept(&request.headers));
            if let Some(agreement) = self.timer.agreed() {
                self.keep_time(context, agreement, now);
            }
        }
        context.respond(transaction, reply, now);
    }

    /// An offer of theirs, in a re-INVITE or an UPDATE.
    fn handle_offer<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        request: Request,
        now: Instant,
    ) {
        if let Some(reply) = self.refuse_early_offer(context, &request) {
            return context.respond(transaction, reply, now);
        }
        self.confirm(context, now);
        if matches!(self.exchange, Exchange::Ours { .. }) {
            return context.respond(transaction, Reply::new(491), now);
        }
        let is_invite = request.method == Method::Invite;
        self.refresh_targets(&request);
        let Some(sdp) = sdp_of(&request.headers, request.body) else {
            return context.respond(transaction, Reply::new(488), now);
        };
        if let Exchange::Waiting(offer) = std::mem::replace(&mut self.exchange, Exchange::Idle) {
            self.disarm(context, SessionAlarm::Glare);
            if !offer.is_refresh && self.next_offer.is_none() {
                self.next_offer = Some(offer.sdp);
            }
        }
        let is_news = sdp != self.remote_sdp;
        self.exchange = Exchange::Theirs { transaction, sdp: sdp.clone(), is_invite };
        if is_news {
            self.arm(context, SessionAlarm::AnswerLimit, now + ANSWER_LIMIT);
            context.tell(Event::Reoffer { session: self.id, sdp });
        } else {
            let answer = self.local_sdp.clone();
            self.accept_reoffer(context, answer, now);
        }
    }

    /// Offers that come before their time (§14.2, RFC 3311 §5.2), or with too short an interval.
    fn refuse_early_offer<R: RngCore>(&mut self, context: &mut Context<R>, request: &Request) -> Option<Reply> {
        let is_answering = matches!(self.exchange, Exchange::Theirs { .. });
        match self.phase {
            Phase::Calling | Phase::Withdrawing => Some(Reply::new(491)),
            Phase::Incoming | Phase::Accepted | Phase::Established if is_answering || self.phase == Phase::Incoming => {
                let seconds = context.below(RETRY_AFTER_S + 1);
                Some(Reply::new(500).with(HeaderName::RetryAfter, seconds.to_string()))
            }
            Phase::Incoming | Phase::Accepted | Phase::Established => SessionTimer::is_too_small(&request.headers)
                .then(|| Reply::new(422).with(HeaderName::MinSe, MIN_SE_S.to_string())),
            Phase::Closing | Phase::Over => Some(Reply::new(481)),
        }
    }

    fn refresh_targets(&mut self, request: &Request) {
        for dialog in self.dialog.iter_mut().chain(self.early.values_mut()) {
            if dialog.is_named_by(&request.headers) {
                dialog.refresh_target(&request.headers);
            }
        }
    }

    /// Answers their offer.
    pub(crate) fn accept_reoffer<R: RngCore>(&mut self, context: &mut Context<R>, sdp: Vec<u8>, now: Instant) {
        let Exchange::Theirs { .. } = &self.exchange else { return };
        let exchange = std::mem::replace(&mut self.exchange, Exchange::Idle);
        let Exchange::Theirs { transaction, sdp: offer, is_invite } = exchange else { return };
        self.disarm(context, SessionAlarm::AnswerLimit);
        self.remote_sdp = offer;
        if is_invite {
            self.send_acceptance(context, transaction, sdp, now);
        } else {
            self.send_answer(context, transaction, sdp, now);
            self.send_next_offer(context, now);
        }
    }

    /// Refuses their offer; the call goes on as it was.
    pub(crate) fn refuse_reoffer<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        status: u16,
        reason: &str,
        now: Instant,
    ) {
        let Exchange::Theirs { transaction, .. } = self.exchange else { return };
        self.exchange = Exchange::Idle;
        self.disarm(context, SessionAlarm::AnswerLimit);
        let status = if (300..700).contains(&status) { status } else { 488 };
        context.respond(transaction, Reply::new(status).with_reason(reason), now);
        self.send_next_offer(context, now);
    }
}

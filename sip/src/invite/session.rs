//! One call: its state and the doors to the files that move it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_core::RngCore;

use super::acknowledgements::Acknowledgements;
use super::offer::Exchange;
use super::session_timer::SessionTimer;
use crate::dialog::{Dialog, Sequence};
use crate::user_agent::context::{Context, Reply};
use crate::user_agent::{Alarm, EndCause, Event, FlowId, Login, SessionId, TransactionId, compose};
use crate::wire::{HeaderName, Headers, Method, Request, Response, Uri};

/// Early dialogs a call keeps: a call forks to the devices of one person.
pub(crate) const MAX_EARLY_DIALOGS: usize = 8;

/// A session's deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionAlarm {
    /// The call has rung long enough.
    RingLimit,
    /// A ringing callee shows that it is still there (§13.3.1.1).
    RepeatProvisional,
    /// The 2xx is sent again (§13.3.1.4).
    RepeatAcceptance,
    /// The ACK of our 2xx never came.
    NoAck,
    /// An offer refused for glare is tried again.
    Glare,
    /// Our offer has waited long enough for its answer.
    OfferLimit,
    /// Their offer has waited long enough for ours.
    AnswerLimit,
    /// The session is to be refreshed.
    Refresh,
    /// The session was not refreshed.
    Expire,
    /// What is left of an ended session is forgotten.
    Linger,
}

impl SessionAlarm {
    /// The least of them in order.
    pub(crate) const FIRST: Self = Self::RingLimit;
}

/// Who sent the INVITE that made the session; that side also made the Call-ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Callee,
}

/// Where a session stands; the ladder is in [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Calling,
    Withdrawing,
    Incoming,
    Accepted,
    Established,
    Closing,
    Over,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Debug)]
pub(crate) struct Acceptance {
    pub(super) transaction: TransactionId,
    pub(super) cseq: u32,
    pub(super) pause: Duration,
}

/// A call.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) flow: FlowId,
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    /// Whether its owner has been told that it is over.
    pub(super) told_over: bool,
    pub(super) call_id: String,
    pub(super) local_tag: String,
    /// The INVITE that makes the call, newest try: ours, or theirs without its body.
    pub(super) request: Request,
    pub(super) invite: TransactionId,
    pub(super) contact: Uri,
    pub(super) login: Option<Login>,
    /// The newest request sent with an answer to a challenge: challenged again, it has failed.
    pub(super) authorized: Option<TransactionId>,
    pub(super) early: BTreeMap<String, Dialog>,
    pub(super) dialog: Option<Dialog>,
    pub(super) acknowledgements: Acknowledgements,
    pub(super) acceptance: Option<Acceptance>,
    pub(super) local_sdp: Vec<u8>,
    pub(super) remote_sdp: Vec<u8>,
    pub(super) timer: SessionTimer,
    pub(super) exchange: Exchange,
    /// An UPDATE without offer that refreshes the session.
    pub(super) refresh: Option<TransactionId>,
    /// An offer that waits for its turn.
    pub(super) next_offer: Option<Vec<u8>>,
    pub(super) peer_allows_update: bool,
    pub(super) cancel_sent: bool,
    pub(super) bye: Option<TransactionId>,
    pub(super) bye_wanted: bool,
}

impl Session {
    /// A caller's session, with an INVITE out and nothing else; a callee's differs in what it overrides.
    pub(super) fn begin(
        id: SessionId,
        flow: FlowId,
        (call_id, invite): (String, TransactionId),
        request: Request,
        contact: Uri,
        timer: SessionTimer,
    ) -> Self {
        Self {
            id,
            flow,
            role: Role::Caller,
            phase: Phase::Calling,
            told_over: false,
            call_id,
            local_tag: String::new(),
            request,
            invite,
            contact,
            login: None,
            authorized: None,
            early: BTreeMap::new(),
            dialog: None,
            acknowledgements: Acknowledgements::default(),
            acceptance: None,
            local_sdp: Vec::new(),
            remote_sdp: Vec::new(),
            timer,
            exchange: Exchange::Idle,
            refresh: None,
            next_offer: None,
            peer_allows_update: false,
            cancel_sent: false,
            bye: None,
            bye_wanted: false,
        }
    }

    /// Call-ID and our tag: how messages find the session.
    pub(crate) fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.local_tag.clone())
    }

    /// A response to one of the session's requests.
    pub(crate) fn handle_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: Response,
        now: Instant,
    ) {
        if (200..300).contains(&response.status) && self.repeat_ack(context, transaction, &response) {
            return;
        }
        if transaction == self.invite && self.role == Role::Caller {
            self.handle_invite_response(context, response, now);
        } else if self.bye == Some(transaction) {
            self.handle_bye_response(context, transaction, response, now);
        } else if self.refresh == Some(transaction) {
            self.handle_refresh_response(context, transaction, response, now);
        } else if self.exchange.is_ours(transaction) {
            self.handle_offer_response(context, transaction, response, now);
        }
    }

    /// One of the session's requests got no answer.
    pub(crate) fn handle_no_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        now: Instant,
    ) {
        if self.bye == Some(transaction) {
            self.phase = Phase::Over;
        } else if transaction == self.invite && self.role == Role::Caller {
            self.end(context, EndCause::Timeout);
            self.phase = Phase::Over;
        } else if self.refresh == Some(transaction) || self.exchange.is_ours(transaction) {
            // A dialog whose requests go unanswered is dead (§12.2.1.2).
            self.close(context, EndCause::Timeout, now);
        }
    }

    /// A request inside the session's dialog, on its flow. ACK and CANCEL have doors of their own.
    pub(crate) fn handle_request<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        request: Request,
        now: Instant,
    ) {
        context.layer.assign(transaction, self.id);
        let Some(sequence) = self.sequence(&request.headers) else {
            return context.respond(transaction, Reply::new(481), now);
        };
        if sequence == Sequence::OutOfOrder {
            return context.respond(transaction, Reply::new(500), now);
        }
        let is_over = self.told_over;
        // A callee may not hang up what it has not accepted (§15).
        let is_calling = matches!(self.phase, Phase::Calling | Phase::Withdrawing);
        match request.method {
            Method::Bye if is_calling => context.respond(transaction, Reply::new(481), now),
            Method::Bye => self.handle_bye(context, transaction, now),
            Method::Options => {
                let reply = Reply::new(200).with_contact(&self.contact);
                context.respond(transaction, reply, now);
            }
            Method::Invite | Method::Update if is_over => {
                context.respond(transaction, Reply::new(481), now);
            }
            Method::Invite => self.handle_reinvite(context, transaction, request, now),
            Method::Update => self.handle_update(context, transaction, request, now),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Info
            | Method::Message
            | Method::Prack
            | Method::Subscribe
            | Method::Notify
            | Method::Refer
            | Method::Publish
            | Method::Extension(_) => {
                let reply = Reply::new(405).with(HeaderName::Allow, compose::ALLOW);
                context.respond(transaction, reply, now);
            }
        }
    }

    /// One of the session's deadlines is here.
    pub(crate) fn handle_alarm<R: RngCore>(&mut self, context: &mut Context<R>, alarm: SessionAlarm, now: Instant) {
        match alarm {
            SessionAlarm::RingLimit => self.hang_up_for(context, EndCause::Timeout, now),
            SessionAlarm::RepeatProvisional => self.repeat_provisional(context, now),
            SessionAlarm::RepeatAcceptance => self.repeat_acceptance(context, now),
            SessionAlarm::NoAck => self.handle_no_ack(context, now),
            SessionAlarm::Glare => self.retry_offer(context, now),
            SessionAlarm::OfferLimit => self.handle_offer_limit(context, now),
            SessionAlarm::AnswerLimit => self.refuse_reoffer(context, 480, "", now),
            SessionAlarm::Refresh => self.refresh_session(context, now),
            SessionAlarm::Expire => self.close(context, EndCause::SessionExpired, now),
            SessionAlarm::Linger => self.phase = Phase::Over,
        }
    }

    /// The flow under the session is gone.
    pub(crate) fn handle_flow_closed<R: RngCore>(&mut self, context: &mut Context<R>) {
        self.end(context, EndCause::FlowClosed);
        self.phase = Phase::Over;
    }

    /// Checks a request's dialog and sequence; `None`: it names no dialog of this session.
    fn sequence(&mut self, headers: &Headers) -> Option<Sequence> {
        let dialogs = self.dialog.iter_mut().chain(self.early.values_mut());
        let dialog = dialogs.into_iter().find(|dialog| dialog.is_named_by(headers))?;
        Some(dialog.accept_cseq(headers))
    }

    /// Answers a challenge to one of our requests, once per request.
    pub(super) fn authorize<R: RngCore>(
        &self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: &Response,
        (method, uri): (&Method, &Uri),
    ) -> Option<(HeaderName, String)> {
        if !matches!(response.status, 401 | 407) || self.authorized == Some(transaction) {
            return None;
        }
        let cnonce = context.token(16);
        self.login.as_ref()?.answer(response, method, uri, &cnonce)
    }

    pub(super) fn arm<R: RngCore>(&self, context: &mut Context<R>, alarm: SessionAlarm, at: Instant) {
        context.outbox.arm(Alarm::Session(self.id, alarm), at);
    }

    pub(super) fn disarm<R: RngCore>(&self, context: &mut Context<R>, alarm: SessionAlarm) {
        context.outbox.disarm(Alarm::Session(self.id, alarm));
    }

    /// Tells the owner that the session is over, once.
    pub(super) fn end<R: RngCore>(&mut self, context: &mut Context<R>, cause: EndCause) {
        if !self.told_over {
            self.told_over = true;
            context.tell(Event::Ended { session: self.id, cause });
        }
    }
}

/// The body if it is SDP, and not compressed.
pub(super) fn sdp_of(headers: &Headers, body: Vec<u8>) -> Option<Vec<u8>> {
    let is_sdp = headers.content_type().as_deref() == Some(compose::SDP);
    (is_sdp && !headers.is_encoded() && !body.is_empty()).then_some(body)
}

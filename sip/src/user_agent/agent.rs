//! The facade: what the owner commands, what the shell brings, what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use rand_core::RngCore;

use super::alarms::Alarm;
use super::compose;
use super::context::{Context, Reply};
use super::event::{EndCause, Event, Output, SessionId, TransactionId};
use super::flow::{FlowId, FlowIdentity};
use super::outbox::Outbox;
use super::settings::{Invite, Settings};
use crate::invite::{Phase, Session};
use crate::transaction::{Layer, Owner};
use crate::wire::{HeaderName, Message, Method, ParseError, Request, Response, Uri};

/// What was dropped, by reason. Totals only: nothing here tells one call from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Responses no transaction waits for, repeated ones included.
    pub stray_responses: u64,
    /// ACKs no dialog waits for.
    pub stray_acks: u64,
    /// Messages on flows that are not open.
    pub unknown_flow: u64,
    /// Requests without the fields an answer needs, and unreadable messages that cannot be answered.
    pub unanswerable: u64,
    /// Requests refused because a table was full.
    pub no_room: u64,
}

/// A user agent over any number of flows.
pub struct UserAgent<R> {
    pub(super) context: Context<R>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) counters: Counters,
    next_session: u64,
}

impl<R: RngCore> UserAgent<R> {
    /// A user agent without flows. Call-IDs, tags, branches and waits are drawn from `rng`.
    pub fn new(settings: Settings, rng: R) -> Self {
        let layer = Layer::new(settings.max_transactions);
        Self {
            context: Context {
                settings,
                rng,
                flows: BTreeMap::new(),
                layer,
                outbox: Outbox::default(),
                dialogs: BTreeMap::new(),
            },
            sessions: BTreeMap::new(),
            counters: Counters::default(),
            next_session: 1,
        }
    }

    /// A flow can be used from here on.
    pub fn handle_flow_opened(&mut self, flow: FlowId, identity: FlowIdentity, _now: Instant) {
        self.context.flows.insert(flow, identity);
    }

    /// A flow is gone: its sessions end with [`EndCause::FlowClosed`], its requests time out.
    pub fn handle_flow_closed(&mut self, flow: FlowId, _now: Instant) {
        if self.context.flows.remove(&flow).is_none() {
            return;
        }
        let ids: Vec<SessionId> = self.sessions.values().filter(|s| s.flow == flow).map(|s| s.id).collect();
        for id in ids {
            self.with_session(id, |session, context| session.handle_flow_closed(context));
        }
        let context = &mut self.context;
        for transaction in context.layer.close_flow(flow, &mut context.outbox) {
            context.tell(Event::RequestTimedOut { transaction });
        }
        self.context.outbox.forget_flow(flow);
    }

    /// A message arrived on a flow.
    pub fn handle_message(&mut self, flow: FlowId, message: Message, now: Instant) {
        if !self.context.flows.contains_key(&flow) {
            self.counters.unknown_flow += 1;
            return;
        }
        match message {
            Message::Request(request) => self.handle_request(flow, request, now),
            Message::Response(response) => self.handle_response(flow, response, now),
        }
    }

    /// Something arrived that is no message: answered if it is a request with enough left to answer.
    pub fn handle_parse_error(&mut self, flow: FlowId, error: ParseError, _now: Instant) {
        if !self.context.flows.contains_key(&flow) {
            self.counters.unknown_flow += 1;
            return;
        }
        let partial = error.partial.filter(|partial| partial.method != Method::Ack);
        let is_answered = partial.is_some_and(|partial| {
            let reply = Reply::new(error.status).with_reason(error.reason);
            self.context.respond_to_broken(flow, &partial.headers, reply)
        });
        self.counters.unanswerable += u64::from(!is_answered);
    }

    /// Carries out everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(alarm) = self.context.outbox.alarms.take_due(now) {
            match alarm {
                Alarm::Transaction(transaction, timer) => {
                    let context = &mut self.context;
                    let outbox = &mut context.outbox;
                    let owner = context.layer.handle_timer(transaction, timer, outbox, now);
                    match owner {
                        Some(Owner::Session(id)) => self.with_session(id, |session, context| {
                            session.handle_no_response(context, transaction, now);
                        }),
                        Some(Owner::Outside) => {
                            self.context.tell(Event::RequestTimedOut { transaction });
                        }
                        Some(Owner::Nobody) | None => {}
                    }
                }
                Alarm::Session(id, alarm) => {
                    self.with_session(id, |session, context| {
                        session.handle_alarm(context, alarm, now);
                    });
                }
            }
        }
    }

    /// When [`UserAgent::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.context.outbox.alarms.next()
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.context.outbox.pop()
    }

    /// What was dropped so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether nothing is going on: no session, transaction or deadline is left.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
            && self.context.dialogs.is_empty()
            && self.context.layer.len() == 0
            && self.context.outbox.alarms.len() == 0
    }

    /// Calls somebody. The session ends at once, with an event, if the flow is gone or the tables are full.
    pub fn invite(&mut self, flow: FlowId, invite: Invite, now: Instant) -> SessionId {
        let id = self.draw_session_id();
        if !self.context.flows.contains_key(&flow) {
            self.context.tell(Event::Ended { session: id, cause: EndCause::FlowClosed });
            return id;
        }
        let has_room = self.sessions.len() < self.context.settings.max_sessions;
        let session = if has_room { Session::call(&mut self.context, id, flow, invite, now) } else { None };
        match session {
            Some(session) => self.admit(session),
            None => {
                self.counters.no_room += 1;
                let reason = crate::wire::reason_phrase(503).to_owned();
                self.context.tell(Event::Rejected { session: id, status: 503, reason });
            }
        }
        id
    }

    /// Tells a caller that it rings here (180), or answers early (183 with SDP).
    pub fn ring(&mut self, session: SessionId, status: u16, sdp: Option<Vec<u8>>, now: Instant) {
        self.with_session(session, |session, context| session.ring(context, status, sdp, now));
    }

    /// Takes an incoming call.
    pub fn accept(&mut self, session: SessionId, contact: Uri, sdp: Vec<u8>, now: Instant) {
        self.with_session(session, |session, context| session.accept(context, contact, sdp, now));
    }

    /// Refuses an incoming call with a status of 300–699; an empty reason means the standard one.
    pub fn reject(&mut self, session: SessionId, status: u16, reason: &str, now: Instant) {
        self.with_session(session, |session, context| {
            session.reject(context, (status, reason), now);
        });
    }

    /// Ends a call whatever its state: CANCEL, 480 or BYE.
    pub fn hang_up(&mut self, session: SessionId, now: Instant) {
        self.with_session(session, |session, context| session.hang_up(context, now));
    }

    /// Offers new media inside a call. Waits for its turn if an offer is under way; the newest counts.
    pub fn reoffer(&mut self, session: SessionId, sdp: Vec<u8>, now: Instant) {
        self.with_session(session, |session, context| session.reoffer(context, sdp, now));
    }

    /// Answers an [`Event::Reoffer`].
    pub fn accept_reoffer(&mut self, session: SessionId, sdp: Vec<u8>, now: Instant) {
        self.with_session(session, |session, context| session.accept_reoffer(context, sdp, now));
    }

    /// Refuses an [`Event::Reoffer`]; the call goes on as it was.
    pub fn refuse_reoffer(&mut self, session: SessionId, status: u16, reason: &str, now: Instant) {
        self.with_session(session, |session, context| {
            session.refuse_reoffer(context, status, reason, now);
        });
    }

    /// Sends a request of the owner's own (REGISTER, OPTIONS, …), never INVITE, ACK or CANCEL.
    /// `Via` is ours; `Call-ID`, `CSeq`, From tag and `Max-Forwards` are filled in if absent. Headers
    /// outside the allow-list are dropped.
    pub fn request(&mut self, flow: FlowId, request: Request, now: Instant) -> TransactionId {
        let request = self.fill_in(request);
        match self.context.start(flow, Owner::Outside, request, now) {
            Some(transaction) => transaction,
            None => {
                let transaction = self.context.layer.spare_id();
                self.context.tell(Event::RequestTimedOut { transaction });
                transaction
            }
        }
    }

    /// Answers an [`Event::IncomingRequest`]. `Via`, `From`, `To` with our tag, `Call-ID` and `CSeq`
    /// are copied from the request; the response's other headers are kept if the allow-list has them.
    pub fn respond(&mut self, transaction: TransactionId, response: Response, now: Instant) {
        let copied = [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];
        let headers: Vec<_> = response
            .headers
            .iter()
            .filter(|(name, _)| !copied.contains(name))
            .map(|(name, value)| (name.clone(), value.to_owned()))
            .collect();
        let reply =
            Reply::new(response.status).with_reason(&response.reason).with_headers(headers).with_body(response.body);
        self.context.respond(transaction, reply, now);
    }

    fn fill_in(&mut self, mut request: Request) -> Request {
        let headers = &mut request.headers;
        if headers.get(&HeaderName::CallId).is_none() {
            headers.push(HeaderName::CallId, self.context.token(16));
        }
        if headers.get(&HeaderName::CSeq).is_none() {
            let number = self.context.first_cseq();
            headers.push(HeaderName::CSeq, compose::cseq(number, &request.method));
        }
        if let Ok(from) = headers.from()
            && from.tag().is_none()
        {
            headers.set(HeaderName::From, from.with_tag(self.context.tag()).to_string());
        }
        request
    }

    fn handle_response(&mut self, flow: FlowId, response: Response, now: Instant) {
        let context = &mut self.context;
        let told = context.layer.handle_response(flow, &response, &mut context.outbox, now);
        match told {
            Some((transaction, Owner::Session(id))) => self.with_session(id, |session, context| {
                session.handle_response(context, transaction, response, now);
            }),
            Some((transaction, Owner::Outside)) if response.status > 100 => {
                let response = Box::new(response);
                self.context.tell(Event::Response { transaction, response });
            }
            Some((_, Owner::Outside | Owner::Nobody)) => {}
            None => self.counters.stray_responses += 1,
        }
    }

    pub(super) fn draw_session_id(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        id
    }

    pub(super) fn admit(&mut self, session: Session) {
        self.context.dialogs.insert(session.key(), session.id);
        self.sessions.insert(session.id, session);
    }

    /// Moves a session and forgets it if that was its end. Unknown sessions are ignored: their owner
    /// may speak to a session that has just ended.
    pub(super) fn with_session(&mut self, id: SessionId, step: impl FnOnce(&mut Session, &mut Context<R>)) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        step(session, &mut self.context);
        if session.phase == Phase::Over {
            let context = &mut self.context;
            context.dialogs.remove(&session.key());
            context.outbox.alarms.disarm_session(id);
            context.layer.end_session(id, &mut context.outbox);
            self.sessions.remove(&id);
        }
    }
}

/// Numbers only: what a user agent knows of people never reaches a log by accident.
impl<R> fmt::Debug for UserAgent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAgent")
            .field("flows", &self.context.flows.len())
            .field("sessions", &self.sessions.len())
            .field("dialogs", &self.context.dialogs.len())
            .field("transactions", &self.context.layer.len())
            .field("deadlines", &self.context.outbox.alarms.len())
            .finish()
    }
}

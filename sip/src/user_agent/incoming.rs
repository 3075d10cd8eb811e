//! Requests that arrive: to a transaction, to a dialog, to the owner, or refused (RFC 3261 §8.2).
//!
//! A request inside a dialog must come on the dialog's flow: a BYE, CANCEL or re-INVITE from another
//! connection gets 481, whatever it knows.

use std::time::Instant;

use rand_core::RngCore;

use super::agent::UserAgent;
use super::compose;
use super::context::Reply;
use super::event::{Event, SessionId, TransactionId};
use super::flow::FlowId;
use crate::invite::Session;
use crate::transaction::Arrival;
use crate::wire::{HeaderName, Headers, Method, Request, screen};

impl<R: RngCore> UserAgent<R> {
    pub(super) fn handle_request(&mut self, flow: FlowId, request: Request, now: Instant) {
        let tag = self.context.tag();
        let reliable = self.context.is_reliable(flow);
        let context = &mut self.context;
        let outbox = &mut context.outbox;
        match context.layer.handle_request(flow, reliable, &request, tag, outbox, now) {
            Arrival::New(transaction) => {
                if let Some(reply) = self.refuse(&request) {
                    self.context.respond(transaction, reply, now);
                } else if request.method == Method::Cancel {
                    self.handle_cancel(flow, transaction, &request, now);
                } else if request.headers.to().is_ok_and(|to| to.tag().is_some()) {
                    self.handle_in_dialog(flow, transaction, request, now);
                } else {
                    self.handle_out_of_dialog(flow, transaction, request, now);
                }
            }
            Arrival::Absorbed => {}
            Arrival::DialogAck => self.handle_ack(flow, &request, now),
            Arrival::Merged => {
                self.context.respond_stateless(flow, &request.headers, Reply::new(482));
            }
            Arrival::Full => {
                self.counters.no_room += 1;
                self.context.respond_stateless(flow, &request.headers, Reply::new(503));
            }
            Arrival::Nameless => self.counters.unanswerable += 1,
        }
    }

    /// What any request may be refused for before anybody looks at its meaning.
    fn refuse(&self, request: &Request) -> Option<Reply> {
        let is_last_hop = request.headers.max_forwards() == Some(0);
        if is_last_hop && self.context.settings.refuse_last_hop && request.method != Method::Cancel {
            return Some(Reply::new(483));
        }
        if matches!(request.method, Method::Extension(_)) {
            return Some(Reply::new(501).with(HeaderName::Allow, compose::ALLOW));
        }
        let refusal = screen(request).err()?;
        let reply = Reply::new(refusal.status).with_reason(refusal.reason);
        Some(reply.with_headers(refusal.header))
    }

    fn handle_ack(&mut self, flow: FlowId, ack: &Request, now: Instant) {
        match (self.find_session(flow, &ack.headers), ack.headers.cseq()) {
            (Some(id), Ok(cseq)) => self.with_session(id, |session, context| {
                session.handle_ack(context, cseq.number, now);
            }),
            _ => self.counters.stray_acks += 1,
        }
    }

    fn handle_cancel(&mut self, flow: FlowId, transaction: TransactionId, cancel: &Request, now: Instant) {
        let Some((invite, session)) = self.context.layer.cancelled(flow, cancel) else {
            return self.context.respond(transaction, Reply::new(481), now);
        };
        self.context.respond(transaction, Reply::new(200), now);
        if let Some(id) = session {
            self.with_session(id, |session, context| session.handle_cancel(context, invite, now));
        }
    }

    fn handle_in_dialog(&mut self, flow: FlowId, transaction: TransactionId, request: Request, now: Instant) {
        match self.find_session(flow, &request.headers) {
            Some(id) => self.with_session(id, |session, context| {
                session.handle_request(context, transaction, request, now);
            }),
            None => self.context.respond(transaction, Reply::new(481), now),
        }
    }

    fn handle_out_of_dialog(&mut self, flow: FlowId, transaction: TransactionId, request: Request, now: Instant) {
        let needs_dialog = [Method::Bye, Method::Update, Method::Prack, Method::Info];
        if request.method == Method::Invite {
            self.handle_invite(flow, transaction, request, now);
        } else if needs_dialog.contains(&request.method) {
            self.context.respond(transaction, Reply::new(481), now);
        } else if self.context.settings.surfaced.contains(&request.method) {
            let request = Box::new(request);
            self.context.tell(Event::IncomingRequest { transaction, flow, request });
        } else {
            let reply = Reply::new(405).with(HeaderName::Allow, compose::ALLOW);
            self.context.respond(transaction, reply, now);
        }
    }

    fn handle_invite(&mut self, flow: FlowId, transaction: TransactionId, request: Request, now: Instant) {
        if self.sessions.len() >= self.context.settings.max_sessions {
            self.counters.no_room += 1;
            return self.context.respond(transaction, Reply::new(503), now);
        }
        let id = self.draw_session_id();
        let shown = Box::new(request.clone());
        let context = &mut self.context;
        match Session::incoming(context, id, (flow, transaction), request, now) {
            Ok(session) => {
                self.admit(session);
                let event = Event::IncomingInvite { session: id, flow, request: shown };
                self.context.tell(event);
            }
            Err(reply) => self.context.respond(transaction, reply, now),
        }
    }

    /// The session a request of the other side belongs to, on its own flow only.
    fn find_session(&self, flow: FlowId, headers: &Headers) -> Option<SessionId> {
        let to = headers.to().ok()?;
        let key = (headers.call_id().ok()?.to_owned(), to.tag()?.to_owned());
        let id = *self.context.dialogs.get(&key)?;
        let session = self.sessions.get(&id)?;
        (session.flow == flow).then_some(id)
    }
}

//! What sessions and the user agent share: flows, transactions, dialog index, randomness, outputs.

use std::collections::BTreeMap;
use std::time::Instant;

use rand_core::RngCore;

use super::compose;
use super::event::{Event, SessionId, TransactionId};
use super::flow::{FlowId, FlowIdentity};
use super::outbox::Outbox;
use super::settings::Settings;
use crate::dialog::Dialog;
use crate::transaction::{Layer, Owner};
use crate::wire::{HeaderName, Headers, Message, Method, NameAddr, Request, Response, parse, reason_phrase, write};

/// The shared part of a user agent.
pub(crate) struct Context<R> {
    pub(crate) settings: Settings,
    pub(crate) rng: R,
    pub(crate) flows: BTreeMap<FlowId, FlowIdentity>,
    pub(crate) layer: Layer,
    pub(crate) outbox: Outbox,
    /// Sessions by Call-ID and our tag.
    pub(crate) dialogs: BTreeMap<(String, String), SessionId>,
}

/// A response to be composed.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    status: u16,
    reason: Option<String>,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_reason(mut self, reason: &str) -> Self {
        self.reason = (!reason.is_empty()).then(|| reason.to_owned());
        self
    }

    pub(crate) fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(crate) fn with_sdp(self, sdp: Vec<u8>) -> Self {
        let mut reply = self.with(HeaderName::ContentType, compose::SDP);
        reply.body = sdp;
        reply
    }

    pub(crate) fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// What a dialog-making or refreshing answer says about us.
    pub(crate) fn with_contact(self, contact: &crate::wire::Uri) -> Self {
        self.with(HeaderName::Contact, NameAddr::new(contact.clone()).to_string())
            .with(HeaderName::Allow, compose::ALLOW)
            .with(HeaderName::Supported, compose::SUPPORTED)
    }

    /// The response to the request with these headers, whose To tag is `tag` where it has none yet.
    fn into_response(self, to: &Headers, tag: &str) -> Response {
        let mut headers = Headers::new();
        for name in [HeaderName::Via, HeaderName::From] {
            for value in to.get_all(&name) {
                headers.push(name.clone(), value);
            }
        }
        let their_to = to.get(&HeaderName::To).unwrap_or_default().to_owned();
        headers.push(
            HeaderName::To,
            match to.to() {
                Ok(to) if to.tag().is_none() && self.status > 100 => to.with_tag(tag).to_string(),
                _ => their_to,
            },
        );
        for name in [HeaderName::CallId, HeaderName::CSeq] {
            if let Some(value) = to.get(&name) {
                headers.push(name, value);
            }
        }
        let makes_dialog =
            to.cseq().is_ok_and(|cseq| cseq.method == Method::Invite) && (101..300).contains(&self.status);
        if makes_dialog {
            for value in to.get_all(&HeaderName::RecordRoute) {
                headers.push(HeaderName::RecordRoute, value);
            }
        }
        for (name, value) in self.headers {
            headers.push(name, value);
        }
        let reason = self.reason.unwrap_or_else(|| reason_phrase(self.status).to_owned());
        Response { status: self.status, reason, headers: compose::arrange(headers), body: self.body }
    }
}

impl<R: RngCore> Context<R> {
    /// `bytes` random bytes as hexadecimal digits.
    pub(crate) fn token(&mut self, bytes: usize) -> String {
        let mut random = vec![0; bytes];
        self.rng.fill_bytes(&mut random);
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A tag: 64 bits, twice what RFC 3261 §19.3 asks for.
    pub(crate) fn tag(&mut self) -> String {
        self.token(8)
    }

    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token(16))
    }

    /// Where our sequence numbers start: random, and with room for 2^30 requests (§8.1.1.5).
    pub(crate) fn first_cseq(&mut self) -> u32 {
        (self.rng.next_u32() & 0x3fff_ffff) + 1
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.rng.next_u32()) * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or_default()
    }

    pub(crate) fn is_reliable(&self, flow: FlowId) -> bool {
        self.flows.get(&flow).is_some_and(|identity| identity.transport.is_reliable())
    }

    /// Completes a request with our `Via` and the constant header order.
    fn complete(&mut self, flow: FlowId, mut request: Request) -> Option<Request> {
        let branch = self.branch();
        let via = compose::via(self.flows.get(&flow)?, &branch);
        request.headers.remove(&HeaderName::Via);
        request.headers.push(HeaderName::Via, via);
        if request.headers.get(&HeaderName::MaxForwards).is_none() {
            request.headers.push(HeaderName::MaxForwards, compose::MAX_FORWARDS);
        }
        request.headers = compose::arrange(request.headers);
        Some(request)
    }

    /// Sends a request in a transaction of its own. `None`: the flow is gone or the table full.
    pub(crate) fn start(
        &mut self,
        flow: FlowId,
        owner: Owner,
        request: Request,
        now: Instant,
    ) -> Option<TransactionId> {
        let request = self.complete(flow, request)?;
        let reliable = self.is_reliable(flow);
        self.layer.start(flow, reliable, owner, request, &mut self.outbox, now)
    }

    /// A request inside a dialog, still without its `Via`.
    pub(crate) fn in_dialog(dialog: &Dialog, method: Method, cseq: u32) -> Request {
        let (uri, routes) = dialog.path();
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::From, dialog.local.to_string());
        headers.push(HeaderName::To, dialog.remote.to_string());
        headers.push(HeaderName::CallId, dialog.call_id.clone());
        headers.push(HeaderName::CSeq, compose::cseq(cseq, &request.method));
        for route in routes {
            headers.push(HeaderName::Route, route);
        }
        request
    }

    /// The ACK of a 2xx (§13.2.2.4): no transaction of its own, its bytes are repeated as they are.
    pub(crate) fn ack(&mut self, flow: FlowId, dialog: &Dialog, cseq: u32) -> Option<Vec<u8>> {
        let request = self.complete(flow, Self::in_dialog(dialog, Method::Ack, cseq))?;
        let mut bytes = Vec::new();
        write(&Message::Request(request), &mut bytes);
        Some(bytes)
    }

    /// Answers a request.
    pub(crate) fn respond(&mut self, transaction: TransactionId, reply: Reply, now: Instant) {
        let Some((request, tag)) = self.layer.received(transaction) else { return };
        let response = reply.into_response(&request.headers, tag);
        self.layer.respond(transaction, response, &mut self.outbox, now);
    }

    /// Answers a request without keeping anything of it.
    pub(crate) fn respond_stateless(&mut self, flow: FlowId, headers: &Headers, reply: Reply) {
        let bytes = self.stateless(headers, reply);
        self.outbox.transmit(flow, bytes);
    }

    /// Answers what could not be read, if the fields the answer repeats can be (§8.2.6.2).
    pub(crate) fn respond_to_broken(&mut self, flow: FlowId, headers: &Headers, reply: Reply) -> bool {
        let bytes = self.stateless(headers, reply);
        let is_readable = parse(&bytes).is_ok();
        if is_readable {
            self.outbox.transmit(flow, bytes);
        }
        is_readable
    }

    fn stateless(&mut self, headers: &Headers, reply: Reply) -> Vec<u8> {
        let tag = self.tag();
        let mut bytes = Vec::new();
        write(&Message::Response(reply.into_response(headers, &tag)), &mut bytes);
        bytes
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outbox.tell(event);
    }
}

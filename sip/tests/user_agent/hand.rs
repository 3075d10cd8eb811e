//! One user agent, and a peer whose every message is written by hand.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone_sip::user_agent::{
    Event, FlowId, FlowIdentity, Login, Output, SessionId, Settings, Transport, UserAgent,
};
use undertone_sip::wire::{HeaderName, Message, Request, Response, parse};

use crate::pair::{FLOW, invitation, offer, uri};

/// A connection of somebody else.
pub const STRANGER: FlowId = FlowId(2);

pub struct Hand {
    pub agent: UserAgent<ChaCha20Rng>,
    pub now: Instant,
    pub events: Vec<Event>,
    /// What was sent and not taken yet.
    pub sent: Vec<(FlowId, Message)>,
}

impl Hand {
    pub fn new(transport: Transport) -> Self {
        Self::with_settings(transport, Settings::default())
    }

    pub fn with_settings(transport: Transport, settings: Settings) -> Self {
        let now = Instant::now();
        let mut agent = UserAgent::new(settings, ChaCha20Rng::seed_from_u64(77));
        for flow in [FLOW, STRANGER] {
            let identity = FlowIdentity { transport, sent_by: "a.invalid".into(), contact: uri("sip:a.invalid") };
            agent.handle_flow_opened(flow, identity, now);
        }
        Self { agent, now, events: Vec::new(), sent: Vec::new() }
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => self.sent.push((flow, parse(&bytes).unwrap())),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(next) = self.agent.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.agent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn finish(&mut self) {
        self.run(Duration::from_secs(4000));
        assert!(self.agent.is_idle(), "{:?}", self.agent);
    }

    /// Makes a call; returns it with its INVITE.
    pub fn call(&mut self, credentials: Option<Login>) -> (SessionId, Request) {
        let session = self.agent.invite(FLOW, invitation(credentials), self.now);
        self.drain();
        (session, self.take_request("INVITE"))
    }

    /// Takes out the first unseen request of this method.
    pub fn take_request(&mut self, method: &str) -> Request {
        self.try_take_request(method).unwrap_or_else(|| panic!("no {method} in {:?}", self.sent))
    }

    pub fn try_take_request(&mut self, method: &str) -> Option<Request> {
        let at = self.sent.iter().position(
            |(_, message)| matches!(message, Message::Request(request) if request.method.as_str() == method),
        )?;
        match self.sent.remove(at).1 {
            Message::Request(request) => Some(request),
            Message::Response(_) => None,
        }
    }

    /// Takes out the first unseen response.
    pub fn take_response(&mut self) -> Response {
        let at = self.sent.iter().position(|(_, message)| matches!(message, Message::Response(_)));
        match self.sent.remove(at.unwrap_or_else(|| panic!("no response, events {:?}", self.events))).1 {
            Message::Response(response) => response,
            Message::Request(_) => unreachable!(),
        }
    }

    /// Answers a request as a peer with this tag.
    pub fn answer(&mut self, request: &Request, status: u16, tag: &str, extra: &[(HeaderName, &str)]) {
        let mut response = Response::new(status);
        for name in [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            response.headers.push(name.clone(), request.headers.get(&name).unwrap());
        }
        let to = request.headers.to().unwrap();
        let to = if to.tag().is_none() && !tag.is_empty() { to.with_tag(tag) } else { to };
        response.headers.push(HeaderName::To, to.to_string());
        if (101..300).contains(&status) && request.method.as_str() == "INVITE" {
            response.headers.push(HeaderName::Contact, format!("<sip:{tag}@peer.invalid>"));
        }
        for (name, value) in extra {
            response.headers.push(name.clone(), *value);
        }
        if status == 200 && request.method.as_str() == "INVITE" {
            response.headers.push(HeaderName::ContentType, "application/sdp");
            response.body = offer(tag);
        }
        self.hear(FLOW, Message::Response(response));
    }

    pub fn hear(&mut self, flow: FlowId, message: Message) {
        self.agent.handle_message(flow, message, self.now);
        self.drain();
    }

    /// Hears a message written as text, lines separated by `\n`, with this body.
    pub fn hear_text(&mut self, flow: FlowId, head: &str, body: &[u8]) {
        let head: Vec<&str> = head.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut bytes = head.join("\r\n").into_bytes();
        bytes.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        match parse(&bytes) {
            Ok(message) => self.agent.handle_message(flow, message, self.now),
            Err(error) => self.agent.handle_parse_error(flow, error, self.now),
        }
        self.drain();
    }

    /// An INVITE of the peer, outside a dialog, with further header lines.
    pub fn invited(&mut self, flow: FlowId, n: usize, more: &str) {
        self.hear_text(flow, &request("INVITE", "", n, more), &offer("theirs"));
    }

    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

/// A request of the peer: its n-th call, with our tag if it is inside a dialog.
pub fn request(method: &str, our_tag: &str, n: usize, more: &str) -> String {
    let tag = if our_tag.is_empty() { String::new() } else { format!(";tag={our_tag}") };
    let number = if our_tag.is_empty() { 1 } else { 2 };
    let content = if matches!(method, "INVITE") { "Content-Type: application/sdp" } else { "" };
    format!(
        "{method} sip:a@a.invalid SIP/2.0
         Via: SIP/2.0/TLS peer.invalid;branch=z9hG4bK{method}{n}{our_tag}
         Max-Forwards: 70
         From: <sip:peer@peer.invalid>;tag=p{n}
         To: <sip:a@a.invalid>{tag}
         Call-ID: call{n}
         CSeq: {number} {method}
         Contact: <sip:peer@peer.invalid>
         {content}
         {more}"
    )
}

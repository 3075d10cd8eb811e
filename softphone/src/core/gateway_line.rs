//! The line through a gateway: one flow, kept open and registered (RFC 5626), opened again when it is lost.
//!
//! ```text
//!              ┌──────────── lost, refused, silent ────────────┐
//!              ▼                                               │
//!   Waiting ──delay over──▶ Opening ──TLS up──▶ Open: REGISTER ─┴─ 200 ──▶ Open, ready
//!      ▲                       │                                            │ ping every 25 s ± 20 %,
//!      └───────────────────────┘                                            │ pong within 10 s
//!   Closed: signed off, or the gateway is not the one of the configuration
//! ```
//! The delay doubles from one second to a minute and is jittered by half, so that the phones of a gateway that
//! restarts do not come back in step. Wrong pin or password at the start is final: repeating cannot mend it. A device
//! that is not allowed (any more) is final at any time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_core::RngCore;
use undertone_config::OperatorKey;
use undertone_sip::registration::{self, Registration};
use undertone_sip::user_agent::{FlowId, FlowIdentity, Login, TransactionId};
use undertone_sip::wire::{End, Frame, Headers, Message, NameAddr, ParseError, Response, StreamFramer, Uri, parse};

use super::address;
use super::event::{Event, NotDone, Trouble};
use super::flow_name::FlowName;
use super::line::{LineAction, PING, PONG, Road};
use super::next_key::{Announcements, Heard};
use super::phone_output::{FlowOpened, Target};
use super::phone_settings::{Account, Proof};
use super::refusal;

/// First pause before connecting again.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest pause: a person waits about a minute for a phone to come back before restarting it.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long the shell may take to find, reach and check the gateway.
const OPEN_TIME: Duration = Duration::from_secs(20);
/// Below the 30 s after which common address translations forget a silent connection.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// RFC 5626 §4.4.1: no answer for this long means that the flow is dead.
const PONG_TIME: Duration = Duration::from_secs(10);
/// Lifetime of the registration that is asked for.
const EXPIRES_S: u32 = 600;

/// The line of a phone with an account.
pub(super) struct GatewayLine<R> {
    account: String,
    domain: String,
    has_password: bool,
    announcements: Option<Announcements>,
    state: State,
    registration: Registration<R>,
    /// The request of the registration that is under way.
    requested: Option<TransactionId>,
    failures: u32,
    ready: bool,
    was_ready: bool,
    ping_interval: Duration,
    last_flow: u64,
    name_on_flow: FlowName,
    actions: VecDeque<LineAction>,
}

enum State {
    Waiting { until: Instant },
    Opening { flow: FlowId, until: Instant },
    Open { flow: FlowId, framer: StreamFramer, ping_at: Instant, pong_until: Option<Instant> },
    Closed,
}

impl<R: RngCore> GatewayLine<R> {
    /// Begins to connect with the first [`Self::handle_timeout`].
    pub(super) fn new(account: Account, registration_rng: R, rng: &mut R, now: Instant) -> Self {
        let Account { name, domain, proof, instance } = account;
        let credentials = match proof {
            Proof::Password(password) => Some(Login::new(name.clone(), password.expose())),
            Proof::DeviceKey => None,
        };
        let has_password = credentials.is_some();
        let settings = registration::Settings {
            registrar: address::domain_uri(&domain),
            address: NameAddr::new(address::account_uri(&name, &domain)),
            instance,
            reg_id: 1,
            expires_s: EXPIRES_S,
            credentials,
        };
        Self {
            account: name,
            domain,
            has_password,
            announcements: None,
            state: State::Waiting { until: now },
            registration: Registration::new(settings, registration_rng),
            requested: None,
            failures: 0,
            ready: false,
            was_ready: false,
            ping_interval: PING_INTERVAL,
            last_flow: 0,
            name_on_flow: FlowName::draw(rng),
            actions: VecDeque::new(),
        }
    }

    /// Keeps watch for a next key of the gateway, announced by its operator.
    pub(super) fn listen_for_next_key(&mut self, operator: OperatorKey, newest: Option<u64>) {
        self.announcements = Some(Announcements::new(&self.domain, operator, newest));
    }

    pub(super) fn handle_flow_opened(
        &mut self,
        flow: FlowId,
        opened: FlowOpened,
        rng: &mut impl RngCore,
        now: Instant,
    ) -> Option<FlowIdentity> {
        if !matches!(self.state, State::Opening { flow: expected, .. } if expected == flow) {
            self.actions.push_back(LineAction::Close { flow });
            return None;
        }
        self.name_on_flow = FlowName::draw(rng);
        let ping_at = now + jittered(self.ping_interval, rng);
        self.state = State::Open { flow, framer: StreamFramer::new(End::Client), ping_at, pong_until: None };
        let contact = self.contact(rng);
        self.registration.handle_flow_opened(flow, contact.clone(), now);
        Some(FlowIdentity { transport: opened.transport, sent_by: self.name_on_flow.host().to_owned(), contact })
    }

    pub(super) fn handle_flow_closed(&mut self, flow: FlowId, why: Trouble, rng: &mut impl RngCore, now: Instant) {
        if self.flow() == Some(flow) {
            self.lose(why, rng, now);
        }
    }

    pub(super) fn handle_bytes(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        rng: &mut impl RngCore,
        now: Instant,
    ) -> Vec<Result<Message, ParseError>> {
        let State::Open { flow: open, framer, pong_until, .. } = &mut self.state else { return Vec::new() };
        if *open != flow {
            return Vec::new();
        }
        framer.push(bytes);
        let mut messages = Vec::new();
        while let Some(frame) = framer.next() {
            match frame {
                Ok(Frame::Message(bytes)) => messages.push(parse(&bytes)),
                Ok(Frame::Pong) => *pong_until = None,
                Ok(Frame::Ping) => self.actions.push_back(LineAction::Transmit { flow, bytes: PONG.to_vec() }),
                Err(_) => {
                    self.drop_flow(Trouble::ConnectionLost, rng, now);
                    break;
                }
            }
        }
        messages
    }

    pub(super) fn handle_requested(&mut self, transaction: TransactionId) {
        self.requested = Some(transaction);
    }

    pub(super) fn handle_response(&mut self, transaction: TransactionId, response: &Response, now: Instant) {
        if self.requested == Some(transaction) && response.status >= 200 {
            self.requested = None;
            if response.status < 300 {
                self.hear_announcement(&response.headers);
            }
            self.registration.handle_response(response, now);
        }
    }

    pub(super) fn handle_request_timed_out(&mut self, transaction: TransactionId, now: Instant) {
        if self.requested == Some(transaction) {
            self.requested = None;
            self.registration.handle_no_response(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, rng: &mut impl RngCore, now: Instant) {
        let ping_interval = self.ping_interval;
        // Without a flow it is this line's own pause that counts: a person waits for it.
        if matches!(self.state, State::Open { .. }) {
            self.registration.handle_timeout(now);
        }
        match &mut self.state {
            State::Waiting { until } if now >= *until => self.registration.start(now),
            State::Opening { until, .. } if now >= *until => self.drop_flow(Trouble::GatewayUnreachable, rng, now),
            State::Open { pong_until: Some(until), .. } if now >= *until => {
                self.drop_flow(Trouble::ConnectionLost, rng, now);
            }
            State::Open { flow, ping_at, pong_until, .. } if now >= *ping_at => {
                *ping_at = now + jittered(ping_interval, rng);
                pong_until.get_or_insert(now + PONG_TIME);
                self.actions.push_back(LineAction::Transmit { flow: *flow, bytes: PING.to_vec() });
            }
            State::Waiting { .. } | State::Opening { .. } | State::Open { .. } | State::Closed => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Waiting { until } | State::Opening { until, .. } => Some(*until),
            State::Open { ping_at, pong_until, .. } => Some(pong_until.map_or(*ping_at, |pong| pong.min(*ping_at))),
            State::Closed => None,
        };
        let registration = self.registration.poll_timeout().filter(|_| matches!(self.state, State::Open { .. }));
        [state, registration].into_iter().flatten().min()
    }

    pub(super) fn poll_action(&mut self, rng: &mut impl RngCore, now: Instant) -> Option<LineAction> {
        while let Some(output) = self.registration.poll_output() {
            match output {
                registration::Output::OpenFlow => self.open(now),
                registration::Output::Request { flow, request } => {
                    self.actions.push_back(LineAction::Request { flow, request });
                }
                registration::Output::Event(event) => self.handle_registration_event(event, rng, now),
            }
        }
        self.actions.pop_front()
    }

    pub(super) fn road(&self, typed: &str) -> Result<Road, NotDone> {
        let callee = address::callee(typed, &self.domain)?;
        if callee.shown == format!("{}@{}", self.account, self.domain) {
            return Err(NotDone::BadAddress { hint: "it is your own" });
        }
        match self.state {
            State::Open { flow, .. } if self.ready => Ok(Road::Gateway { flow, callee }),
            State::Open { .. } | State::Waiting { .. } | State::Opening { .. } | State::Closed => {
                Err(NotDone::NotConnected)
            }
        }
    }

    /// Where this phone is reached in one dialog.
    pub(super) fn contact(&self, rng: &mut impl RngCore) -> Uri {
        self.name_on_flow.contact(rng)
    }

    pub(super) fn own_uri(&self) -> Uri {
        address::account_uri(&self.account, &self.domain)
    }

    pub(super) fn sign_off(&mut self, now: Instant) -> bool {
        let known = self.registration.is_registered();
        if known {
            self.registration.unregister(now);
        }
        known
    }

    pub(super) fn close(&mut self) {
        if let Some(flow) = self.flow() {
            self.actions.push_back(LineAction::Close { flow });
        }
        self.state = State::Closed;
    }

    fn handle_registration_event(&mut self, event: registration::Event, rng: &mut impl RngCore, now: Instant) {
        match event {
            registration::Event::Registered { keep_alive_s, .. } => {
                let wanted = keep_alive_s.map_or(PING_INTERVAL, |seconds| Duration::from_secs(seconds.into()));
                self.ping_interval = wanted.clamp(PONG_TIME, PING_INTERVAL);
                self.failures = 0;
                self.was_ready = true;
                if !std::mem::replace(&mut self.ready, true) {
                    let address = format!("{}@{}", self.account, self.domain);
                    self.actions.push_back(LineAction::Show(Event::Ready { address }));
                }
            }
            registration::Event::Refused { status, reason } => {
                self.drop_flow(refusal::trouble(status, &reason, self.has_password), rng, now);
            }
            // The gateway answered that it cannot: the flow is good, the registration tries again by itself.
            registration::Event::Failed { status: Some(_), retry_in } => {
                self.ready = false;
                let retry_in_s = Some(retry_in.as_secs().max(1));
                self.actions
                    .push_back(LineAction::Show(Event::NotConnected { why: Trouble::GatewayRefused, retry_in_s }));
            }
            // Nobody answers on a flow that seems open: it is not.
            registration::Event::Failed { status: None, .. } => {
                if matches!(self.state, State::Open { .. }) {
                    self.drop_flow(Trouble::ConnectionLost, rng, now);
                }
            }
            registration::Event::Lost => {}
            registration::Event::Unregistered => self.actions.push_back(LineAction::SignedOff),
        }
    }

    fn hear_announcement(&mut self, headers: &Headers) {
        match self.announcements.as_mut().map_or(Heard::Nothing, |announcements| announcements.hear(headers)) {
            Heard::Nothing => {}
            Heard::Announced(next) => self.actions.push_back(LineAction::KeepNextPin(next)),
            Heard::NotSigned => self.actions.push_back(LineAction::Show(Event::FalseAnnouncement)),
        }
    }

    fn flow(&self) -> Option<FlowId> {
        match &self.state {
            State::Opening { flow, .. } | State::Open { flow, .. } => Some(*flow),
            State::Waiting { .. } | State::Closed => None,
        }
    }

    fn open(&mut self, now: Instant) {
        if !matches!(self.state, State::Waiting { .. }) {
            return;
        }
        self.last_flow += 1;
        let flow = FlowId(self.last_flow);
        self.state = State::Opening { flow, until: now + OPEN_TIME };
        self.actions.push_back(LineAction::Open { flow, target: Target::Gateway });
    }

    fn drop_flow(&mut self, why: Trouble, rng: &mut impl RngCore, now: Instant) {
        if let Some(flow) = self.flow() {
            self.actions.push_back(LineAction::Close { flow });
        }
        self.lose(why, rng, now);
    }

    fn lose(&mut self, why: Trouble, rng: &mut impl RngCore, now: Instant) {
        let hopeless = why == Trouble::DeviceNotAllowed
            || matches!(why, Trouble::GatewayNotTrusted | Trouble::AccountRefused) && !self.was_ready;
        let before = std::mem::replace(&mut self.state, State::Closed);
        match before {
            State::Opening { .. } => self.registration.handle_flow_failed(now),
            State::Open { flow, .. } => self.registration.handle_flow_closed(flow, now),
            State::Waiting { .. } | State::Closed => {}
        }
        self.requested = None;
        self.ready = false;
        let retry_in_s = if hopeless {
            None
        } else {
            let pause = retry_pause(self.failures, rng);
            self.failures = self.failures.saturating_add(1);
            self.state = State::Waiting { until: now + pause };
            Some(pause.as_secs().max(1))
        };
        self.actions.push_back(LineAction::Show(Event::NotConnected { why, retry_in_s }));
    }
}

/// RFC 5626 §4.5: doubling up to a limit, then between half of it and all of it.
fn retry_pause(failures: u32, rng: &mut impl RngCore) -> Duration {
    let full = RETRY_MIN.saturating_mul(1 << failures.min(16)).min(RETRY_MAX);
    full * (500 + rng.next_u32() % 501) / 1000
}

/// ± 20 %.
fn jittered(interval: Duration, rng: &mut impl RngCore) -> Duration {
    interval * (800 + rng.next_u32() % 401) / 1000
}

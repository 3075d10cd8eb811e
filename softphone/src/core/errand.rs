//! One errand at the gateway, without calls: sign in, ask one thing at most, sign off. Another phone of the account may
//! be running meanwhile, also this device's own.
//!
//! ```text
//!   connected ──▶ SigningIn: REGISTER (+ invite) ── 200 ─▶ Asking: MESSAGE ── 200 ─▶ SigningOff: REGISTER 0 ─▶ Over
//!                     │ 403 …                                 │ 403, 404 …               │ any answer, 2 s
//!                     └───────────────────────────────────────┴──────────────────────────┴──▶ Over
//! ```
//! Silence for twenty seconds and a broken connection end it too: then nobody knows whether it was done.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_core::RngCore;
use undertone_config::{AccountAddress, AnnouncedPin, OperatorKey};
use undertone_sip::registration::{self, JoinToken, Registration};
use undertone_sip::user_agent::{self, FlowId, FlowIdentity, TransactionId, Transport, UserAgent};
use undertone_sip::wire::{End, Frame, HeaderName, Headers, Method, NameAddr, Request, Response, StreamFramer, parse};
use undertone_sip::wire::{Uri, reason_phrase};
use zeroize::Zeroize;

use super::devices::{CONTENT_TYPE, DeviceAnswer, DeviceQuestion};
use super::event::{Trouble, clean};
use super::flow_name::FlowName;
use super::next_key::{Announcements, Heard};
use super::{address, refusal};

/// How long the gateway may take for all of it.
const ERRAND_TIME: Duration = Duration::from_secs(20);
/// How long it may take to confirm that this phone signs off.
const SIGN_OFF_TIME: Duration = Duration::from_secs(2);
/// Lifetime of the registration, in seconds: the shortest that gateways take.
const EXPIRES_S: u32 = 60;
/// The one connection.
const FLOW: FlowId = FlowId(1);
/// Requests at once: registration and question, and what others send meanwhile.
const MAX_TRANSACTIONS: usize = 16;
/// Calls that may come in meanwhile; each is told at once that this phone does not answer.
const MAX_SESSIONS: usize = 4;

/// What is to be done, and for whom.
#[derive(Debug)]
pub struct Settings {
    /// The account; this device's key proves it.
    pub address: AccountAddress,
    /// Names this visit among the phones of the account: a random `urn:uuid:…`, so that it takes nobody's place.
    pub instance: String,
    /// Lets this device into the account first.
    pub invite: Option<JoinToken>,
    /// What to ask then.
    pub question: Option<DeviceQuestion>,
    /// Under which key the gateway's next key is announced, and the number of the newest announcement so far.
    pub operator: Option<(OperatorKey, Option<u64>)>,
}

/// One thing to do or to know. Drain until `None` after every call.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit(Vec<u8>),
    /// Keep the gateway's next key.
    KeepNextPin(AnnouncedPin),
    /// The errand is over; close the connection. The answer is there if something was asked.
    Over(Result<Option<DeviceAnswer>, Problem>),
}

/// Why an errand came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The gateway refuses this device or its invite; asking again changes nothing.
    #[error("{}", .0.sentence().trim_end_matches('.'))]
    Refused(Trouble),
    /// The gateway does not do what was asked.
    #[error("the gateway did not do this ({words}): ask its operator")]
    Declined {
        /// In its words, cleaned.
        words: String,
    },
    /// The account has no such device.
    #[error("this account has no such device: `undertone device list` shows them")]
    NoSuchDevice,
    /// The gateway cannot do it at the moment.
    #[error("the gateway cannot do this now: try again in a minute")]
    NotNow,
    /// The connection broke or nobody answered, so nobody knows whether it was done.
    #[error("the gateway did not answer in time: check your network and run the same command again")]
    Lost,
    /// What came back is no answer.
    #[error("the gateway's answer cannot be read: update this phone, or ask the gateway's operator to update")]
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    SigningIn,
    Asking(TransactionId),
    SigningOff,
    Over,
}

/// One errand over one connection that is open.
pub struct Errand<R> {
    registration: Registration<R>,
    user_agent: UserAgent<R>,
    framer: StreamFramer,
    account: NameAddr,
    domain: Uri,
    question: Option<DeviceQuestion>,
    announcements: Option<Announcements>,
    requested: Option<TransactionId>,
    stage: Stage,
    answer: Option<DeviceAnswer>,
    until: Instant,
    outputs: VecDeque<Output>,
}

impl<R: RngCore> Errand<R> {
    /// Begins at once. The random sources are the system's.
    pub fn new(settings: Settings, random: [R; 2], now: Instant) -> Self {
        let Settings { address, instance, invite, question, operator } = settings;
        let (name, domain) = (address.name().to_string(), address.domain().to_string());
        let [mut rng, user_agent_rng] = random;
        let flow_name = FlowName::draw(&mut rng);
        let contact = flow_name.contact(&mut rng);
        let account = NameAddr::new(address::account_uri(&name, &domain));
        let domain_uri = address::domain_uri(&domain);
        let registration_settings = registration::Settings {
            registrar: domain_uri.clone(),
            address: account.clone(),
            instance,
            reg_id: 1,
            expires_s: EXPIRES_S,
            credentials: None,
        };
        let mut registration = Registration::new(registration_settings, rng);
        if let Some(invite) = invite {
            registration = registration.with_invite(invite);
        }
        let limits = user_agent::Settings {
            max_transactions: MAX_TRANSACTIONS,
            max_sessions: MAX_SESSIONS,
            ..user_agent::Settings::default()
        };
        let mut user_agent = UserAgent::new(limits, user_agent_rng);
        let sent_by = flow_name.host().to_owned();
        user_agent.handle_flow_opened(
            FLOW,
            FlowIdentity { transport: Transport::Tls, sent_by, contact: contact.clone() },
            now,
        );
        registration.start(now);
        registration.handle_flow_opened(FLOW, contact, now);
        let announcements = operator.map(|(operator, newest)| Announcements::new(&domain, operator, newest));
        let mut errand = Self {
            registration,
            user_agent,
            framer: StreamFramer::new(End::Client),
            account,
            domain: domain_uri,
            question,
            announcements,
            requested: None,
            stage: Stage::SigningIn,
            answer: None,
            until: now + ERRAND_TIME,
            outputs: VecDeque::new(),
        };
        errand.pump(now);
        errand
    }

    /// Bytes of the connection, cut anywhere.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.framer.push(bytes);
        while self.stage != Stage::Over
            && let Some(frame) = self.framer.next()
        {
            match frame.map(|frame| match frame {
                Frame::Message(bytes) => Some(parse(&bytes)),
                Frame::Ping | Frame::Pong => None,
            }) {
                Ok(Some(Ok(message))) => self.user_agent.handle_message(FLOW, message, now),
                Ok(Some(Err(error))) => self.user_agent.handle_parse_error(FLOW, error, now),
                Ok(None) => {}
                Err(_) => self.end(Err(Problem::Unreadable)),
            }
            self.pump(now);
        }
    }

    /// The connection is gone.
    pub fn handle_closed(&mut self) {
        match self.stage {
            Stage::SigningIn | Stage::Asking(_) => self.end(Err(Problem::Lost)),
            Stage::SigningOff => self.finish(),
            Stage::Over => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stage == Stage::Over {
            return;
        }
        if now >= self.until {
            self.handle_closed();
            return;
        }
        self.registration.handle_timeout(now);
        self.user_agent.handle_timeout(now);
        self.pump(now);
    }

    /// When [`Self::handle_timeout`] wants to be called next; `None` once it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let parts = [Some(self.until), self.registration.poll_timeout(), self.user_agent.poll_timeout()];
        parts.into_iter().flatten().min().filter(|_| self.stage != Stage::Over)
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn pump(&mut self, now: Instant) {
        while self.stage != Stage::Over {
            if let Some(output) = self.registration.poll_output() {
                match output {
                    registration::Output::Request { flow, request } => {
                        self.requested = Some(self.user_agent.request(flow, *request, now));
                    }
                    registration::Output::Event(event) => self.handle_registration(event, now),
                    // The connection was there first.
                    registration::Output::OpenFlow => {}
                }
            } else if let Some(output) = self.user_agent.poll_output() {
                match output {
                    user_agent::Output::Transmit { bytes, .. } => self.outputs.push_back(Output::Transmit(bytes)),
                    user_agent::Output::Event(event) => self.handle_user_agent(event, now),
                }
            } else {
                break;
            }
        }
    }

    fn handle_registration(&mut self, event: registration::Event, now: Instant) {
        match event {
            registration::Event::Registered { .. } => match self.question {
                Some(question) => self.ask(question, now),
                None => self.sign_off(now),
            },
            registration::Event::Refused { status, reason } => {
                self.end(Err(Problem::Refused(refusal::trouble(status, &reason, false))));
            }
            registration::Event::Failed { status: Some(_), .. } => self.end(Err(Problem::NotNow)),
            registration::Event::Failed { status: None, .. } => self.end(Err(Problem::Lost)),
            registration::Event::Unregistered => self.finish(),
            registration::Event::Lost => {}
        }
    }

    fn handle_user_agent(&mut self, event: user_agent::Event, now: Instant) {
        use user_agent::Event as Told;
        match event {
            Told::Response { transaction, response } if self.requested == Some(transaction) => {
                if (200..300).contains(&response.status) {
                    self.hear_announcement(&response.headers);
                }
                self.registration.handle_response(&response, now);
            }
            Told::Response { transaction, response } if self.stage == Stage::Asking(transaction) => {
                self.take_answer(*response, now);
            }
            Told::RequestTimedOut { transaction } if self.requested == Some(transaction) => {
                self.registration.handle_no_response(now);
            }
            Told::RequestTimedOut { transaction } if self.stage == Stage::Asking(transaction) => {
                self.end(Err(Problem::Lost));
            }
            // As a phone that is off answers: another phone of the account may take the call.
            Told::IncomingInvite { session, .. } => self.user_agent.reject(session, 480, reason_phrase(480), now),
            Told::IncomingRequest { transaction, .. } => {
                self.user_agent.respond(transaction, Response::new(200), now);
            }
            Told::Response { .. }
            | Told::RequestTimedOut { .. }
            | Told::Progress { .. }
            | Told::Answered { .. }
            | Told::Rejected { .. }
            | Told::Confirmed { .. }
            | Told::Reoffer { .. }
            | Told::ReofferAnswered { .. }
            | Told::ReofferRefused { .. }
            | Told::Ended { .. } => {}
        }
    }

    fn hear_announcement(&mut self, headers: &Headers) {
        if let Some(Heard::Announced(next)) = self.announcements.as_mut().map(|known| known.hear(headers)) {
            self.outputs.push_back(Output::KeepNextPin(next));
        }
    }

    fn ask(&mut self, question: DeviceQuestion, now: Instant) {
        let mut request = Request::new(Method::Message, self.domain.clone());
        request.headers.push(HeaderName::From, self.account.to_string());
        request.headers.push(HeaderName::To, NameAddr::new(self.domain.clone()).to_string());
        request.headers.push(HeaderName::ContentType, CONTENT_TYPE);
        request.body = question.body().into_bytes();
        self.stage = Stage::Asking(self.user_agent.request(FLOW, request, now));
    }

    fn take_answer(&mut self, mut response: Response, now: Instant) {
        let Some(question) = self.question else { return };
        match response.status {
            ..200 => return,
            200 => {
                let is_ours = response.headers.content_type().is_none_or(|kind| kind == CONTENT_TYPE);
                self.answer = question.read(&response.body).filter(|_| is_ours);
                // It may hold a token.
                response.body.zeroize();
                if self.answer.is_none() {
                    return self.end(Err(Problem::Unreadable));
                }
            }
            404 if matches!(question, DeviceQuestion::Revoke(_)) => return self.end(Err(Problem::NoSuchDevice)),
            408 | 480 | 500.. => return self.end(Err(Problem::NotNow)),
            _ => return self.end(Err(Problem::Declined { words: clean(&response.reason) })),
        }
        self.sign_off(now);
    }

    fn sign_off(&mut self, now: Instant) {
        self.stage = Stage::SigningOff;
        self.until = now + SIGN_OFF_TIME;
        self.registration.unregister(now);
    }

    fn finish(&mut self) {
        let answer = self.answer.take();
        self.end(Ok(answer));
    }

    fn end(&mut self, result: Result<Option<DeviceAnswer>, Problem>) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.outputs.push_back(Output::Over(result));
        }
    }
}

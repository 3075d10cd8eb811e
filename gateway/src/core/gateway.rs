//! The gateway's signalling: one object that takes messages and time in, and gives messages and orders out.
//!
//! ```text
//! flows ─▶ wire ─▶ UserAgent ─┬─ REGISTER ─▶ authentication ─▶ registrar ─▶ bindings
//!                             ├─ REGISTER with a token, MESSAGE ─▶ joining ─▶ errands to the store
//!                             └─ INVITE … ─▶ b2bua ─▶ UserAgent (other leg) ─▶ flows
//!                                              └────▶ relay orders
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use rand_core::RngCore;
use undertone_sip::user_agent::{self, Event, FlowId, FlowIdentity, TransactionId, UserAgent};
use undertone_sip::wire::{HeaderName, Message, Method, ParseError, Request, Response};

use super::accounts::{AccountName, Accounts};
use super::answers::{self, Answer};
use super::authentication::Authenticator;
use super::b2bua::{B2bua, Surroundings};
use super::bindings::Bindings;
use super::errand::Errands;
use super::flows::{FlowOpened, Flows};
use super::hide;
use super::joining::Claim;
use super::output::Output;
use super::pseudonym::PseudonymKey;
use super::registrar;
use super::relay::RelayEvent;
use super::settings::Settings;
use super::succession::Succession;
use super::totals::{Count, Totals};

/// Session interval asked for on each leg (RFC 4028): a phone that vanished without a word keeps its relay slot for
/// at most this long, if the relay's own silence does not end the call before.
const SESSION_EXPIRES_S: u32 = 600;

/// The signalling core.
pub struct Gateway<R: RngCore> {
    pub(super) settings: Settings,
    pub(super) agent: UserAgent<R>,
    pub(super) rng: R,
    pub(super) accounts: Accounts,
    pub(super) succession: Succession,
    pub(super) flows: Flows,
    bindings: Bindings,
    pub(super) authenticator: Authenticator,
    pub(super) errands: Errands,
    instances: PseudonymKey,
    calls: B2bua,
    pub(super) totals: Totals,
    pub(super) outputs: VecDeque<Output>,
}

impl<R: RngCore> Gateway<R> {
    /// A gateway without accounts and flows. The user agent draws from a random source of its own.
    pub fn new(settings: Settings, mut rng: R, agent_rng: R) -> Self {
        let agent_settings = user_agent::Settings {
            session_expires_s: SESSION_EXPIRES_S,
            surfaced: vec![Method::Register, Method::Options, Method::Message],
            refuse_last_hop: true,
            ..user_agent::Settings::default()
        };
        Self {
            agent: UserAgent::new(agent_settings, agent_rng),
            authenticator: Authenticator::new(&mut rng),
            errands: Errands::default(),
            instances: PseudonymKey::draw(&mut rng),
            calls: B2bua::new(settings.max_calls),
            settings,
            rng,
            accounts: Accounts::new(),
            succession: Succession::default(),
            flows: Flows::default(),
            bindings: Bindings::default(),
            totals: Totals::default(),
            outputs: VecDeque::new(),
        }
    }

    /// A new snapshot of the account store. Flows of accounts that are gone or have another password, and of devices
    /// that are no longer listed, are closed.
    pub fn handle_accounts(&mut self, accounts: Accounts, now: Instant) {
        let earlier = std::mem::replace(&mut self.accounts, accounts);
        let lost = |account: &AccountName, device: Option<&_>| !self.accounts.still_holds(account, device, &earlier);
        for flow in self.flows.owned_where(lost) {
            self.close(flow, now);
        }
    }

    /// What phones are to be told of the gateway's keys from here on.
    pub fn handle_succession(&mut self, succession: Succession) {
        self.succession = succession;
    }

    /// A phone connected.
    pub fn handle_flow_opened(&mut self, flow: FlowId, opened: FlowOpened, now: Instant) {
        self.totals.add(Count::FlowOpened);
        let transport = opened.transport;
        self.flows.open(flow, opened, now);
        let identity = FlowIdentity {
            transport,
            sent_by: self.settings.domain.as_str().to_owned(),
            contact: hide::contact(&mut self.rng, &self.settings, transport),
        };
        self.agent.handle_flow_opened(flow, identity, now);
        self.settle(now);
    }

    /// A connection is gone: its bindings and calls go with it.
    pub fn handle_flow_closed(&mut self, flow: FlowId, now: Instant) {
        if self.flows.close(flow).is_some() {
            self.bindings.handle_flow_closed(flow);
            self.agent.handle_flow_closed(flow, now);
            self.settle(now);
        }
    }

    /// One message from a flow, or what was wrong with it.
    pub fn handle_stream_message(&mut self, flow: FlowId, message: Result<Message, ParseError>, now: Instant) {
        let Some(state) = self.flows.get_mut(flow) else { return };
        let is_invite = matches!(&message, Ok(Message::Request(request)) if request.method == Method::Invite);
        if !state.may_send(is_invite, now) {
            self.totals.add(Count::Limited);
            return self.close(flow, now);
        }
        match message {
            Ok(message) => self.agent.handle_message(flow, message, now),
            Err(error) => {
                self.totals.add(Count::MessageRefused);
                self.agent.handle_parse_error(flow, error, now);
            }
        }
        self.settle(now);
    }

    /// The relay reports.
    pub fn handle_relay_event(&mut self, event: RelayEvent, now: Instant) {
        match event {
            RelayEvent::Silent { slot } => self.with_calls(now, |calls, around| calls.handle_silence(slot, around)),
        }
        self.settle(now);
    }

    /// The gateway stops: every call is ended on both legs. Send what is polled, then close the flows.
    pub fn handle_stop(&mut self, now: Instant) {
        self.with_calls(now, B2bua::handle_stop);
        self.settle(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bindings.handle_timeout(now);
        self.sign_out_unbound();
        while let Some(flow) = self.flows.overdue(now) {
            self.totals.add(Count::Limited);
            self.close(flow, now);
        }
        self.agent.handle_timeout(now);
        self.with_calls(now, B2bua::handle_timeout);
        self.settle(now);
    }

    /// When [`Gateway::handle_timeout`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let parts = [
            self.agent.poll_timeout(),
            self.calls.poll_timeout(),
            self.bindings.poll_timeout(),
            self.flows.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether no call is known any more, nor anything that was sent or awaited for one. So it is half a minute after
    /// the last call.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.agent.is_idle()
    }

    /// Counters, rounded.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Lets the user agent's events take effect, and theirs, until nothing is left but messages to send.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                user_agent::Output::Transmit { flow, bytes } => {
                    self.outputs.push_back(Output::Transmit { flow, bytes })
                }
                user_agent::Output::Event(event) => self.handle_event(event, now),
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::IncomingInvite { session, flow, request } => {
                let account = self.flows.get(flow).and_then(|flow| flow.account.clone());
                let account = account.as_ref();
                self.with_calls(now, |calls, around| calls.handle_invite(session, flow, account, &request, around));
            }
            Event::Progress { session, status, sdp } => {
                self.with_calls(now, |calls, around| calls.handle_progress(session, status, sdp.as_deref(), around));
            }
            Event::Answered { session, sdp } => {
                self.with_calls(now, |calls, around| calls.handle_answered(session, &sdp, around));
            }
            Event::Rejected { session, status, reason: _ } => {
                self.with_calls(now, |calls, around| calls.handle_rejected(session, status, around));
            }
            Event::Ended { session, cause: _ } => {
                self.with_calls(now, |calls, around| calls.handle_ended(session, around));
            }
            Event::Reoffer { session, sdp } => {
                self.with_calls(now, |calls, around| calls.handle_reoffer(session, &sdp, around));
            }
            Event::ReofferAnswered { session, sdp } => {
                self.with_calls(now, |calls, around| calls.handle_reoffer_answered(session, &sdp, around));
            }
            Event::ReofferRefused { session, status } => {
                self.with_calls(now, |calls, around| calls.handle_reoffer_refused(session, status, around));
            }
            Event::IncomingRequest { transaction, flow, request } => {
                if let Some(response) = self.answer(transaction, flow, request, now) {
                    self.agent.respond(transaction, response, now);
                }
            }
            // The ACK changes nothing here: the call is joined since the answer. The gateway asks nothing of its own.
            Event::Confirmed { .. } | Event::Response { .. } | Event::RequestTimedOut { .. } => {}
        }
    }

    /// `None`: the answer comes later.
    fn answer(
        &mut self,
        transaction: TransactionId,
        flow: FlowId,
        request: Box<Request>,
        now: Instant,
    ) -> Option<Response> {
        if request.method == Method::Register {
            self.register(transaction, flow, request, now)
        } else if request.method == Method::Message {
            self.device_command(transaction, flow, &request, now)
        } else {
            Some(answers::options())
        }
    }

    fn register(
        &mut self,
        transaction: TransactionId,
        flow: FlowId,
        request: Box<Request>,
        now: Instant,
    ) -> Option<Response> {
        let device = self.flows.get(flow).and_then(|state| state.device);
        let allowed = match device {
            None => self.authenticate(flow, &request, now),
            Some(device) => match self.claim(flow, device, &request, now) {
                Ok(Claim::Token(account, _)) if self.is_anothers(flow, &account) => Err(answers::OTHER_ACCOUNT),
                Ok(Claim::Token(account, token)) => {
                    return self.redeem((transaction, flow), request, (account, token), device);
                }
                Ok(Claim::Account(account)) => Ok(account),
                Err(answer) => Err(answer),
            },
        };
        Some(self.registered(flow, &request, allowed, now))
    }

    /// Carries a REGISTER out for who may, or says why not.
    pub(super) fn registered(
        &mut self,
        flow: FlowId,
        request: &Request,
        allowed: Result<AccountName, Answer>,
        now: Instant,
    ) -> Response {
        let result = allowed.and_then(|account| {
            if self.is_anothers(flow, &account) {
                return Err(answers::OTHER_ACCOUNT);
            }
            let (bindings, settings) = (&mut self.bindings, &self.settings);
            registrar::handle_register(request, &account, flow, bindings, &self.instances, settings, now)
                .map(|response| (account, response))
        });
        match result {
            Ok((account, mut response)) => {
                self.sign_in(flow, account);
                self.sign_out_unbound();
                if let Some(announcement) = &self.succession.announcement {
                    response.headers.push(HeaderName::UndertoneNextPin, announcement.to_string());
                }
                response
            }
            Err(answer) => {
                if answer.status != answers::UNAUTHORIZED.status {
                    self.totals.add(Count::SignInRefused);
                }
                answer.into_response()
            }
        }
    }

    /// Who sends this REGISTER on a flow without a device's key: the account of the flow, or whoever proves himself
    /// by a password.
    fn authenticate(&mut self, flow: FlowId, request: &Request, now: Instant) -> Result<AccountName, Answer> {
        let state = self.flows.get_mut(flow).ok_or(answers::NOT_SIGNED_IN)?;
        if let Some(account) = &state.account
            && request.headers.get(&HeaderName::Authorization).is_none()
        {
            return Ok(account.clone());
        }
        self.authenticator.check(request, state, &self.accounts, &self.settings, &mut self.rng, now)
    }

    /// Whether the flow is somebody else's.
    fn is_anothers(&self, flow: FlowId, account: &AccountName) -> bool {
        self.flows.get(flow).and_then(|state| state.owner.as_ref()).is_some_and(|other| other != account)
    }

    fn sign_in(&mut self, flow: FlowId, account: AccountName) {
        if self.bindings.on_flow(&account, flow).is_some() && self.flows.sign_in(flow, account) {
            self.totals.add(Count::SignedIn);
        }
    }

    /// A flow is signed in for as long as a binding leads down it.
    fn sign_out_unbound(&mut self) {
        for flow in self.bindings.take_orphans() {
            self.flows.sign_out(flow);
        }
    }

    fn close(&mut self, flow: FlowId, now: Instant) {
        self.handle_flow_closed(flow, now);
        self.outputs.push_back(Output::CloseFlow { flow });
    }

    fn with_calls(&mut self, now: Instant, act: impl FnOnce(&mut B2bua, &mut Surroundings<'_, R>)) {
        let mut around = Surroundings {
            agent: &mut self.agent,
            rng: &mut self.rng,
            settings: &self.settings,
            flows: &self.flows,
            bindings: &self.bindings,
            totals: &mut self.totals,
            outputs: &mut self.outputs,
            now,
        };
        act(&mut self.calls, &mut around);
    }
}

impl<R: RngCore> std::fmt::Debug for Gateway<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

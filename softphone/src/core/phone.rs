//! The signalling side of the phone: commands in, events out, bytes on flows.
//!
//! ```text
//!   command ─▶┐                      ┌─▶ event (person)
//!   bytes   ─▶│ line ⇄ user agent    │
//!   media   ─▶│        ⇅             ├─▶ flow orders, bytes
//!   time    ─▶┘       call           └─▶ media command (media thread)
//! ```
//! Through a gateway the line keeps one flow and a registration alive. Phone to phone there is one flow per phone.
//! There is one call at a time; a further caller hears that this phone is busy.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use rand_core::RngCore;
use undertone_media::verify::IdentityKey;
use undertone_sip::user_agent::{self, FlowId, SessionId, UserAgent};
use undertone_sip::wire::{Message, ParseError, Response};

use super::call::{Call, CallId};
use super::command::Command;
use super::contacts::Contacts;
use super::event::{Event, NotDone, Trouble};
use super::line::{Line, LineAction};
use super::media_event::MediaEvent;
use super::phone_output::{FlowOpened, Output};
use super::phone_settings::Settings;
use super::ticket_memory::TicketMemory;
use super::utc_clock::UtcClock;

/// How long the phone tries to sign off before it stops without.
const SIGN_OFF_TIME: Duration = Duration::from_secs(2);
/// How long a last message may be repeated before a phone without gateway stops.
const GOODBYE_TIME: Duration = Duration::from_millis(600);

/// Transactions at once: every call that begins or ends has two or three, the registration one.
const MAX_TRANSACTIONS: usize = 64;
/// Calls at once that have not quite ended, refused ones included.
const MAX_SESSIONS: usize = 16;

/// The signalling side of one phone.
pub struct Phone<R: RngCore> {
    pub(super) rng: R,
    pub(super) user_agent: UserAgent<R>,
    pub(super) line: Line<R>,
    pub(super) call: Option<Call>,
    pub(super) auto_answer: bool,
    pub(super) clock: UtcClock,
    /// Proves in every call that nobody sits in between; drawn at the start unless one is kept.
    pub(super) identity: IdentityKey,
    /// Whether others can know this phone by its key: only then can it have contacts, and only then is it silent.
    pub(super) keeps_identity: bool,
    pub(super) contacts: Contacts,
    /// No gateway learns who calls.
    pub(super) hides: bool,
    pub(super) tickets: TicketMemory,
    /// Callers who must not notice that this phone is switched on.
    pub(super) silent: VecDeque<SessionId>,
    pub(super) silent_calls: u64,
    last_call: CallId,
    stopping: Option<Instant>,
    stopped: bool,
    outputs: VecDeque<Output>,
}

impl<R: RngCore> Phone<R> {
    /// A phone that begins to connect at once. All three random sources are the system's.
    pub fn new(settings: Settings, random: [R; 3], now: Instant) -> Self {
        let [mut rng, user_agent_rng, registration_rng] = random;
        let identity = IdentityKey::generate(&mut rng);
        let line = Line::new(settings.mode, registration_rng, &mut rng, now);
        let mut phone = Self {
            rng,
            user_agent: UserAgent::new(user_agent_settings(), user_agent_rng),
            line,
            call: None,
            auto_answer: settings.auto_answer,
            clock: UtcClock::new(settings.today, now),
            identity,
            keeps_identity: false,
            contacts: Contacts::new(),
            hides: false,
            tickets: TicketMemory::default(),
            silent: VecDeque::new(),
            silent_calls: 0,
            last_call: CallId(0),
            stopping: None,
            stopped: false,
            outputs: VecDeque::new(),
        };
        phone.handle_timeout(now);
        phone
    }

    /// The identity that is kept for this account, before the first call. Without it a phone has a new one every time.
    pub fn set_identity(&mut self, identity: IdentityKey) {
        self.identity = identity;
        self.keeps_identity = true;
    }

    /// Whether all calls hide from gateways who calls.
    pub fn set_hide_from(&mut self, on: bool) {
        self.hides = on;
    }

    /// The date and time: for the certificates of calls, and for ring tickets, whose minute counts. To be told whenever
    /// something happens, so that a clock that was set or a machine that slept is noticed.
    pub fn handle_date(&mut self, date: SystemTime, now: Instant) {
        self.clock = UtcClock::new(date, now);
    }

    /// A wish of the person.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        let result = match command {
            Command::Quit => {
                self.begin_stop(now);
                Ok(())
            }
            _ if self.stopping.is_some() => Err(NotDone::Stopping),
            Command::Dial { uri } => self.dial(&uri, false, now),
            Command::DialHidden { uri } => self.dial(&uri, true, now),
            Command::Answer => self.answer(now),
            Command::Reject => self.reject(now),
            Command::HangUp => self.hang_up_here(now),
            Command::Mute(on) => self.mute(on),
            Command::Hold(on) => self.hold(on, now),
            Command::Dtmf(digit) => self.dtmf(digit),
            Command::Pick(choice) => self.pick(Some(choice), now),
            Command::PickNone => self.pick(None, now),
            Command::Digits => self.switch_digits(),
            Command::SkipCheck => self.skip_check(),
            Command::Check => self.compare_words(),
        };
        if let Err(why) = result {
            self.show(Event::NotDone { why });
        }
        self.pump(now);
    }

    /// A flow that was asked for is open, or (direct mode) the shell accepted one.
    pub fn handle_flow_opened(&mut self, flow: FlowId, opened: FlowOpened, now: Instant) {
        if let Some(identity) = self.line.handle_flow_opened(flow, opened, &mut self.rng, now) {
            self.user_agent.handle_flow_opened(flow, identity, now);
            self.place_reached_call(flow, now);
        }
        self.pump(now);
    }

    /// A flow could not be opened, or broke.
    pub fn handle_flow_closed(&mut self, flow: FlowId, why: Trouble, now: Instant) {
        self.line.handle_flow_closed(flow, why, &mut self.rng, now);
        self.lose_flow(flow, now);
        self.pump(now);
    }

    /// Bytes from a stream, cut anywhere, or one datagram.
    pub fn handle_bytes(&mut self, flow: FlowId, bytes: &[u8], now: Instant) {
        for message in self.line.handle_bytes(flow, bytes, &mut self.rng, now) {
            self.handle_message(flow, message, now);
        }
        self.pump(now);
    }

    /// One message that the shell cut out of a stream itself.
    pub fn handle_stream_message(&mut self, flow: FlowId, message: Result<Message, ParseError>, now: Instant) {
        self.handle_message(flow, message, now);
        self.pump(now);
    }

    /// What happened on a call's media path.
    pub fn handle_media_event(&mut self, call: CallId, event: MediaEvent, now: Instant) {
        self.follow_media(call, event, now);
        self.pump(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.user_agent.handle_timeout(now);
        self.line.handle_timeout(&mut self.rng, now);
        if self.call.as_ref().and_then(Call::until).is_some_and(|until| now >= until) {
            self.give_up(now);
        }
        self.pump(now);
        if self.stopping.is_some_and(|until| now >= until) {
            self.stop(now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let call = self.call.as_ref().and_then(Call::until);
        [self.user_agent.poll_timeout(), self.line.poll_timeout(), call, self.stopping].into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn show(&mut self, event: Event) {
        self.output(Output::Ui(event));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn next_call_id(&mut self) -> CallId {
        self.last_call = CallId(self.last_call.0 + 1);
        self.last_call
    }

    /// Lets the parts talk until none has anything to say.
    pub(super) fn pump(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.user_agent.poll_output() {
                match output {
                    user_agent::Output::Transmit { flow, bytes } => self.output(Output::Transmit { flow, bytes }),
                    user_agent::Output::Event(event) => self.handle_user_agent_event(event, now),
                }
            } else if let Some(action) = self.line.poll_action(&mut self.rng, now) {
                self.carry_out(action, now);
            } else {
                break;
            }
        }
    }

    fn handle_user_agent_event(&mut self, event: user_agent::Event, now: Instant) {
        use user_agent::Event as Told;
        match event {
            Told::IncomingInvite { session, flow, request } => self.receive_invite(session, flow, &request, now),
            Told::Progress { session, status, .. } => self.follow_progress(session, status),
            Told::Answered { session, sdp } => self.take_answer(session, &sdp, now),
            Told::Rejected { session, status, reason } => self.take_refusal(session, status, &reason, now),
            Told::Confirmed { .. } => {}
            Told::Reoffer { session, sdp } => self.take_reoffer(session, &sdp, now),
            Told::ReofferAnswered { session, sdp } => self.take_reanswer(session, &sdp, now),
            Told::ReofferRefused { session, .. } => self.take_refused_reoffer(session, now),
            Told::Ended { session, cause } => self.take_end(session, cause, now),
            Told::IncomingRequest { transaction, .. } => {
                // Only OPTIONS comes here. The answer says that this phone lives, nothing about it or its calls.
                self.user_agent.respond(transaction, Response::new(200), now);
            }
            Told::Response { transaction, response } => self.line.handle_response(transaction, &response, now),
            Told::RequestTimedOut { transaction } => {
                self.line.handle_request_timed_out(transaction, now);
            }
        }
    }

    fn carry_out(&mut self, action: LineAction, now: Instant) {
        match action {
            LineAction::Open { flow, target } => self.output(Output::OpenFlow { flow, target }),
            LineAction::Close { flow } => {
                self.lose_flow(flow, now);
                self.output(Output::CloseFlow { flow });
            }
            LineAction::Transmit { flow, bytes } => self.output(Output::Transmit { flow, bytes }),
            LineAction::Request { flow, request } => {
                let transaction = self.user_agent.request(flow, *request, now);
                self.line.handle_requested(transaction);
            }
            LineAction::Show(event) => self.show(event),
            LineAction::SignedOff => self.stopping = self.stopping.map(|_| now),
        }
    }

    fn handle_message(&mut self, flow: FlowId, message: Result<Message, ParseError>, now: Instant) {
        match message {
            Ok(message) => self.user_agent.handle_message(flow, message, now),
            Err(error) => self.user_agent.handle_parse_error(flow, error, now),
        }
    }

    /// The user agent ends the calls that were on the flow.
    fn lose_flow(&mut self, flow: FlowId, now: Instant) {
        self.user_agent.handle_flow_closed(flow, now);
        self.fail_unplaced_call(flow, now);
    }

    fn begin_stop(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        let had_call = self.call.is_some();
        if had_call {
            let _ = self.hang_up_here(now);
        }
        let wait = match (self.line.sign_off(now), had_call) {
            (true, _) => SIGN_OFF_TIME,
            (false, true) => GOODBYE_TIME,
            (false, false) => Duration::ZERO,
        };
        self.stopping = Some(now + wait);
        self.pump(now);
        if self.stopping.is_some_and(|until| now >= until) {
            self.stop(now);
        }
    }

    fn stop(&mut self, now: Instant) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.line.close();
        self.pump(now);
        self.show(Event::Stopped);
    }
}

/// One person's phone: a few calls may overlap while they end, a flood must not take its memory.
fn user_agent_settings() -> user_agent::Settings {
    user_agent::Settings {
        max_transactions: MAX_TRANSACTIONS,
        max_sessions: MAX_SESSIONS,
        ..user_agent::Settings::default()
    }
}

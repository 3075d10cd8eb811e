//! Keeping one account registered over one flow (RFC 3261 §10, RFC 5626 §4), as pure state.
//!
//! ```text
//!  start ──▶ Idle ── OpenFlow ─▶ shell opens ── handle_flow_opened ─▶ Registering ── REGISTER ─▶
//!   Registering ── 401 ──▶ REGISTER with digest ── 2xx ──▶ Registered ── refresh ──▶ Registering
//!    │ 403, wrong password …: Refused, and quiet        │ flow closed: Lost, soon OpenFlow
//!    │ no answer, 5xx: Failed, waits (§4.5), again      │ unregister ── REGISTER expires=0 ─▶ Unregistered
//! ```
//! An account without password proves itself by what the flow shows (a client certificate); a device that is new to
//! it adds the token of its invite to every REGISTER until one is accepted.
//!
//! Requests go to [`UserAgent::request`](crate::user_agent::UserAgent::request); its answers come back
//! through [`Registration::handle_response`]. `Service-Route` is ignored: everything leaves on the flow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_core::RngCore;

pub use crate::join_token::JoinToken;
use crate::user_agent::{FlowId, Login};
use crate::wire::{HeaderName, Headers, Method, NameAddr, Request, Response, Uri};

/// Wait after the first failure at most (RFC 5626 §4.5, base-time when all flows failed).
const BASE_WAIT: Duration = Duration::from_secs(30);
/// Longest wait (§4.5, max-time).
const MAX_WAIT: Duration = Duration::from_secs(1800);
/// A flow that had been registered is opened again within this time, drawn at random so that the
/// phones of a restarted gateway do not all come at once.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// A REGISTER nobody answered, whatever became of its transaction (which gives up after 32 s).
const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// Challenges answered per attempt: the first, and fresh nonces for ones that went stale meanwhile.
const MAX_CHALLENGES: u8 = 3;
/// Longest lifetime we ask for, whatever a registrar demands with 423.
const MAX_EXPIRES_S: u32 = 86_400;
/// Shortest lifetime we take at its word: a registrar cannot make us register without pause.
const MIN_EXPIRES_S: u32 = 20;

/// Which account registers where.
#[derive(Debug)]
pub struct Settings {
    /// Request-URI: the registrar's domain, no user.
    pub registrar: Uri,
    /// The address to be reached at.
    pub address: NameAddr,
    /// `urn:uuid:…`, random per account and lasting (`+sip.instance`).
    pub instance: String,
    /// Which of the instance's flows this is.
    pub reg_id: u32,
    /// Lifetime asked for, in seconds.
    pub expires_s: u32,
    /// Answers digest challenges, if given.
    pub credentials: Option<Login>,
}

/// One thing to do or to know. Drain until `None` after every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a flow to the registrar; answer with `handle_flow_opened` or `handle_flow_failed`.
    OpenFlow,
    /// Give this to `UserAgent::request`.
    Request {
        /// On this flow.
        flow: FlowId,
        /// The REGISTER.
        request: Box<Request>,
    },
    /// Something happened.
    Event(Event),
}

/// Something happened to the registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The account is reachable. Told once per flow.
    Registered {
        /// Granted lifetime in seconds; refreshed by itself.
        expires_s: u32,
        /// Longest pause between keep-alives the registrar wants, in seconds (`Flow-Timer`).
        keep_alive_s: Option<u32>,
    },
    /// The registrar says no: wrong password, unknown account. Nothing is tried until `start`.
    Refused {
        /// Its status.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// An attempt failed; the next follows by itself.
    Failed {
        /// The registrar's status, if it answered at all.
        status: Option<u16>,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The flow of a registered account closed; a new one is asked for by itself.
    Lost,
    /// `unregister` is done.
    Unregistered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not asked to register, or refused.
    Quiet,
    /// Waiting until `at` to try (again).
    Waiting,
    /// A flow was asked for.
    Opening,
    /// A REGISTER is out, with so many challenges answered.
    Registering {
        challenges: u8,
    },
    Registered,
    /// The REGISTER that takes the binding away is out.
    Leaving {
        challenges: u8,
    },
}

#[derive(Debug)]
struct Flow {
    id: FlowId,
    contact: Uri,
    call_id: String,
    tag: String,
    cseq: u32,
    told: bool,
}

/// The registration of one account over one flow.
pub struct Registration<R> {
    settings: Settings,
    invite: Option<JoinToken>,
    rng: R,
    state: State,
    flow: Option<Flow>,
    failures: u32,
    deadline: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl<R: RngCore> Registration<R> {
    /// A registration that does nothing before `start`.
    pub fn new(settings: Settings, rng: R) -> Self {
        Self {
            settings,
            invite: None,
            rng,
            state: State::Quiet,
            flow: None,
            failures: 0,
            deadline: None,
            outputs: VecDeque::new(),
        }
    }

    /// With the token that lets this device into the account; it is wiped once it has.
    #[must_use]
    pub fn with_invite(self, invite: JoinToken) -> Self {
        Self { invite: Some(invite), ..self }
    }

    /// Registers from here on; at once, also when it is waiting to try again (the network is back).
    pub fn start(&mut self, now: Instant) {
        self.failures = 0;
        if matches!(self.state, State::Quiet | State::Waiting) {
            self.try_now(now);
        }
    }

    /// The shell opened the flow; `contact` is where we are reached on it.
    pub fn handle_flow_opened(&mut self, id: FlowId, contact: Uri, now: Instant) {
        let flow = Flow {
            id,
            contact,
            call_id: self.token(16),
            tag: self.token(8),
            cseq: self.below(0x3fff_ffff) + 1,
            told: false,
        };
        self.flow = Some(flow);
        if matches!(self.state, State::Opening | State::Waiting) {
            self.send(State::Registering { challenges: 0 }, None, now);
        }
    }

    /// The flow asked for could not be opened.
    pub fn handle_flow_failed(&mut self, now: Instant) {
        if self.state == State::Opening {
            self.fail(None, None, now);
        }
    }

    /// A flow closed.
    pub fn handle_flow_closed(&mut self, id: FlowId, now: Instant) {
        if self.flow.as_ref().is_none_or(|flow| flow.id != id) {
            return;
        }
        let was_registered = self.flow.take().is_some_and(|flow| flow.told);
        match self.state {
            State::Quiet | State::Waiting | State::Opening => {}
            State::Leaving { .. } => self.leave(),
            State::Registering { .. } | State::Registered if was_registered => {
                self.tell(Event::Lost);
                let wait = self.drawn(Duration::ZERO, FIRST_WAIT);
                self.wait(wait, now);
            }
            State::Registering { .. } | State::Registered => self.fail(None, None, now),
        }
    }

    /// The answer to the newest request.
    pub fn handle_response(&mut self, response: &Response, now: Instant) {
        if response.status < 200 {
            return;
        }
        let (State::Registering { challenges } | State::Leaving { challenges }) = self.state else { return };
        let is_leaving = matches!(self.state, State::Leaving { .. });
        if matches!(response.status, 401 | 407) && self.answer_challenge(challenges, response, now) {
            return;
        }
        match response.status {
            _ if is_leaving => self.leave(),
            200..=299 => self.handle_accepted(&response.headers, now),
            423 if self.raise_expires(&response.headers) => {
                self.send(State::Registering { challenges: 0 }, None, now);
            }
            status @ (408 | 423 | 430 | 480 | 500..=599) => {
                self.fail(Some(status), response.headers.retry_after(), now);
            }
            // Trying again cannot help before something changes.
            status => {
                self.state = State::Quiet;
                self.deadline = None;
                self.tell(Event::Refused { status, reason: response.reason.clone() });
            }
        }
    }

    /// The newest request got no answer.
    pub fn handle_no_response(&mut self, now: Instant) {
        match self.state {
            State::Registering { .. } => self.fail(None, None, now),
            State::Leaving { .. } => self.leave(),
            State::Quiet | State::Waiting | State::Opening | State::Registered => {}
        }
    }

    /// Takes the binding away, for a clean quit; ends with [`Event::Unregistered`].
    pub fn unregister(&mut self, now: Instant) {
        match self.state {
            State::Registered | State::Registering { .. } if self.flow.is_some() => {
                self.send(State::Leaving { challenges: 0 }, None, now);
            }
            State::Leaving { .. } => {}
            State::Quiet | State::Waiting | State::Opening | State::Registering { .. } | State::Registered => {
                self.leave()
            }
        }
    }

    /// Whether the account is reachable as far as we know.
    pub fn is_registered(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.told)
    }

    /// Carries out what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        match self.state {
            State::Waiting => self.try_now(now),
            State::Registered => self.send(State::Registering { challenges: 0 }, None, now),
            State::Registering { .. } | State::Leaving { .. } => self.handle_no_response(now),
            State::Quiet | State::Opening => {}
        }
    }

    /// When [`Registration::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn try_now(&mut self, now: Instant) {
        self.deadline = None;
        if self.flow.is_some() {
            self.send(State::Registering { challenges: 0 }, None, now);
        } else {
            self.state = State::Opening;
            self.outputs.push_back(Output::OpenFlow);
        }
    }

    fn send(&mut self, state: State, authorization: Option<(HeaderName, String)>, now: Instant) {
        let Some(flow) = &mut self.flow else { return };
        let is_leaving = matches!(state, State::Leaving { .. });
        let expires_s = if is_leaving { 0 } else { self.settings.expires_s };
        let mut request = Request::new(Method::Register, self.settings.registrar.clone());
        let mut contact = NameAddr::new(flow.contact.clone());
        contact.params.set("reg-id", self.settings.reg_id.to_string());
        contact.params.set("+sip.instance", format!("<{}>", self.settings.instance));
        flow.cseq += 1;
        let headers = &mut request.headers;
        headers.push(HeaderName::From, self.settings.address.clone().with_tag(flow.tag.clone()).to_string());
        headers.push(HeaderName::To, self.settings.address.to_string());
        headers.push(HeaderName::CallId, flow.call_id.clone());
        headers.push(HeaderName::CSeq, format!("{} REGISTER", flow.cseq));
        headers.push(HeaderName::Contact, contact.to_string());
        headers.push(HeaderName::Supported, "outbound, path");
        headers.push(HeaderName::Expires, expires_s.to_string());
        if let Some((name, value)) = authorization {
            headers.push(name, value);
        } else if let Some(invite) = &self.invite {
            headers.push(HeaderName::Authorization, invite.authorization().as_str());
        }
        let output = Output::Request { flow: flow.id, request: Box::new(request) };
        self.state = state;
        self.deadline = Some(now + ANSWER_LIMIT);
        self.outputs.push_back(output);
    }

    fn answer_challenge(&mut self, challenges: u8, response: &Response, now: Instant) -> bool {
        let cnonce = self.token(16);
        let Some(login) = &self.settings.credentials else { return false };
        // A second challenge means a wrong password, unless the nonce had only become too old.
        if challenges >= MAX_CHALLENGES || (challenges > 0 && !Login::is_stale(response)) {
            return false;
        }
        let registrar = &self.settings.registrar;
        let Some(answer) = login.answer(response, &Method::Register, registrar, &cnonce) else { return false };
        let challenges = challenges + 1;
        let is_leaving = matches!(self.state, State::Leaving { .. });
        let state = if is_leaving { State::Leaving { challenges } } else { State::Registering { challenges } };
        self.send(state, Some(answer), now);
        true
    }

    fn handle_accepted(&mut self, headers: &Headers, now: Instant) {
        let asked_s = self.settings.expires_s;
        let granted_s = self.granted_s(headers).unwrap_or(asked_s).clamp(MIN_EXPIRES_S, MAX_EXPIRES_S);
        self.state = State::Registered;
        self.failures = 0;
        self.invite = None;
        let granted = Duration::from_secs(granted_s.into());
        let refresh = self.drawn(granted.mul_f64(0.7), granted.mul_f64(0.85));
        self.deadline = Some(now + refresh);
        if let Some(flow) = &mut self.flow
            && !flow.told
        {
            flow.told = true;
            let keep_alive_s = headers.get(&HeaderName::FlowTimer).and_then(|value| value.trim().parse().ok());
            self.tell(Event::Registered { expires_s: granted_s, keep_alive_s });
        }
    }

    /// The lifetime of our own binding among those the registrar lists.
    fn granted_s(&self, headers: &Headers) -> Option<u32> {
        let reg_id = self.settings.reg_id.to_string();
        let instance = format!("<{}>", self.settings.instance);
        let contacts = headers.contacts().unwrap_or_default();
        let own = contacts.iter().find(|contact| {
            contact.params.get("reg-id") == Some(reg_id.as_str())
                && contact.params.get("+sip.instance") == Some(instance.as_str())
        });
        let own = own.or_else(|| {
            let flow = self.flow.as_ref()?;
            contacts.iter().find(|contact| contact.uri == flow.contact)
        });
        let listed = own.and_then(|contact| contact.params.get("expires"));
        listed.and_then(|value| value.parse().ok()).or_else(|| headers.expires())
    }

    fn raise_expires(&mut self, headers: &Headers) -> bool {
        match headers.min_expires() {
            Some(min_s) if min_s > self.settings.expires_s && min_s <= MAX_EXPIRES_S => {
                self.settings.expires_s = min_s;
                true
            }
            _ => false,
        }
    }

    /// An attempt failed for a reason that may pass (RFC 5626 §4.5).
    fn fail(&mut self, status: Option<u16>, retry_after_s: Option<u32>, now: Instant) {
        let longest = BASE_WAIT.saturating_mul(1 << self.failures.min(16)).min(MAX_WAIT);
        self.failures = self.failures.saturating_add(1);
        let wait = self.drawn(longest / 2, longest);
        let asked = Duration::from_secs(retry_after_s.unwrap_or_default().into()).min(MAX_WAIT);
        let retry_in = wait.max(asked);
        self.tell(Event::Failed { status, retry_in });
        self.wait(retry_in, now);
    }

    fn wait(&mut self, wait: Duration, now: Instant) {
        self.state = State::Waiting;
        self.deadline = Some(now + wait);
        if let Some(flow) = &mut self.flow {
            flow.told = false;
        }
    }

    fn leave(&mut self) {
        self.state = State::Quiet;
        self.deadline = None;
        if let Some(flow) = &mut self.flow {
            flow.told = false;
        }
        self.tell(Event::Unregistered);
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn token(&mut self, bytes: usize) -> String {
        let mut random = vec![0; bytes];
        self.rng.fill_bytes(&mut random);
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.rng.next_u32()) * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or_default()
    }

    /// A time between the two, drawn in steps of a thousandth of the difference.
    fn drawn(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least) / 1000 * self.below(1001)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::digest::{Challenge, Credentials, ha1};
    use crate::wire::uri::parse_uri;

    const FLOW: FlowId = FlowId(7);
    const INSTANCE: &str = "urn:uuid:0d5b1f0e-0000-4000-8000-000000000001";

    struct Bench {
        registration: Registration<ChaCha20Rng>,
        now: Instant,
    }

    impl Bench {
        fn new(credentials: Option<Login>) -> Self {
            let settings = Settings {
                registrar: parse_uri("sip:gw.example").unwrap(),
                address: NameAddr::new(parse_uri("sip:alice@gw.example").unwrap()),
                instance: INSTANCE.to_owned(),
                reg_id: 1,
                expires_s: 600,
                credentials,
            };
            let rng = ChaCha20Rng::seed_from_u64(1);
            Self { registration: Registration::new(settings, rng), now: Instant::now() }
        }

        /// Started, with an open flow; returns the first REGISTER.
        fn registering(credentials: Option<Login>) -> (Self, Request) {
            let mut bench = Self::new(credentials);
            bench.registration.start(bench.now);
            assert_eq!(bench.registration.poll_output(), Some(Output::OpenFlow));
            bench.open();
            let request = bench.request();
            (bench, request)
        }

        fn open(&mut self) {
            let contact = parse_uri("sip:alice@x.invalid;transport=tls").unwrap();
            self.registration.handle_flow_opened(FLOW, contact, self.now);
        }

        fn request(&mut self) -> Request {
            match self.registration.poll_output() {
                Some(Output::Request { flow: FLOW, request }) => *request,
                other => panic!("{other:?}"),
            }
        }

        fn event(&mut self) -> Event {
            match self.registration.poll_output() {
                Some(Output::Event(event)) => event,
                other => panic!("{other:?}"),
            }
        }

        fn answer(&mut self, status: u16, headers: &[(HeaderName, &str)]) {
            let mut response = Response::new(status);
            for (name, value) in headers {
                response.headers.push(name.clone(), *value);
            }
            self.registration.handle_response(&response, self.now);
        }

        /// Waits for the deadline; returns how long that took.
        fn wait(&mut self) -> Duration {
            let deadline = self.registration.poll_timeout().unwrap();
            let waited = deadline - self.now;
            self.registration.handle_timeout(deadline - Duration::from_millis(1));
            assert_eq!(self.registration.poll_output(), None);
            self.now = deadline;
            self.registration.handle_timeout(deadline);
            waited
        }
    }

    fn challenge(nonce: &str, stale: bool) -> String {
        Challenge { realm: "gw".into(), nonce: nonce.into(), opaque: None, stale }.to_string()
    }

    fn login() -> Option<Login> {
        Some(Login::new("alice", "secret"))
    }

    #[test]
    fn it_registers_with_outbound_and_refreshes_in_time() {
        let (mut bench, request) = Bench::registering(None);
        let contact = request.headers.contact().unwrap();
        assert_eq!(contact.params.get("reg-id"), Some("1"));
        assert_eq!(contact.params.get("+sip.instance"), Some(format!("<{INSTANCE}>").as_str()));
        assert!(request.headers.lists(&HeaderName::Supported, "outbound"));
        let contacts = format!(
            "<sip:other@y.invalid>;expires=20, <sip:alice@x.invalid>;reg-id=1;+sip.instance=\"<{INSTANCE}>\";expires=300"
        );
        bench.answer(200, &[(HeaderName::Contact, &contacts), (HeaderName::FlowTimer, "25")]);
        assert_eq!(bench.event(), Event::Registered { expires_s: 300, keep_alive_s: Some(25) });
        let waited = bench.wait();
        assert!((210..=255).contains(&waited.as_secs()), "{waited:?}");
        let refresh = bench.request();
        assert_eq!(refresh.headers.call_id(), request.headers.call_id());
        let numbers = [&request, &refresh].map(|request| request.headers.cseq().unwrap().number);
        assert_eq!(numbers[1], numbers[0] + 1);
        bench.answer(200, &[]);
        assert_eq!(bench.registration.poll_output(), None);
        assert!(bench.registration.is_registered());
    }

    #[test]
    fn a_challenge_is_answered_once_and_a_stale_nonce_once_more() {
        let (mut bench, _) = Bench::registering(login());
        for (nonce, stale) in [("n1", false), ("n2", true)] {
            bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge(nonce, stale))]);
            let request = bench.request();
            let header = request.headers.get(&HeaderName::Authorization).unwrap();
            let credentials = Credentials::parse(header).unwrap();
            assert_eq!(credentials.nonce, nonce);
            assert!(credentials.verify(&ha1("alice", "gw", "secret"), &Method::Register));
        }
        bench.answer(200, &[]);
        assert!(matches!(bench.event(), Event::Registered { expires_s: 600, .. }));
    }

    #[test]
    fn an_invite_goes_along_until_it_is_accepted_and_not_again() {
        let (token, mut bench) = ("A".repeat(43), Bench::new(None));
        bench.registration.invite = JoinToken::new(zeroize::Zeroizing::new(token.clone()));
        bench.registration.start(bench.now);
        bench.registration.poll_output();
        bench.open();
        let expected = format!("Undertone-Token token=\"{token}\"");
        let shown = |request: &Request| request.headers.get(&HeaderName::Authorization).map(str::to_owned);
        assert_eq!(shown(&bench.request()), Some(expected.clone()));
        bench.answer(503, &[]);
        bench.event();
        bench.wait();
        assert_eq!(shown(&bench.request()), Some(expected), "the answer may have been lost");
        bench.answer(200, &[]);
        bench.event();
        bench.wait();
        assert_eq!(shown(&bench.request()), None);
        assert!(bench.registration.invite.is_none());
    }

    #[test]
    fn an_account_without_password_answers_no_challenge() {
        let (mut bench, request) = Bench::registering(None);
        assert_eq!(request.headers.get(&HeaderName::Authorization), None);
        bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("n1", false))]);
        assert!(matches!(bench.event(), Event::Refused { status: 401, .. }));
    }

    #[test]
    fn a_wrong_password_is_told_and_not_tried_again() {
        let (mut bench, _) = Bench::registering(login());
        bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("n1", false))]);
        bench.request();
        bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("n2", false))]);
        assert!(matches!(bench.event(), Event::Refused { status: 401, .. }));
        assert_eq!(bench.registration.poll_timeout(), None);
    }

    #[test]
    fn endless_stale_challenges_end() {
        let (mut bench, _) = Bench::registering(login());
        for n in 0..MAX_CHALLENGES {
            bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge(&n.to_string(), true))]);
            bench.request();
        }
        bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("last", true))]);
        assert!(matches!(bench.event(), Event::Refused { status: 401, .. }));
    }

    #[test]
    fn failed_flows_are_tried_again_after_growing_random_waits() {
        let mut bench = Bench::new(None);
        bench.registration.start(bench.now);
        for longest in [30, 60, 120, 240, 480, 960, 1800, 1800] {
            assert_eq!(bench.registration.poll_output(), Some(Output::OpenFlow));
            bench.registration.handle_flow_failed(bench.now);
            let Event::Failed { status: None, retry_in } = bench.event() else { panic!() };
            assert_eq!(bench.wait(), retry_in);
            let longest = Duration::from_secs(longest);
            assert!(retry_in >= longest / 2 && retry_in <= longest, "{retry_in:?}");
        }
        bench.registration.handle_flow_failed(bench.now);
        bench.registration.start(bench.now);
        assert_eq!(bench.registration.poll_output(), Some(Output::OpenFlow));
    }

    #[test]
    fn a_lost_flow_is_opened_again_soon() {
        let (mut bench, first) = Bench::registering(None);
        bench.answer(200, &[]);
        bench.event();
        bench.registration.handle_flow_closed(FlowId(99), bench.now);
        assert_eq!(bench.registration.poll_output(), None);
        bench.registration.handle_flow_closed(FLOW, bench.now);
        assert_eq!(bench.event(), Event::Lost);
        assert!(bench.wait() <= FIRST_WAIT);
        assert_eq!(bench.registration.poll_output(), Some(Output::OpenFlow));
        bench.open();
        let second = bench.request();
        assert_ne!(first.headers.call_id(), second.headers.call_id());
    }

    #[test]
    fn a_busy_registrar_is_given_the_time_it_asks_for() {
        let (mut bench, _) = Bench::registering(None);
        bench.answer(503, &[(HeaderName::RetryAfter, "120")]);
        let Event::Failed { status: Some(503), retry_in } = bench.event() else { panic!() };
        assert_eq!(retry_in, Duration::from_secs(120));
        bench.wait();
        bench.request();
        bench.registration.handle_no_response(bench.now);
        assert!(matches!(bench.event(), Event::Failed { status: None, .. }));
    }

    #[test]
    fn a_lifetime_that_is_too_short_is_raised_once_asked() {
        let (mut bench, _) = Bench::registering(None);
        bench.answer(423, &[(HeaderName::MinExpires, "3600")]);
        assert_eq!(bench.request().headers.expires(), Some(3600));
        bench.answer(423, &[(HeaderName::MinExpires, "3600")]);
        assert!(matches!(bench.event(), Event::Failed { status: Some(423), .. }));
    }

    #[test]
    fn leaving_takes_the_binding_away() {
        let (mut bench, _) = Bench::registering(login());
        bench.answer(200, &[]);
        bench.event();
        bench.registration.unregister(bench.now);
        assert_eq!(bench.request().headers.expires(), Some(0));
        bench.answer(401, &[(HeaderName::WwwAuthenticate, &challenge("n", false))]);
        assert_eq!(bench.request().headers.expires(), Some(0));
        bench.answer(200, &[]);
        assert_eq!(bench.event(), Event::Unregistered);
        assert_eq!(bench.registration.poll_timeout(), None);
        assert!(!bench.registration.is_registered());
    }
}

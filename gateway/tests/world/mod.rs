//! A gateway and its phones in one process and in virtual time: messages are handed over whole, nothing sleeps.
//!
//! A phone here is a `UserAgent` on a flow of its own; what its owner would do (answer, hang up) the test does.
//! Every message is kept in `traffic`, every open relay slot in `slots`. The store is a real one, in a folder of its own.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, dead_code, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use undertone_gateway::core::relay::{RelayCommand, SlotId};
use undertone_gateway::core::{
    AccountName, Accounts, Day, DeviceHash, Errand, ErrandDone, ErrandId, FlowOpened, Gateway, OriginSalt, Output,
    RelayAddresses, Settings, Verifier,
};
use undertone_gateway::store::{AccountWatch, Store};
use undertone_sip::digest::{Challenge, ha1};
use undertone_sip::sdp::{Codec, Description, Fingerprint, Ice, Origin};
use undertone_sip::user_agent::{
    self, EndCause, Event, FlowId, FlowIdentity, Invite, SessionId, TransactionId, Transport, UserAgent,
};
use undertone_sip::wire::uri::parse_uri;
use undertone_sip::wire::{HeaderName, Message, Method, NameAddr, Request, Response, Uri, parse};

pub const DOMAIN: &str = "gw.example";
pub const RELAY_V4: &str = "203.0.113.7:40000";
pub const RELAY_V6: &str = "[2001:db8::7]:40000";

/// Which phone, in the order they connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhoneId(pub usize);

pub struct Phone {
    pub account: String,
    pub flow: FlowId,
    pub agent: UserAgent<ChaCha20Rng>,
    pub events: Vec<Event>,
    pub connected: bool,
    /// Rewrites what this phone sends, on its way out.
    pub disguise: Option<fn(Message) -> Message>,
}

/// One message that crossed a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    pub at: Duration,
    pub flow: FlowId,
    pub to_phone: bool,
    pub bytes: Vec<u8>,
}

pub struct World {
    pub gateway: Gateway<ChaCha20Rng>,
    pub phones: Vec<Phone>,
    pub traffic: Vec<Crossing>,
    pub slots: BTreeMap<SlotId, (String, String)>,
    pub restarts: usize,
    pub closed: BTreeSet<FlowId>,
    pub now: Instant,
    /// The day on which the store believes it is.
    pub today: Day,
    /// While set, errands stay in `errands`.
    pub store_is_slow: bool,
    pub errands: Vec<(ErrandId, Errand)>,
    watch: AccountWatch,
    folder: tempfile::TempDir,
    start: Instant,
    salt: OriginSalt,
}

impl World {
    /// A gateway with the accounts alice, bob and carol; same seed, same run.
    pub fn new(seed: u64) -> Self {
        let relay = RelayAddresses { v4: RELAY_V4.parse().ok(), v6: RELAY_V6.parse().ok() };
        let settings = Settings { domain: DOMAIN.parse().unwrap(), relay, max_calls: 16 };
        let start = Instant::now();
        let rng = |stream: u64| ChaCha20Rng::seed_from_u64(seed * 1_000 + stream);
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(folder.path(), &DOMAIN.parse().unwrap()).unwrap();
        for name in ["alice", "bob", "carol"] {
            let verifier = ha1(name, DOMAIN, &password(name));
            store.add(&AccountName::parse(name).unwrap(), verifier.as_bytes()).unwrap();
        }
        let mut world = Self {
            gateway: Gateway::new(settings, rng(0), rng(1)),
            phones: Vec::new(),
            traffic: Vec::new(),
            slots: BTreeMap::new(),
            restarts: 0,
            closed: BTreeSet::new(),
            now: start,
            today: Day::from_number(20_000),
            store_is_slow: false,
            errands: Vec::new(),
            watch: AccountWatch::new(store),
            folder,
            start,
            salt: OriginSalt::draw(&mut rng(2)),
        };
        world.look_at_store();
        world
    }

    /// The store, as the operator's commands open it.
    pub fn store(&self) -> Store {
        Store::open(self.folder.path(), &DOMAIN.parse().unwrap()).unwrap()
    }

    /// What the gateway's shell does ten times a second.
    pub fn look_at_store(&mut self) {
        if let Some((accounts, succession)) = self.watch.look().unwrap() {
            self.gateway.handle_succession(succession);
            self.gateway.handle_accounts(accounts, self.now);
            self.settle();
        }
    }

    /// Carries the errands out that waited for the store.
    pub fn catch_up(&mut self) {
        self.store_is_slow = false;
        for (id, errand) in std::mem::take(&mut self.errands) {
            self.carry_out_errand(id, errand);
        }
        self.settle();
    }

    /// A phone opens its connection and says nothing yet.
    pub fn connect(&mut self, account: &str) -> PhoneId {
        self.connect_with(account, None)
    }

    /// The same with a device's key, which the handshake has proved.
    pub fn connect_with(&mut self, account: &str, device: Option<DeviceHash>) -> PhoneId {
        let id = self.phones.len();
        let flow = FlowId(100 + id as u64);
        let origin = self.salt.origin([198, 51, 100, id as u8].into());
        let opened = FlowOpened { transport: Transport::Tls, origin, device };
        self.gateway.handle_flow_opened(flow, opened, self.now);
        let mut agent = UserAgent::new(user_agent::Settings::default(), ChaCha20Rng::seed_from_u64(7_000 + id as u64));
        let identity = FlowIdentity {
            transport: Transport::Tls,
            sent_by: format!("host{id}.invalid"),
            contact: uri(&format!("sip:{account}@host{id}.invalid;transport=tls")),
        };
        agent.handle_flow_opened(flow, identity, self.now);
        let account = account.to_owned();
        self.phones.push(Phone { account, flow, agent, events: Vec::new(), connected: true, disguise: None });
        self.settle();
        PhoneId(id)
    }

    /// A phone connects and signs in.
    pub fn phone(&mut self, account: &str) -> PhoneId {
        let id = self.connect(account);
        let response = self.sign_in(id, &password(account));
        assert_eq!(response.status, 200, "{}", response.reason);
        id
    }

    /// REGISTER, answer to the challenge, final response.
    pub fn sign_in(&mut self, id: PhoneId, password: &str) -> Response {
        let request = self.register_request(id);
        let challenged = self.request(id, request);
        if challenged.status != 401 {
            return challenged;
        }
        let challenge = challenge(&challenged);
        let mut request = self.register_request(id);
        let account = self.phones[id.0].account.clone();
        request.headers.push(HeaderName::Authorization, proof(&account, password, &challenge, 1));
        self.request(id, request)
    }

    /// A REGISTER as our own phones send it, without `Authorization`.
    pub fn register_request(&self, id: PhoneId) -> Request {
        let account = &self.phones[id.0].account;
        let address = format!("<sip:{account}@{DOMAIN}>");
        let mut request = Request::new(Method::Register, uri(&format!("sip:{DOMAIN}")));
        request.headers.push(HeaderName::From, format!("{address};tag=r{}", id.0));
        request.headers.push(HeaderName::To, address);
        request.headers.push(HeaderName::Contact, contact(account, id.0, 1));
        request.headers.push(HeaderName::Supported, "outbound, path");
        request.headers.push(HeaderName::Expires, "600");
        request
    }

    /// Sends a request from the phone and waits for its final answer.
    pub fn request(&mut self, id: PhoneId, request: Request) -> Response {
        let sent = self.send(id, request);
        self.answer_to(id, sent).expect("the gateway answers every request at once")
    }

    /// Sends a request from the phone.
    pub fn send(&mut self, id: PhoneId, request: Request) -> TransactionId {
        let phone = &mut self.phones[id.0];
        let sent = phone.agent.request(phone.flow, request, self.now);
        self.settle();
        sent
    }

    /// The final answer to a request, if there is one by now.
    pub fn answer_to(&mut self, id: PhoneId, sent: TransactionId) -> Option<Response> {
        let mut found = None;
        self.phones[id.0].events.retain(|event| match event {
            Event::Response { transaction, response } if *transaction == sent && response.status >= 200 => {
                found = Some((**response).clone());
                false
            }
            _ => true,
        });
        found
    }

    /// Calls `callee` with an ordinary offer.
    pub fn call(&mut self, id: PhoneId, callee: &str) -> SessionId {
        let account = self.phones[id.0].account.clone();
        self.call_as(id, &format!("sip:{account}@{DOMAIN}"), &format!("sip:{callee}@{DOMAIN}"), offer(id.0 as u8))
    }

    /// Calls with everything chosen.
    pub fn call_as(&mut self, id: PhoneId, from: &str, to: &str, sdp: Vec<u8>) -> SessionId {
        let phone = &mut self.phones[id.0];
        let invite = Invite {
            request_uri: uri(to),
            from: NameAddr::new(uri(from)),
            to: NameAddr::new(uri(to)),
            contact: uri(&format!("sip:{}@host{}.invalid;transport=tls", phone.account, id.0)),
            sdp,
            credentials: None,
            extra: Vec::new(),
        };
        let session = phone.agent.invite(phone.flow, invite, self.now);
        self.settle();
        session
    }

    /// The call that rings at this phone.
    pub fn ringing_at(&self, id: PhoneId) -> Option<SessionId> {
        self.phones[id.0].events.iter().rev().find_map(|event| match event {
            Event::IncomingInvite { session, .. } => Some(*session),
            _ => None,
        })
    }

    /// What this phone was offered last.
    pub fn offered_to(&self, id: PhoneId) -> Option<Description> {
        self.phones[id.0].events.iter().rev().find_map(|event| match event {
            Event::IncomingInvite { request, .. } => Some(Description::parse(&request.body).unwrap()),
            Event::Reoffer { sdp, .. } => Some(Description::parse(sdp).unwrap()),
            _ => None,
        })
    }

    pub fn ring(&mut self, id: PhoneId) {
        let session = self.ringing_at(id).expect("a call has arrived");
        self.act(id, |agent, now| agent.ring(session, 180, None, now));
    }

    pub fn accept(&mut self, id: PhoneId) -> SessionId {
        let session = self.ringing_at(id).expect("a call has arrived");
        let body = answer(id.0 as u8, &self.offered_to(id).unwrap());
        let contact = uri(&format!("sip:{}@host{}.invalid;transport=tls", self.phones[id.0].account, id.0));
        self.act(id, |agent, now| agent.accept(session, contact, body, now));
        session
    }

    pub fn reject(&mut self, id: PhoneId, status: u16) {
        let session = self.ringing_at(id).expect("a call has arrived");
        self.act(id, |agent, now| agent.reject(session, status, "", now));
    }

    pub fn hang_up(&mut self, id: PhoneId, session: SessionId) {
        self.act(id, |agent, now| agent.hang_up(session, now));
    }

    /// Lets the phone's user agent do something and delivers what comes of it.
    pub fn act<T>(&mut self, id: PhoneId, act: impl FnOnce(&mut UserAgent<ChaCha20Rng>, Instant) -> T) -> T {
        let result = act(&mut self.phones[id.0].agent, self.now);
        self.settle();
        result
    }

    /// Rings at `callee`, accepts, and returns both sessions.
    pub fn talk(&mut self, caller: PhoneId, callee: PhoneId) -> (SessionId, SessionId) {
        let account = self.phones[callee.0].account.clone();
        let here = self.call(caller, &account);
        self.ring(callee);
        let there = self.accept(callee);
        (here, there)
    }

    /// Sends bytes on the phone's flow behind its user agent's back.
    pub fn send_raw(&mut self, id: PhoneId, text: &str) {
        self.send_bytes(id, text.as_bytes().to_vec());
    }

    pub fn send_bytes(&mut self, id: PhoneId, bytes: Vec<u8>) {
        let flow = self.phones[id.0].flow;
        self.deliver_to_gateway(flow, bytes);
        self.settle();
    }

    /// The phone's connection breaks.
    pub fn disconnect(&mut self, id: PhoneId) {
        let phone = &mut self.phones[id.0];
        phone.connected = false;
        phone.agent.handle_flow_closed(phone.flow, self.now);
        let flow = phone.flow;
        self.gateway.handle_flow_closed(flow, self.now);
        self.settle();
    }

    /// Lets time pass, stopping wherever somebody has something to do.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let mut timeouts: Vec<Instant> =
                self.phones.iter().filter_map(|phone| phone.agent.poll_timeout()).collect();
            timeouts.extend(self.gateway.poll_timeout());
            let next = timeouts.into_iter().min().unwrap_or(end);
            self.now = next.clamp(self.now, end);
            self.gateway.handle_timeout(self.now);
            for phone in &mut self.phones {
                phone.agent.handle_timeout(self.now);
            }
            self.settle();
            if next >= end {
                return;
            }
        }
    }

    /// Events of a phone since the last look.
    pub fn events(&mut self, id: PhoneId) -> Vec<Event> {
        std::mem::take(&mut self.phones[id.0].events)
    }

    /// Requests and responses the phone received, parsed.
    pub fn received(&self, id: PhoneId) -> Vec<Message> {
        let flow = self.phones[id.0].flow;
        self.traffic.iter().filter(|c| c.flow == flow && c.to_phone).filter_map(|c| parse(&c.bytes).ok()).collect()
    }

    /// Final and provisional statuses the phone received for its INVITEs, 100 left out.
    pub fn statuses(&self, id: PhoneId) -> Vec<u16> {
        self.invite_responses(id).into_iter().map(|response| response.status).collect()
    }

    /// How calls ended at this phone since the last look, other than by itself.
    pub fn ended(&mut self, id: PhoneId) -> Vec<EndCause> {
        let cause = |event| match event {
            Event::Ended { cause, .. } if cause != EndCause::LocalHangUp => Some(cause),
            _ => None,
        };
        self.events(id).into_iter().filter_map(cause).collect()
    }

    /// The last answer the phone's user agent reported.
    pub fn answered_to(&mut self, id: PhoneId) -> Description {
        let events = self.events(id);
        let sdp = events.into_iter().rev().find_map(|event| match event {
            Event::Answered { sdp, .. } | Event::ReofferAnswered { sdp, .. } => Some(sdp),
            _ => None,
        });
        Description::parse(&sdp.unwrap()).unwrap()
    }

    /// Responses to the phone's INVITEs, 100 left out.
    pub fn invite_responses(&self, id: PhoneId) -> Vec<Response> {
        let response = |message| match message {
            Message::Response(r) if r.status > 100 && r.headers.cseq().unwrap().method == Method::Invite => Some(r),
            _ => None,
        };
        self.received(id).into_iter().filter_map(response).collect()
    }

    /// Everything the phone received, as text.
    pub fn texts(&self, id: PhoneId) -> Vec<String> {
        let flow = self.phones[id.0].flow;
        let received = self.traffic.iter().filter(|c| c.flow == flow && c.to_phone);
        received.map(|c| String::from_utf8_lossy(&c.bytes).into_owned()).collect()
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Hands messages over until nobody has any.
    pub fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.gateway.poll_output() {
                quiet = false;
                self.carry_out(output);
            }
            for index in 0..self.phones.len() {
                while let Some(output) = self.phones[index].agent.poll_output() {
                    quiet = false;
                    match output {
                        user_agent::Output::Event(event) => self.phones[index].events.push(event),
                        user_agent::Output::Transmit { flow, bytes } => {
                            let bytes = self.disguised(index, bytes);
                            self.deliver_to_gateway(flow, bytes);
                        }
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => {
                assert!(!self.closed.contains(&flow), "nothing is sent on a closed flow");
                let crossing = Crossing { at: self.elapsed(), flow, to_phone: true, bytes };
                let message = parse(&crossing.bytes).ok();
                // Only an answer to an unreadable request is unreadable too: it repeats what was wrong.
                let refuses =
                    [&b"SIP/2.0 400"[..], b"SIP/2.0 505"].iter().any(|start| crossing.bytes.starts_with(start));
                assert!(message.is_some() || refuses);
                self.traffic.push(crossing);
                let phone = self.phones.iter_mut().find(|phone| phone.flow == flow && phone.connected);
                if let (Some(phone), Some(message)) = (phone, message) {
                    phone.agent.handle_message(flow, message, self.now);
                }
            }
            Output::CloseFlow { flow } => {
                self.closed.insert(flow);
                if let Some(phone) = self.phones.iter_mut().find(|phone| phone.flow == flow) {
                    phone.connected = false;
                    phone.agent.handle_flow_closed(flow, self.now);
                }
            }
            Output::Relay(RelayCommand::Open { slot, legs }) => {
                let ufrags = (legs[0].ufrag().to_owned(), legs[1].ufrag().to_owned());
                assert!(self.slots.insert(slot, ufrags).is_none(), "a slot is opened once");
            }
            Output::Relay(RelayCommand::Restart { slot, .. }) => {
                assert!(self.slots.contains_key(&slot));
                self.restarts += 1;
            }
            Output::Relay(RelayCommand::Close { slot }) => {
                assert!(self.slots.remove(&slot).is_some(), "an open slot is closed once");
            }
            Output::Errand { id, errand } if self.store_is_slow => self.errands.push((id, errand)),
            Output::Errand { id, errand } => self.carry_out_errand(id, errand),
        }
    }

    fn carry_out_errand(&mut self, id: ErrandId, errand: Errand) {
        let (outcome, accounts) = self.watch.carry_out(errand, self.today).unwrap();
        self.gateway.handle_errand_done(ErrandDone { id, outcome, accounts }, self.now);
    }

    fn disguised(&self, index: usize, bytes: Vec<u8>) -> Vec<u8> {
        let Some(disguise) = self.phones[index].disguise else { return bytes };
        let mut out = Vec::new();
        undertone_sip::wire::write(&disguise(parse(&bytes).unwrap()), &mut out);
        out
    }

    fn deliver_to_gateway(&mut self, flow: FlowId, bytes: Vec<u8>) {
        let message = parse(&bytes);
        self.traffic.push(Crossing { at: self.elapsed(), flow, to_phone: false, bytes });
        self.gateway.handle_stream_message(flow, message, self.now);
    }
}

pub fn accounts(names: &[&str]) -> Accounts {
    names.iter().map(|name| (AccountName::parse(name).unwrap(), verifier(name, &password(name)))).collect()
}

pub fn verifier(name: &str, password: &str) -> Verifier {
    Verifier::new(*ha1(name, DOMAIN, password).as_bytes())
}

pub fn password(account: &str) -> String {
    format!("password-of-{account}")
}

pub fn challenge(response: &Response) -> Challenge {
    Challenge::parse(response.headers.get(&HeaderName::WwwAuthenticate).unwrap()).unwrap()
}

/// An `Authorization` value for a REGISTER.
pub fn proof(account: &str, password: &str, challenge: &Challenge, nc: u32) -> String {
    let ha1 = ha1(account, &challenge.realm, password);
    let uri = format!("sip:{DOMAIN}");
    challenge.answer(account, &ha1, &Method::Register, &uri, nc, "0a4f113b").to_string()
}

pub fn contact(account: &str, device: usize, reg_id: u32) -> String {
    let instance = format!("<urn:uuid:00000000-0000-4000-8000-{device:012}>");
    format!(
        "<sip:{account}@host{device}.invalid;transport=tls>;+sip.instance=\"{instance}\";reg-id={reg_id};expires=600"
    )
}

pub fn uri(text: &str) -> Uri {
    parse_uri(text).unwrap()
}

/// An offer as our phones make it; `who` marks fingerprint and credentials.
pub fn offer(who: u8) -> Vec<u8> {
    description(who).to_bytes()
}

pub fn description(who: u8) -> Description {
    let fingerprint = Fingerprint { sha256: [who ^ 0xa5; 32] };
    let mut description = Description::new(
        Origin { id: 1_000_000 + u64::from(who), version: 1 },
        fingerprint,
        vec![Codec::red(112, 111), Codec::opus(111), Codec::telephone_event(101, 48_000)],
    );
    description.tls_id = Some(format!("tlsid{who:03}abcdefghijklmnopqrstuvwxyz"));
    description.ice = Some(Ice {
        ufrag: format!("phone{who:03}"),
        pwd: format!("phonepassword{who:03}ABCDEFGH"),
        lite: false,
        candidates: Vec::new(),
    });
    description.vfy = true;
    description
}

/// The answer of a phone to what it was offered.
pub fn answer(who: u8, offer: &Description) -> Vec<u8> {
    let mut answer = description(who);
    answer.transport = offer.transport;
    answer.setup = undertone_sip::sdp::Setup::Active;
    answer.direction = offer.direction.mirrored();
    answer.to_bytes()
}

/// An offer without any encryption.
pub fn plain_offer() -> Vec<u8> {
    b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 111\r\nc=IN IP4 192.0.2.1\r\n\
      a=rtpmap:111 opus/48000/2\r\na=rtcp-mux\r\n"
        .to_vec()
}

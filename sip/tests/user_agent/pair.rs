//! Two user agents joined by a seeded link that loses, repeats and reorders, and one virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use undertone_sip::user_agent::{
    EndCause, Event, FlowId, FlowIdentity, Invite, Output, SessionId, Settings, Transport, UserAgent,
};
use undertone_sip::wire::uri::parse_uri;
use undertone_sip::wire::{Message, NameAddr, Request, Response, Uri, parse};

/// The one flow of each side.
pub const FLOW: FlowId = FlowId(1);

/// A side of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    A,
    B,
}
pub use Side::{A, B};

impl Side {
    pub fn other(self) -> Self {
        match self {
            A => B,
            B => A,
        }
    }
}

/// What the link does to messages.
#[derive(Debug, Clone, Default)]
pub struct Link {
    pub delay: Duration,
    /// Chances in percent.
    pub loss: u32,
    pub duplication: u32,
    /// Messages that are held back by up to 300 ms, in percent.
    pub reordering: u32,
    /// Messages lost for certain: (sender, its n-th message from 0).
    pub drop: BTreeSet<(Side, usize)>,
    /// Messages delivered twice for certain.
    pub double: BTreeSet<(Side, usize)>,
    /// Everything sent by these sides is lost.
    pub mute: BTreeSet<Side>,
}

/// What a side does by itself when something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Nothing,
    Ring,
    Answer,
}

pub struct Pair {
    pub now: Instant,
    start: Instant,
    pub link: Link,
    rng: ChaCha20Rng,
    pub agents: BTreeMap<Side, UserAgent<ChaCha20Rng>>,
    pub habits: BTreeMap<Side, Habit>,
    pub events: Vec<(Duration, Side, Event)>,
    /// (when, from, message) of everything sent, lost or not.
    pub sent: Vec<(Duration, Side, Message)>,
    pub transcript: Vec<u8>,
    counts: BTreeMap<Side, usize>,
    wire: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    next: u64,
}

pub fn offer(text: &str) -> Vec<u8> {
    format!("v=0\r\ns={text}\r\n").into_bytes()
}

pub fn uri(text: &str) -> Uri {
    parse_uri(text).unwrap()
}

pub fn invitation(credentials: Option<undertone_sip::user_agent::Login>) -> Invite {
    Invite {
        request_uri: uri("sip:bob@example.org"),
        from: NameAddr::new(uri("sip:alice@example.org")),
        to: NameAddr::new(uri("sip:bob@example.org")),
        contact: uri("sip:alice@a.invalid"),
        sdp: offer("offer 1"),
        credentials,
        extra: Vec::new(),
    }
}

impl Pair {
    pub fn new(seed: u64, transport: Transport) -> Self {
        Self::with_settings(seed, transport, Settings::default())
    }

    pub fn with_settings(seed: u64, transport: Transport, settings: Settings) -> Self {
        let start = Instant::now();
        let mut agents = BTreeMap::new();
        for (side, name) in [(A, "a"), (B, "b")] {
            let rng = ChaCha20Rng::seed_from_u64(seed * 2 + side as u64);
            let mut agent = UserAgent::new(settings.clone(), rng);
            let identity = FlowIdentity {
                transport,
                sent_by: format!("{name}.invalid"),
                contact: uri(&format!("sip:{name}.invalid")),
            };
            agent.handle_flow_opened(FLOW, identity, start);
            agents.insert(side, agent);
        }
        Self {
            now: start,
            start,
            link: Link { delay: Duration::from_millis(20), ..Link::default() },
            rng: ChaCha20Rng::seed_from_u64(seed ^ 0xfeed),
            agents,
            habits: BTreeMap::from([(A, Habit::Answer), (B, Habit::Answer)]),
            events: Vec::new(),
            sent: Vec::new(),
            transcript: Vec::new(),
            counts: BTreeMap::new(),
            wire: BTreeMap::new(),
            next: 0,
        }
    }

    pub fn agent(&mut self, side: Side) -> &mut UserAgent<ChaCha20Rng> {
        self.agents.get_mut(&side).unwrap()
    }

    /// A calls B.
    pub fn call(&mut self) -> SessionId {
        let now = self.now;
        let id = self.agent(A).invite(FLOW, invitation(None), now);
        self.drain();
        id
    }

    /// A calls B and B takes the call; returns both sessions.
    pub fn established(&mut self) -> (SessionId, SessionId) {
        let a = self.call();
        self.run(Duration::from_secs(3));
        assert!(self.saw(A, |e| matches!(e, Event::Answered { .. })), "{:?}", self.events);
        (a, self.incoming(B))
    }

    /// The session of the newest incoming call.
    pub fn incoming(&self, side: Side) -> SessionId {
        let found = self.events.iter().rev().find_map(|(_, at, event)| match event {
            Event::IncomingInvite { session, .. } if *at == side => Some(*session),
            _ => None,
        });
        found.unwrap()
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        loop {
            let timeouts = self.agents.values().filter_map(UserAgent::poll_timeout);
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let Some(next) = timeouts.chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            while let Some(entry) = self.wire.first_entry()
                && entry.key().0 <= now
            {
                let (to, bytes) = entry.remove();
                self.deliver(to, &bytes);
            }
            for agent in self.agents.values_mut() {
                agent.handle_timeout(now);
            }
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass until nothing is left to happen.
    pub fn finish(&mut self) {
        self.run(Duration::from_secs(4000));
        for (side, agent) in &self.agents {
            assert!(agent.is_idle(), "{side:?} is not idle: {agent:?}");
        }
    }

    pub fn deliver(&mut self, to: Side, bytes: &[u8]) {
        let now = self.now;
        match parse(bytes) {
            Ok(message) => self.agent(to).handle_message(FLOW, message, now),
            Err(error) => self.agent(to).handle_parse_error(FLOW, error, now),
        }
        self.drain();
    }

    pub fn drain(&mut self) {
        loop {
            let mut outputs = Vec::new();
            for (side, agent) in &mut self.agents {
                while let Some(output) = agent.poll_output() {
                    outputs.push((*side, output));
                }
            }
            if outputs.is_empty() {
                return;
            }
            for (side, output) in outputs {
                match output {
                    Output::Transmit { bytes, .. } => self.transmit(side, bytes),
                    Output::Event(event) => {
                        let at = self.now - self.start;
                        self.events.push((at, side, event.clone()));
                        self.react(side, event);
                    }
                }
            }
        }
    }

    fn transmit(&mut self, from: Side, bytes: Vec<u8>) {
        let count = self.counts.entry(from).or_default();
        let message = (from, *count);
        *count += 1;
        let at = self.now - self.start;
        self.transcript.extend_from_slice(format!("{} {from:?}\r\n", at.as_micros()).as_bytes());
        self.transcript.extend_from_slice(&bytes);
        self.sent.push((at, from, parse(&bytes).expect("what we send can be read")));
        let lost = self.chance(self.link.loss);
        if lost || self.link.drop.contains(&message) || self.link.mute.contains(&from) {
            return;
        }
        let twice = self.chance(self.link.duplication) || self.link.double.contains(&message);
        for _ in 0..=usize::from(twice) {
            let late = self.chance(self.link.reordering);
            let extra = if late { u64::from(self.rng.next_u32() % 300) } else { 0 };
            let at = self.now + self.link.delay + Duration::from_millis(extra);
            self.next += 1;
            self.wire.insert((at, self.next), (from.other(), bytes.clone()));
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }

    fn react(&mut self, side: Side, event: Event) {
        let (habit, now) = (self.habits[&side], self.now);
        match event {
            Event::IncomingInvite { session, .. } if habit != Habit::Nothing => {
                self.agent(side).ring(session, 180, None, now);
                if habit == Habit::Answer {
                    let contact = uri("sip:bob@b.invalid");
                    self.agent(side).accept(session, contact, offer("answer 1"), now);
                }
            }
            Event::Reoffer { session, sdp } if habit == Habit::Answer => {
                let answer = [b"answer to ", sdp.as_slice()].concat();
                self.agent(side).accept_reoffer(session, answer, now);
            }
            _ => {}
        }
    }

    pub fn saw(&self, side: Side, wanted: impl Fn(&Event) -> bool) -> bool {
        self.count(side, wanted) > 0
    }

    pub fn count(&self, side: Side, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, at, event)| *at == side && wanted(event)).count()
    }

    /// How a side's calls ended, in order.
    pub fn ends(&self, side: Side) -> Vec<EndCause> {
        let events = self.events.iter().filter(|(_, at, _)| *at == side);
        events
            .filter_map(|(_, _, event)| match event {
                Event::Ended { cause, .. } => Some(*cause),
                _ => None,
            })
            .collect()
    }

    /// Methods and status codes of what a side sent, in order.
    pub fn spoken(&self, side: Side) -> Vec<String> {
        let sent = self.sent.iter().filter(|(_, from, _)| *from == side);
        sent.map(|(_, _, message)| match message {
            Message::Request(request) => request.method.to_string(),
            Message::Response(response) => response.status.to_string(),
        })
        .collect()
    }

    pub fn request(&self, side: Side, method: &str) -> Request {
        let found = self.sent.iter().rev().find_map(|(_, from, message)| match message {
            Message::Request(r) if *from == side && r.method.as_str() == method => Some(r.clone()),
            _ => None,
        });
        found.unwrap()
    }

    pub fn response(&self, side: Side, status: u16) -> Response {
        let found = self.sent.iter().rev().find_map(|(_, from, message)| match message {
            Message::Response(r) if *from == side && r.status == status => Some(r.clone()),
            _ => None,
        });
        found.unwrap()
    }
}

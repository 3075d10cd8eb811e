//! A small world in virtual time: phones without a gateway, their media paths, and links that lose and delay.
//!
//! Nothing waits for a real clock; one seed gives one run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use undertone::core::call::CallId;
use undertone::core::command::Command;
use undertone::core::event::{EndReason, Event, Trouble};
use undertone::core::media_command::MediaCommand;
use undertone::core::media_path::{self, MediaPath};
use undertone::core::phone::Phone;
use undertone::core::phone_output::{DirectAddresses, FIRST_ACCEPTED_FLOW, FlowOpened, Output, Target};
use undertone::core::phone_settings::{Direct, Mode, Settings};
use undertone_sip::user_agent::{FlowId, Transport};
use undertone_sip::wire::{self, Message};

const SIP_PORT: u16 = 5060;
const MEDIA_PORT: u16 = 4000;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 960;
/// The address from which tests speak to a phone by hand.
pub(crate) const STRANGER: &str = "10.0.0.99:5060";

/// What a link does to datagrams.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) loss_percent: u32,
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
}

pub(crate) const GOOD: Link = Link { loss_percent: 0, delay_ms: 10, jitter_ms: 0 };
pub(crate) const DEAD: Link = Link { loss_percent: 100, delay_ms: 10, jitter_ms: 0 };

type Tamper = Box<dyn Fn(&str) -> String>;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) media: Link,
    pub(crate) signalling: Link,
    /// Rewrites every SDP on its way.
    pub(crate) tamper: Option<Tamper>,
    /// What phones sent to the stranger.
    pub(crate) to_stranger: Vec<String>,
    start: Instant,
    sides: Vec<Side>,
    packets: BTreeMap<(Instant, u64), Packet>,
    sent: u64,
    rng: ChaCha20Rng,
}

enum Packet {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Stream { side: usize, flow: FlowId, bytes: Vec<u8> },
    Media { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

struct Side {
    phone: Phone<ChaCha20Rng>,
    sip: SocketAddr,
    media: SocketAddr,
    flows: BTreeMap<FlowId, Road>,
    accepted: u64,
    path: Option<(CallId, MediaPath<ChaCha20Rng>)>,
    events: Vec<(Duration, Event)>,
    next_frame: Option<Instant>,
    tone_hz: f32,
    spoken: usize,
    heard: Vec<f32>,
    paths_opened: u64,
}

#[derive(Clone, Copy)]
enum Road {
    Udp(SocketAddr),
    Tcp { side: usize, flow: FlowId },
}

impl World {
    pub(crate) fn new(seed: u64, phones: usize) -> Self {
        Self::with(seed, phones, false)
    }

    pub(crate) fn answering(seed: u64, phones: usize) -> Self {
        Self::with(seed, phones, true)
    }

    fn with(seed: u64, phones: usize, auto_answer: bool) -> Self {
        let start = Instant::now();
        let sides = (0..phones).map(|n| Side::new(seed, n, auto_answer, start)).collect();
        let rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = Self {
            now: start,
            media: GOOD,
            signalling: GOOD,
            tamper: None,
            to_stranger: Vec::new(),
            start,
            sides,
            packets: BTreeMap::new(),
            sent: 0,
            rng,
        };
        world.drain();
        world
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn command(&mut self, side: usize, command: Command) {
        self.sides[side].phone.handle_command(command, self.now);
        self.drain();
    }

    pub(crate) fn dial(&mut self, from: usize, to: usize) {
        let uri = format!("sip:phone{to}@{}", sip_address(to));
        self.command(from, Command::Dial { uri });
    }

    pub(crate) fn dial_over_tcp(&mut self, from: usize, to: usize) {
        let uri = format!("sip:phone{to}@{};transport=tcp", sip_address(to));
        self.command(from, Command::Dial { uri });
    }

    /// A call between the first two phones that has come as far as sound.
    pub(crate) fn talking(seed: u64) -> Self {
        let mut world = Self::answering(seed, 2);
        world.dial(0, 1);
        world.run_until(|world| world.in_sound(0) && world.in_sound(1));
        world
    }

    /// As [`Self::talking`], but each phone takes the other for a foreign one.
    pub(crate) fn talking_as_foreigners(seed: u64) -> Self {
        let mut world = Self::answering(seed, 2);
        world.tamper = Some(Box::new(|sdp| sdp.replace("a=vfy:1\r\n", "")));
        world.dial(0, 1);
        world.run_until(|world| world.in_sound(0) && world.in_sound(1));
        world
    }

    /// A SIP message from a stranger, by UDP.
    pub(crate) fn speak(&mut self, to: usize, text: &str) {
        let packet = Packet::Datagram { from: stranger(), to: sip_address(to), bytes: text.into() };
        self.deliver(packet);
    }

    pub(crate) fn break_flows(&mut self, side: usize) {
        let flows: Vec<FlowId> = self.sides[side].flows.keys().copied().collect();
        for flow in flows {
            self.sides[side].flows.remove(&flow);
            self.sides[side].phone.handle_flow_closed(flow, Trouble::ConnectionLost, self.now);
        }
        self.drain();
    }

    pub(crate) fn flows(&self, side: usize) -> usize {
        self.sides[side].flows.len()
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next().is_some_and(|next| next <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Runs until it is so; fails after two minutes in the world.
    pub(crate) fn run_until(&mut self, so: impl Fn(&Self) -> bool) {
        let until = self.now + Duration::from_secs(120);
        while !so(self) {
            let next = self.next();
            assert!(next.is_some_and(|next| next <= until), "it never happens; events: {:#?}", self.all_events());
            self.step();
        }
    }

    pub(crate) fn saw(&self, side: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.sides[side].events.iter().any(|(_, event)| wanted(event))
    }

    pub(crate) fn count(&self, side: usize, name: &str) -> usize {
        self.sides[side].events.iter().filter(|(_, event)| event.name() == name).count()
    }

    pub(crate) fn events(&self, side: usize) -> Vec<Event> {
        self.sides[side].events.iter().map(|(_, event)| event.clone()).collect()
    }

    pub(crate) fn ended(&self, side: usize) -> Option<EndReason> {
        self.sides[side].events.iter().rev().find_map(|(_, event)| match event {
            Event::Ended { why, .. } => Some(*why),
            _ => None,
        })
    }

    pub(crate) fn all_events(&self) -> Vec<(usize, Duration, Event)> {
        let tagged = |(n, side): (usize, &Side)| {
            side.events.iter().map(move |(at, event)| (n, *at, event.clone())).collect::<Vec<_>>()
        };
        self.sides.iter().enumerate().flat_map(tagged).collect()
    }

    /// The safety words this phone shows.
    pub(crate) fn safety_words(&self, side: usize) -> Option<[&'static str; 4]> {
        self.sides[side].events.iter().find_map(|(_, event)| match event {
            Event::SafetyWords { words, .. } => Some(*words),
            _ => None,
        })
    }

    pub(crate) fn in_sound(&self, side: usize) -> bool {
        self.saw(side, |event| matches!(event, Event::SoundStarted { .. }))
    }

    pub(crate) fn has_media(&self, side: usize) -> bool {
        self.sides[side].path.is_some()
    }

    /// Loudness (RMS) of what this phone's speaker plays over the next second.
    pub(crate) fn listen(&mut self, side: usize) -> f32 {
        self.sides[side].heard.clear();
        self.run_for(Duration::from_secs(1));
        let heard = &self.sides[side].heard;
        assert!(heard.len() >= FRAME_SAMPLES * 40, "the speaker runs");
        (heard.iter().map(|sample| sample * sample).sum::<f32>() / heard.len() as f32).sqrt()
    }

    fn next(&self) -> Option<Instant> {
        let packet = self.packets.keys().next().map(|(at, _)| *at);
        self.sides.iter().filter_map(Side::next).chain(packet).min()
    }

    fn step(&mut self) {
        let Some(next) = self.next() else { return };
        self.now = self.now.max(next);
        while let Some(entry) = self.packets.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let packet = entry.remove();
            self.deliver(packet);
        }
        for side in &mut self.sides {
            side.tick(self.now);
        }
        self.drain();
    }

    fn deliver(&mut self, packet: Packet) {
        let now = self.now;
        match packet {
            Packet::Datagram { to, bytes, .. } if to == stranger() => {
                self.to_stranger.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            Packet::Datagram { from, to, bytes } => {
                if let Some(side) = self.sides.iter_mut().find(|side| side.sip == to) {
                    let flow = side.udp_flow(from, now);
                    side.phone.handle_bytes(flow, &bytes, now);
                }
            }
            Packet::Stream { side, flow, bytes } => {
                if self.sides[side].flows.contains_key(&flow) {
                    self.sides[side].phone.handle_bytes(flow, &bytes, now);
                }
            }
            Packet::Media { from, to, bytes } => {
                if let Some(side) = self.sides.iter_mut().find(|side| side.media == to)
                    && let Some((_, path)) = &mut side.path
                {
                    path.handle_datagram(from, &bytes, now);
                }
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let before = self.sent;
            let mut busy = false;
            for side in 0..self.sides.len() {
                while let Some(output) = self.sides[side].phone.poll_output() {
                    busy = true;
                    self.carry_out(side, output);
                }
                busy |= self.drain_path(side);
            }
            if !busy && before == self.sent {
                break;
            }
        }
    }

    fn carry_out(&mut self, side: usize, output: Output) {
        let now = self.now;
        match output {
            Output::OpenFlow { flow, target } => self.open_flow(side, flow, target),
            Output::CloseFlow { flow } => {
                if let Some(Road::Tcp { side: other, flow }) = self.sides[side].flows.remove(&flow) {
                    self.sides[other].flows.remove(&flow);
                    self.sides[other].phone.handle_flow_closed(flow, Trouble::ConnectionLost, now);
                }
            }
            Output::Transmit { flow, bytes } => self.transmit(side, flow, bytes),
            Output::Media(MediaCommand::Open { call, settings }) => self.sides[side].open_path(call, *settings, now),
            Output::Media(command) => {
                let closes = matches!(command, MediaCommand::Close { .. });
                if let Some((call, path)) = &mut self.sides[side].path
                    && *call == command.call()
                {
                    path.handle_command(command, now);
                    self.drain_path(side);
                }
                if closes {
                    self.sides[side].path = None;
                    self.sides[side].next_frame = None;
                }
            }
            Output::Keep(change) => panic!("a phone without identity has no contacts: {change:?}"),
            Output::Ui(event) => {
                let at = self.elapsed();
                self.sides[side].events.push((at, event));
            }
        }
    }

    fn open_flow(&mut self, side: usize, flow: FlowId, target: Target) {
        let Target::Peer { transport, address } = target else { panic!("there is no gateway here") };
        let local = self.sides[side].sip;
        let opened = FlowOpened { transport, direct: Some(DirectAddresses { local, remote: address }) };
        match transport {
            Transport::Udp => {
                self.sides[side].flows.insert(flow, Road::Udp(address));
            }
            Transport::Tcp | Transport::Tls => {
                let Some(other) = self.sides.iter().position(|side| side.sip == address) else {
                    self.sides[side].phone.handle_flow_closed(flow, Trouble::GatewayUnreachable, self.now);
                    return;
                };
                let there = self.sides[other].accept(transport, local, self.now);
                self.sides[side].flows.insert(flow, Road::Tcp { side: other, flow: there });
                self.sides[other].flows.insert(there, Road::Tcp { side, flow });
            }
        }
        self.sides[side].phone.handle_flow_opened(flow, opened, self.now);
    }

    fn transmit(&mut self, side: usize, flow: FlowId, bytes: Vec<u8>) {
        let bytes = self.tampered(bytes);
        let from = self.sides[side].sip;
        match self.sides[side].flows.get(&flow) {
            Some(Road::Udp(to)) => {
                let packet = Packet::Datagram { from, to: *to, bytes };
                self.send(packet, self.signalling);
            }
            Some(Road::Tcp { side, flow }) => {
                let packet = Packet::Stream { side: *side, flow: *flow, bytes };
                self.send(packet, Link { loss_percent: 0, jitter_ms: 0, ..self.signalling });
            }
            None => {}
        }
    }

    fn tampered(&self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(tamper) = &self.tamper else { return bytes };
        let Ok(mut message) = wire::parse(&bytes) else { return bytes };
        let body = match &mut message {
            Message::Request(request) => &mut request.body,
            Message::Response(response) => &mut response.body,
        };
        *body = tamper(&String::from_utf8_lossy(body)).into_bytes();
        let mut out = Vec::new();
        wire::write(&message, &mut out);
        out
    }

    fn drain_path(&mut self, side: usize) -> bool {
        let mut busy = false;
        while let Some((call, path)) = &mut self.sides[side].path {
            let call = *call;
            let Some(output) = path.poll_output() else { break };
            busy = true;
            match output {
                media_path::Output::Transmit { to, bytes } => {
                    let from = self.sides[side].media;
                    self.send(Packet::Media { from, to, bytes }, self.media);
                }
                media_path::Output::Event(event) => {
                    self.sides[side].phone.handle_media_event(call, event, self.now);
                }
            }
        }
        busy
    }

    fn send(&mut self, packet: Packet, link: Link) {
        self.sent += 1;
        if self.rng.next_u32() % 100 < link.loss_percent {
            return;
        }
        let jitter = if link.jitter_ms == 0 { 0 } else { u64::from(self.rng.next_u32()) % link.jitter_ms };
        let at = self.now + Duration::from_millis(link.delay_ms + jitter);
        self.packets.insert((at, self.sent), packet);
    }
}

impl Side {
    fn new(seed: u64, n: usize, auto_answer: bool, now: Instant) -> Self {
        let seed = seed.wrapping_mul(1000) + n as u64;
        let name = format!("phone{n}");
        let shown_address = format!("sip:{name}@{}", sip_address(n));
        let mode = Mode::Direct(Direct { name, media_port: MEDIA_PORT, shown_address });
        let settings = Settings { mode, auto_answer, today: SystemTime::UNIX_EPOCH };
        let random = [seed, seed + 300, seed + 600].map(ChaCha20Rng::seed_from_u64);
        Self {
            phone: Phone::new(settings, random, now),
            sip: sip_address(n),
            media: SocketAddr::new(sip_address(n).ip(), MEDIA_PORT),
            flows: BTreeMap::new(),
            accepted: 0,
            path: None,
            events: Vec::new(),
            next_frame: None,
            tone_hz: 300.0 + 150.0 * n as f32,
            spoken: 0,
            heard: Vec::new(),
            // Far from each other and from the seeds above: two phones that draw alike would rightly suspect an echo.
            paths_opened: (n as u64 + 1) << 40 | seed,
        }
    }

    fn next(&self) -> Option<Instant> {
        let path = self.path.as_ref().and_then(|(_, path)| path.poll_timeout());
        [self.phone.poll_timeout(), path, self.next_frame].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Instant) {
        if self.phone.poll_timeout().is_some_and(|at| now >= at) {
            self.phone.handle_timeout(now);
        }
        let Some((_, path)) = &mut self.path else { return };
        if path.poll_timeout().is_some_and(|at| now >= at) {
            path.handle_timeout(now);
        }
        if self.next_frame.is_some_and(|at| now >= at) {
            let mut played = [0.0; FRAME_SAMPLES];
            path.fill_playout(&mut played, now);
            self.heard.extend_from_slice(&played);
            path.handle_capture(&tone(self.tone_hz, self.spoken), now);
            self.spoken += FRAME_SAMPLES;
            self.next_frame = self.next_frame.map(|at| at + FRAME);
        }
    }

    fn open_path(&mut self, call: CallId, settings: undertone::core::media_command::Settings, now: Instant) {
        self.paths_opened += 1;
        let rng = ChaCha20Rng::seed_from_u64(self.paths_opened);
        let session_rng = ChaCha20Rng::seed_from_u64(self.paths_opened | 1 << 60);
        self.path = Some((call, MediaPath::new(settings, rng, session_rng, now)));
        self.next_frame = Some(now + FRAME);
    }

    fn udp_flow(&mut self, from: SocketAddr, now: Instant) -> FlowId {
        let known = self.flows.iter().find(|(_, road)| matches!(road, Road::Udp(to) if *to == from));
        if let Some((flow, _)) = known {
            return *flow;
        }
        let flow = self.accept(Transport::Udp, from, now);
        self.flows.insert(flow, Road::Udp(from));
        flow
    }

    fn accept(&mut self, transport: Transport, from: SocketAddr, now: Instant) -> FlowId {
        let flow = FlowId(FIRST_ACCEPTED_FLOW + self.accepted);
        self.accepted += 1;
        let direct = Some(DirectAddresses { local: self.sip, remote: from });
        self.phone.handle_flow_opened(flow, FlowOpened { transport, direct }, now);
        flow
    }
}

fn sip_address(n: usize) -> SocketAddr {
    SocketAddr::new([10, 0, 0, u8::try_from(n + 1).unwrap()].into(), SIP_PORT)
}

fn stranger() -> SocketAddr {
    STRANGER.parse().unwrap()
}

fn tone(hz: f32, from: usize) -> Vec<f32> {
    (from..from + FRAME_SAMPLES).map(|n| 0.3 * (n as f32 * hz * std::f32::consts::TAU / 48_000.0).sin()).collect()
}

//! The world: stations, the gateway, the links between them, one clock and one seed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use undertone::core::command::Command;
use undertone::core::event::{Event, Trouble};
use undertone::core::media_command::MediaCommand;
use undertone::core::{media_path, phone_output};
use undertone_gateway::core as gateway;
use undertone_sip::user_agent::{FlowId, Transport};
use undertone_sip::wire::{Frame, Message, parse, write};

use super::exchange::{Exchange, Kind};
use super::gateway_site::{GatewaySite, RELAY};
use super::media_link::{Datagram, Line};
use super::signalling_link::{Break, LATENCY, Post, SignallingLinks};
use super::station::{Station, StationId};
use super::transcript::{Transcript, masked, sound_digest};
use crate::villain::{self, DishonestGateway};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(180);

/// Rewrites a message that the gateway sends to a station, as a dishonest gateway could.
pub type Falsify = Box<dyn FnMut(StationId, Message) -> Message>;

/// Stations around one gateway.
pub struct World {
    /// The moment it is.
    pub now: Instant,
    /// Everything that came out.
    pub transcript: Transcript,
    /// Rewrites what the gateway sends.
    pub falsify: Option<Falsify>,
    /// Somebody dishonest inside the gateway.
    pub villain: Option<DishonestGateway>,
    /// Rewrites what a station sends, as a foreign phone could phrase it.
    pub disguise: Option<Falsify>,
    /// Datagrams that went elsewhere than to the relay: from whom, where to.
    pub strays: Vec<(StationId, SocketAddr)>,
    pub(super) site: GatewaySite,
    pub(super) links: SignallingLinks,
    stations: Vec<Station>,
    start: Instant,
    seed: u64,
}

impl World {
    /// A gateway and nobody yet.
    pub fn new(seed: u64) -> Self {
        let start = Instant::now();
        Self {
            now: start,
            transcript: Transcript::default(),
            falsify: None,
            villain: None,
            disguise: None,
            strays: Vec::new(),
            site: GatewaySite::new(seed, start),
            links: SignallingLinks::default(),
            stations: Vec::new(),
            start,
            seed,
        }
    }

    /// A station with a phone of `account` that asks its person before it takes a call.
    pub fn add(&mut self, account: &str) -> StationId {
        self.add_station(account, false)
    }

    /// A station that takes every call at once.
    pub fn add_answering(&mut self, account: &str) -> StationId {
        self.add_station(account, true)
    }

    fn add_station(&mut self, account: &str, auto_answer: bool) -> StationId {
        let id = StationId(self.stations.len());
        self.stations.push(Station::new(self.seed, id, account, auto_answer, self.now));
        let names: Vec<String> = self.stations.iter().map(|station| station.account.clone()).collect();
        self.site.handle_accounts(names.iter().map(String::as_str), self.now);
        self.settle();
        id
    }

    /// A station.
    pub fn station(&self, id: StationId) -> &Station {
        &self.stations[id.0]
    }

    /// A station, to change what its person or its network does.
    pub fn station_mut(&mut self, id: StationId) -> &mut Station {
        &mut self.stations[id.0]
    }

    /// Time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// A wish of a person.
    pub fn command(&mut self, id: StationId, command: Command) {
        self.stations[id.0].phone.handle_command(command, self.now);
        self.settle();
    }

    /// From here on the station's media line behaves so, in both directions.
    pub fn set_line(&mut self, id: StationId, line: Line) {
        let station = &mut self.stations[id.0];
        station.up.change(line);
        station.down.change(line);
    }

    /// The network gives the station's media another address; what goes to the old one is lost.
    pub fn rebind(&mut self, id: StationId) {
        self.stations[id.0].rebind(id);
    }

    /// Somebody sends the relay a datagram as if it came from `from`; how many the relay sends for it.
    pub fn inject(&mut self, from: SocketAddr, bytes: &[u8]) -> usize {
        let datagram = Datagram { from, to: RELAY, bytes: bytes.to_vec() };
        let sent = self.site.handle_datagram(datagram, self.now);
        let count = sent.len();
        sent.into_iter().for_each(|datagram| self.carry(datagram));
        count
    }

    /// The station's connections to the gateway break.
    pub fn break_signalling(&mut self, id: StationId, how: Break) {
        for name in self.links.of(id) {
            match how {
                Break::Silent => {
                    if let Some(connection) = self.links.connections.get_mut(&name) {
                        connection.silent = true;
                    }
                }
                Break::Reset => {
                    if let Some(connection) = self.links.connections.remove(&name) {
                        self.site.core.handle_flow_closed(name, self.now);
                        let phone = &mut self.stations[id.0].phone;
                        phone.handle_flow_closed(connection.flow, Trouble::ConnectionLost, self.now);
                    }
                }
            }
        }
        self.settle();
    }

    /// What the relay reports no longer reaches the gateway's signalling.
    pub fn lose_relay_reports(&mut self) {
        self.site.relay_reports_lost = true;
    }

    /// Whether the gateway has no call, session, transaction or deadline of either left.
    pub fn gateway_is_idle(&self) -> bool {
        self.site.core.is_idle()
    }

    /// Relay slots in use.
    pub fn open_slots(&self) -> usize {
        self.site.slots.len()
    }

    /// Relay slots used since the beginning.
    pub fn slots_opened(&self) -> usize {
        self.site.slots_opened
    }

    /// The relay's counters.
    pub fn relay_counters(&self) -> &gateway::relay::RelayCounters {
        self.site.relay.counters()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next().is_some_and(|next| next <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Lets time pass until it is so; how long that took. Fails if it is not so after three minutes.
    pub fn run_until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let from = self.now;
        while !so(self) {
            let next = self.next();
            let in_time = next.is_some_and(|next| next <= from + PATIENCE);
            assert!(in_time, "never happened: {what}; events: {:#?}", self.all_events());
            self.step();
        }
        self.now - from
    }

    /// Every event of every station.
    pub fn all_events(&self) -> Vec<(StationId, Duration, &Event)> {
        let mut all = Vec::new();
        for (n, station) in self.stations.iter().enumerate() {
            all.extend(station.events.iter().map(|(at, event)| (StationId(n), *at, event)));
        }
        all.sort_by_key(|(_, at, _)| *at);
        all
    }

    fn next(&self) -> Option<Instant> {
        let stations = self.stations.iter().filter_map(Station::next);
        let villain = self.villain.as_ref().and_then(DishonestGateway::poll_timeout);
        stations.chain(self.links.next()).chain(self.site.next()).chain(villain).min()
    }

    fn step(&mut self) {
        let Some(next) = self.next() else { return };
        self.now = self.now.max(next);
        while let Some(post) = self.links.receive(self.now) {
            self.deliver(post);
            self.settle();
        }
        for n in 0..self.stations.len() {
            self.receive_media(StationId(n));
        }
        self.site.handle_timeout(self.now);
        if let Some(villain) = &mut self.villain {
            villain.handle_timeout(self.now);
        }
        for n in 0..self.stations.len() {
            self.stations[n].handle_timeout(self.now);
            self.run_sound(n);
        }
        self.settle();
    }

    fn deliver(&mut self, post: Post) {
        let now = self.now;
        match post {
            Post::Accepted(name) => {
                if let Some(connection) = self.links.connections.get(&name) {
                    let address = self.stations[connection.station.0].media_address;
                    self.site.handle_accepted(name, address.ip(), now);
                }
            }
            Post::Opened(name) => {
                if let Some(connection) = self.links.connections.get(&name) {
                    let opened = phone_output::FlowOpened { transport: Transport::Tls, direct: None };
                    self.stations[connection.station.0].phone.handle_flow_opened(connection.flow, opened, now);
                }
            }
            Post::Unreachable(StationId(n), flow) => {
                self.stations[n].phone.handle_flow_closed(flow, Trouble::GatewayUnreachable, now);
            }
            Post::ToGateway(name, bytes) => self.deliver_to_gateway(name, &bytes),
            Post::ToPhone(name, bytes) => self.deliver_to_phone(name, bytes),
            Post::ClosedByPhone(name) => {
                if self.links.connections.remove(&name).is_some() {
                    self.site.core.handle_flow_closed(name, now);
                }
            }
            Post::ClosedByGateway(name) => {
                if let Some(connection) = self.links.connections.remove(&name) {
                    let phone = &mut self.stations[connection.station.0].phone;
                    phone.handle_flow_closed(connection.flow, Trouble::ConnectionLost, now);
                }
            }
        }
    }

    fn deliver_to_gateway(&mut self, name: FlowId, bytes: &[u8]) {
        if !self.links.carries(name) {
            return;
        }
        let Some(connection) = self.links.connections.get_mut(&name) else { return };
        connection.framer.push(bytes);
        while let Some(connection) = self.links.connections.get_mut(&name)
            && let Some(frame) = connection.framer.next()
        {
            match frame.expect("our own phones' streams can be cut") {
                Frame::Message(bytes) => {
                    let station = connection.station;
                    let message = match (parse(&bytes), &mut self.villain) {
                        (Ok(message), Some(villain)) => villain.handle_from_phone(station, message, self.now).map(Ok),
                        (message, _) => Some(message),
                    };
                    if let Some(message) = message {
                        self.site.core.handle_stream_message(name, message, self.now);
                    }
                }
                Frame::Ping => self.links.post(Post::ToPhone(name, b"\r\n".to_vec()), self.now + LATENCY),
                Frame::Pong => {}
            }
        }
    }

    fn deliver_to_phone(&mut self, name: FlowId, bytes: Vec<u8>) {
        let at = self.elapsed();
        let Some(connection) = self.links.connections.get(&name).filter(|connection| !connection.silent) else {
            return;
        };
        let StationId(n) = connection.station;
        let now = self.now;
        let bytes = match &mut self.villain {
            Some(villain) => rewritten(bytes, |message| villain.handle_for_phone(StationId(n), message, now)),
            None => bytes,
        };
        let bytes = match &mut self.falsify {
            Some(falsify) => rewritten(bytes, |message| falsify(StationId(n), message)),
            None => bytes,
        };
        let station = &mut self.stations[n];
        if station.frozen {
            return;
        }
        self.transcript.add(at, &format!("gateway to {n}: {}", masked(&String::from_utf8_lossy(&bytes))));
        station.phone.handle_bytes(connection.flow, &bytes, self.now);
        station.received.push(Exchange { at, kind: Kind::Signalling, peer: None, bytes });
    }

    fn receive_media(&mut self, id: StationId) {
        while let Some(datagram) = self.stations[id.0].up.receive(self.now) {
            if datagram.to != RELAY {
                self.strays.push((id, datagram.to));
                continue;
            }
            if let Some(villain) = self.villain.as_mut().filter(|_| is_media(&datagram.bytes)) {
                villain.handle_datagram(id, &datagram.bytes, self.now);
            }
            for out in self.site.handle_datagram(datagram, self.now) {
                self.carry(out);
            }
        }
        while let Some(Datagram { from, to, bytes }) = self.stations[id.0].down.receive(self.now) {
            let at = self.elapsed();
            let station = &mut self.stations[id.0];
            if station.media_address != to || station.frozen {
                continue;
            }
            // A phone has one socket per call; the newest call's is the one that is bound here.
            if let Some(path) = station.paths.values_mut().last() {
                path.handle_datagram(from, &bytes, self.now);
            }
            note_datagram(&mut self.transcript, at, &format!("relay to {}", id.0), &bytes);
            let kind = Kind::of_datagram(&bytes);
            station.received.push(Exchange { at, kind, peer: Some(from), bytes });
        }
    }

    /// What the relay has for a phone.
    fn carry(&mut self, out: Datagram) {
        let Some(n) = self.stations.iter().position(|station| station.media_address == out.to) else { return };
        match self.villain.as_mut().filter(|_| is_media(&out.bytes)) {
            Some(villain) => villain.carry(StationId(n), out.bytes, self.now),
            None => self.stations[n].down.send(out, self.now),
        }
    }

    /// Whether the villain had anything for a phone.
    fn drain_villain(&mut self) -> bool {
        let mut busy = false;
        while let Some(output) = self.villain.as_mut().and_then(DishonestGateway::poll_output) {
            busy = true;
            match output {
                villain::Output::Datagram(StationId(n), bytes) => {
                    let to = self.stations[n].media_address;
                    self.stations[n].down.send(Datagram { from: RELAY, to, bytes }, self.now);
                }
                villain::Output::Message(id, message) => {
                    let mut bytes = Vec::new();
                    write(&message, &mut bytes);
                    for name in self.links.of(id) {
                        self.links.post(Post::ToPhone(name, bytes.clone()), self.now + LATENCY);
                    }
                }
            }
        }
        busy
    }

    fn run_sound(&mut self, n: usize) {
        let at = self.elapsed();
        if let Some(played) = self.stations[n].handle_sound(self.now) {
            self.transcript.add(at, &format!("{n} plays {}", sound_digest(played)));
        }
    }

    /// Carries out what the cores want until none wants anything.
    pub(super) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.site.core.poll_output() {
                quiet = false;
                self.carry_out_for_gateway(output);
            }
            for n in 0..self.stations.len() {
                while let Some(output) = self.stations[n].phone.poll_output() {
                    quiet = false;
                    self.carry_out_for_phone(n, output);
                }
                quiet &= !self.drain_paths(n);
            }
            quiet &= !self.drain_villain();
            if quiet {
                return;
            }
        }
    }

    fn carry_out_for_gateway(&mut self, output: gateway::Output) {
        match output {
            gateway::Output::Transmit { flow, bytes } => {
                self.links.post(Post::ToPhone(flow, bytes), self.now + LATENCY);
            }
            gateway::Output::CloseFlow { flow } => {
                self.transcript.add(self.elapsed(), "gateway closes a flow");
                self.links.post(Post::ClosedByGateway(flow), self.now + LATENCY);
            }
            gateway::Output::Relay(command) => {
                self.transcript.add(self.elapsed(), &format!("gateway to relay: {command:?}"));
                self.site.handle_relay_command(command, self.now);
            }
            gateway::Output::Errand { .. } => panic!("nobody joins here, so the store has nothing to do"),
        }
    }

    fn carry_out_for_phone(&mut self, n: usize, output: phone_output::Output) {
        let (now, id) = (self.now, StationId(n));
        match output {
            phone_output::Output::OpenFlow { flow, target: _ } => {
                if self.stations[n].online {
                    self.links.open(id, flow, now);
                } else {
                    self.links.post(Post::Unreachable(id, flow), now + 2 * LATENCY);
                }
            }
            phone_output::Output::CloseFlow { flow } => {
                if let Some(name) = self.links.name_of(id, flow).filter(|name| self.links.carries(*name)) {
                    self.links.post(Post::ClosedByPhone(name), now + LATENCY);
                }
            }
            phone_output::Output::Transmit { flow, bytes } => self.send_signalling(id, flow, bytes),
            phone_output::Output::Media(MediaCommand::Open { call, settings }) => {
                self.stations[n].open_path(call, *settings, now);
            }
            phone_output::Output::Media(command) => {
                let call = command.call();
                let closes = matches!(command, MediaCommand::Close { .. });
                if let Some(path) = self.stations[n].paths.get_mut(&call) {
                    path.handle_command(command, now);
                }
                self.drain_paths(n);
                if closes {
                    self.stations[n].close_path(call);
                }
            }
            phone_output::Output::KeepNextPin(_) => {}
            phone_output::Output::Keep(change) => self.keep(id, change),
            phone_output::Output::Ui(event) => {
                let at = self.elapsed();
                let seen = match &event {
                    // Drawn from the keys of the call.
                    Event::SafetyWords { .. } | Event::Compare { .. } => event.name().to_owned(),
                    _ => event.json_line(),
                };
                self.transcript.add(at, &format!("{n} sees {seen}"));
                self.stations[n].events.push((at, event));
            }
        }
    }

    fn send_signalling(&mut self, id: StationId, flow: FlowId, bytes: Vec<u8>) {
        let bytes = match &mut self.disguise {
            Some(disguise) => rewritten(bytes, |message| disguise(id, message)),
            None => bytes,
        };
        let at = self.elapsed();
        self.transcript.add(at, &format!("{} to gateway: {}", id.0, masked(&String::from_utf8_lossy(&bytes))));
        if let Some(name) = self.links.name_of(id, flow) {
            self.links.post(Post::ToGateway(name, bytes.clone()), self.now + LATENCY);
        }
        self.stations[id.0].sent.push(Exchange { at, kind: Kind::Signalling, peer: None, bytes });
    }

    fn drain_paths(&mut self, n: usize) -> bool {
        let at = self.elapsed();
        let mut busy = false;
        let calls: Vec<_> = self.stations[n].paths.keys().copied().collect();
        for call in calls {
            while let Some(output) = self.stations[n].paths.get_mut(&call).and_then(|path| path.poll_output()) {
                busy = true;
                let station = &mut self.stations[n];
                match output {
                    media_path::Output::Transmit { to, bytes } => {
                        note_datagram(&mut self.transcript, at, &format!("{n} to relay"), &bytes);
                        let kind = Kind::of_datagram(&bytes);
                        station.sent.push(Exchange { at, kind, peer: Some(to), bytes: bytes.clone() });
                        station.up.send(Datagram { from: station.media_address, to, bytes }, self.now);
                    }
                    media_path::Output::Event(event) => {
                        station.phone.handle_media_event(call, event, self.now);
                    }
                }
            }
        }
        busy
    }
}

fn note_datagram(transcript: &mut Transcript, at: Duration, way: &str, bytes: &[u8]) {
    match Kind::of_datagram(bytes) {
        // Who draws its own randomness is left out altogether: how it packs a flight differs from run to run.
        Kind::Dtls => {}
        kind => transcript.add(at, &format!("{way}: {kind:?} of {} bytes", bytes.len())),
    }
}

/// Not part of the relay's own talk with phones.
fn is_media(bytes: &[u8]) -> bool {
    Kind::of_datagram(bytes) != Kind::Stun
}

/// The message in these bytes, changed; anything else as it is.
fn rewritten(bytes: Vec<u8>, change: impl FnOnce(Message) -> Message) -> Vec<u8> {
    let Ok(message) = parse(&bytes) else { return bytes };
    let mut out = Vec::new();
    write(&change(message), &mut out);
    out
}

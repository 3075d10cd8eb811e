//! For tests: two sessions in virtual time, with a simulated network between them.

use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use str0m_netem::{Input, Netem, NetemConfig, Output as Link};

use crate::certificate::Certificate;
use crate::dtls::{Peer, Role};
use crate::session::{Event, Output, Payloads, Session, Settings, SoundGate, Stats};
use crate::verify;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const FRAME: usize = 960;
pub(super) const OUR_PAYLOADS: Payloads = Payloads { opus: 111, red: Some(112), telephone_event: Some(101) };
pub(super) const PLAIN_PAYLOADS: Payloads = Payloads { opus: 111, red: None, telephone_event: Some(101) };

/// Time moves in steps of this length.
const TICK: Duration = Duration::from_millis(2);

/// One phone and what it said, heard, sent and told.
pub(super) struct Side {
    pub(super) session: Session<ChaCha20Rng>,
    /// What the microphone gives, repeated; nothing while `microphone` is false.
    pub(super) voice: Vec<f32>,
    pub(super) microphone: bool,
    said: usize,
    pub(super) heard: Vec<f32>,
    pub(super) events: Vec<Event>,
    pub(super) sent: Vec<(Instant, Vec<u8>)>,
    pub(super) link: Netem<Vec<u8>>,
}

/// Two phones in a call.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) a: Side,
    pub(super) b: Side,
}

/// How the two phones are set up.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) peer: Peer,
    pub(super) payload: Payloads,
    pub(super) ptime_ms: u16,
    pub(super) sound: SoundGate,
    pub(super) seed: u64,
    pub(super) honest: bool,
    /// What each of the two was told of the post-quantum exchange.
    pub(super) post_quantum: [Option<verify::Role>; 2],
}

pub(super) const OURS: Setup = Setup {
    peer: Peer::Ours,
    payload: OUR_PAYLOADS,
    ptime_ms: 20,
    sound: SoundGate::Open,
    seed: 1,
    honest: true,
    // Who is called begins the handshake.
    post_quantum: [Some(verify::Role::Responder), Some(verify::Role::Initiator)],
};

impl Pair {
    /// Two phones that have just begun, over a perfect link.
    pub(super) fn new(setup: Setup) -> Self {
        let now = Instant::now();
        let today = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let mine = Certificate::generate(today).expect("a key can be made");
        let yours = Certificate::generate(today).expect("a key can be made");
        let (of_mine, mut of_yours) = (mine.fingerprint(), yours.fingerprint());
        if !setup.honest {
            of_yours[0] ^= 1;
        }
        let a = Side::new(setup, mine, Role::Client, of_yours, setup.seed, now);
        let b = Side::new(setup, yours, Role::Server, of_mine, setup.seed + 1_000, now);
        Self { now, start: now, a, b }
    }

    /// Two phones that have keys; from here on the network is as configured, both ways.
    pub(super) fn encrypted(setup: Setup, network: NetemConfig) -> Self {
        let mut pair = Self::new(setup);
        for _ in 0..2_000 {
            pair.tick();
            let ready = |side: &Side| side.events.iter().any(|event| matches!(event, Event::Encrypted { .. }));
            if ready(&pair.a) && ready(&pair.b) {
                break;
            }
        }
        assert!(pair.a.session.connected().is_some() && pair.b.session.connected().is_some());
        // On a tick that is a frame's moment, so that every run counts alike.
        while !pair.elapsed().is_multiple_of(20) {
            pair.tick();
        }
        pair.a.link = Netem::new(network.seed(setup.seed * 2));
        pair.b.link = Netem::new(network.seed(setup.seed * 2 + 1));
        pair.start = pair.now;
        for side in [&mut pair.a, &mut pair.b] {
            side.sent.clear();
            side.heard.clear();
        }
        pair
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.tick();
        }
    }

    /// Whole milliseconds since the call began or, once encrypted, since then.
    fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    fn tick(&mut self) {
        let elapsed = self.elapsed();
        for side in [&mut self.a, &mut self.b] {
            side.live(elapsed, self.now);
        }
        deliver(&mut self.a, &mut self.b, self.now);
        deliver(&mut self.b, &mut self.a, self.now);
        self.now += TICK;
    }
}

impl Side {
    fn new(setup: Setup, certificate: Certificate, role: Role, peer: [u8; 32], seed: u64, now: Instant) -> Self {
        let settings = Settings {
            certificate,
            dtls_role: role,
            peer: setup.peer,
            peer_fingerprint: peer,
            post_quantum: setup.post_quantum[usize::from(role == Role::Server)],
            payload: setup.payload,
            ptime_ms: setup.ptime_ms,
            sound: setup.sound,
        };
        let session = Session::new(settings, ChaCha20Rng::seed_from_u64(seed), now).expect("the settings are good");
        Self {
            session,
            voice: vec![0.0; FRAME],
            microphone: true,
            said: 0,
            heard: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            link: Netem::new(NetemConfig::new()),
        }
    }

    /// Begins to say this from its first sample on.
    pub(super) fn say(&mut self, voice: Vec<f32>) {
        self.voice = voice;
        self.said = 0;
    }

    pub(super) fn stats(&self) -> Stats {
        self.session.stats()
    }

    fn live(&mut self, elapsed: u128, now: Instant) {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        let ptime_ms = self.session.ptime.as_millis();
        if self.microphone && elapsed.is_multiple_of(ptime_ms) {
            let count = ptime_ms as usize * 48;
            let frame: Vec<f32> =
                self.voice.iter().copied().cycle().skip(self.said % self.voice.len()).take(count).collect();
            self.said += count;
            self.session.handle_capture(&frame, now);
        }
        if elapsed.is_multiple_of(10) {
            let from = self.heard.len();
            self.heard.resize(from + 480, 0.0);
            self.session.fill_playout(&mut self.heard[from..], now);
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    self.sent.push((now, datagram.clone()));
                    self.link.handle_input(Input::Packet(now, datagram));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

fn deliver(from: &mut Side, to: &mut Side, now: Instant) {
    from.link.handle_input(Input::Timeout(now));
    while let Some(output) = from.link.poll_output() {
        match output {
            Link::Packet(datagram) => to.session.handle_datagram(&datagram, now),
            Link::Timeout(_) => {}
        }
    }
}

//! Two media paths through a relay that answers checks and sees only ciphertext, in virtual time.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::cast_precision_loss)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use stun_types::attribute::{AttributeType, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, Message, MessageWrite, MessageWriteExt, MessageWriteVec, ShortTermCredentials,
};
use undertone::core::call::CallId;
use undertone::core::ice::{Credentials, Remote};
use undertone::core::media_command::{MediaCommand, Route, Settings};
use undertone::core::media_event::{MediaEvent, MediaFailure, PathStats};
use undertone::core::media_path::{MAX_EARLY_DATAGRAMS, MediaPath, Output};
use undertone_media::certificate::Certificate;
use undertone_media::dtls::{Peer, Role};
use undertone_media::session::{self, Payloads, SoundGate};
use undertone_media::verify;
use zeroize::Zeroizing;

const RELAY: &str = "203.0.113.7:40000";
const NEW_RELAY: &str = "203.0.113.8:40000";
const STRANGER: &str = "198.51.100.66:40000";
const DELAY: Duration = Duration::from_millis(10);
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 960;

#[test]
fn through_a_relay_both_sides_agree_on_keys_and_hear_each_other() {
    let mut call = Call::new();
    call.run_until(|call| call.saw(0, &MediaEvent::FirstSound) && call.saw(1, &MediaEvent::FirstSound));
    for side in [0, 1] {
        let round_trip = Some(DELAY * 2);
        assert_eq!(call.events[side][0], MediaEvent::PathReady { round_trip });
        assert!(matches!(call.events[side][1], MediaEvent::Encrypted { post_quantum: true, .. }));
        let stats = call.stats(side);
        assert_eq!(stats.round_trip, round_trip);
        assert_eq!(stats.addresses, [address(RELAY)], "nothing but the relay was ever spoken to");
        assert!(call.loudness(side) > 0.1);
    }
}

#[test]
fn before_the_path_is_proven_nothing_but_checks_is_sent() {
    let mut call = Call::new();
    call.relay.dead = true;
    call.run_for(Duration::from_secs(7));
    assert!(call.sent.iter().all(|(_, bytes)| bytes[0] < 4), "first bytes of STUN");
    assert!(call.sent.len() > 30);
}

#[test]
fn a_relay_that_never_answers_is_given_up_with_the_reason() {
    let mut call = Call::new();
    call.relay.dead = true;
    call.run_for(Duration::from_secs(9));
    assert_eq!(call.events[0].last(), Some(&MediaEvent::Failed(MediaFailure::NoPath)));
    let sent = call.sent.len();
    call.run_for(Duration::from_secs(60));
    assert_eq!(call.sent.len(), sent, "nothing more is sent");
}

#[test]
fn a_relay_that_stops_answering_ends_the_media_when_consent_expires() {
    let mut call = Call::talking();
    call.relay.dead = true;
    call.run_for(Duration::from_secs(24));
    assert!(!call.paths[0].is_over());
    call.run_for(Duration::from_secs(8));
    assert_eq!(call.events[0].last(), Some(&MediaEvent::Failed(MediaFailure::PathLost)));
    assert!(call.events[0].contains(&MediaEvent::PeerSilent(true)));
    let sent = call.sent.len();
    call.run_for(Duration::from_secs(10));
    assert_eq!(call.sent.len(), sent, "without consent nothing more is sent");
}

#[test]
fn strangers_are_counted_and_change_nothing() {
    let mut call = Call::talking();
    let before = call.stats(0);
    let overheard = call.sent.iter().rev().find(|(_, bytes)| bytes[0] >= 128).unwrap().1.clone();
    for bytes in [vec![], vec![0; 20], vec![22; 60], vec![128; 100], overheard] {
        call.paths[0].handle_datagram(address(STRANGER), &bytes, call.now);
    }
    let after = call.stats(0);
    assert_eq!(after.refused.stranger, before.refused.stranger + 3);
    assert_eq!(after.refused.void, before.refused.void + 1);
    assert_eq!(after.addresses, [address(RELAY)]);
    assert!(call.loudness(0) > 0.1);
}

#[test]
fn noise_from_the_relay_itself_does_not_end_the_call() {
    let mut call = Call::talking();
    for first in 0..=255_u8 {
        let noise = [&[first][..], &[0x5a; 90]].concat();
        call.paths[0].handle_datagram(address(RELAY), &noise, call.now);
    }
    call.run_for(Duration::from_secs(1));
    assert!(!call.paths[0].is_over());
    assert!(call.loudness(0) > 0.1);
}

#[test]
fn key_agreement_that_overtakes_the_answer_to_the_check_is_kept_and_used() {
    let mut call = Call::new();
    // The other side is ready first; its hello reaches this one before the answer to this one's check does.
    call.relay.deaf_to = Some(0);
    call.run_until(|call| call.sent.iter().any(|(from, bytes)| *from == leg(1) && bytes[0] >= 20));
    let hello = call.sent.iter().find(|(from, bytes)| *from == leg(1) && bytes[0] >= 20).unwrap().1.clone();
    for _ in 0..2 * MAX_EARLY_DATAGRAMS {
        call.paths[0].handle_datagram(address(RELAY), &hello, call.now);
    }
    assert_eq!(call.stats(0).refused.stranger as usize, MAX_EARLY_DATAGRAMS, "no more than a flight is kept");
    call.relay.deaf_to = None;
    call.run_until(|call| call.saw(0, &MediaEvent::FirstSound) && call.saw(1, &MediaEvent::FirstSound));
}

#[test]
fn what_the_microphone_hears_before_there_are_keys_is_never_sent() {
    let mut call = Call::new();
    call.relay.dead = true;
    call.run_for(Duration::from_secs(5));
    call.relay.dead = false;
    call.run_until(|call| call.saw(1, &MediaEvent::FirstSound));
    let delay = call.now - call.start;
    assert!(call.stats(0).session.unwrap().sent.packets < 20, "{delay:?}: nothing was queued");
}

#[test]
fn new_credentials_move_the_call_to_another_relay_without_new_keys() {
    let mut call = Call::talking();
    call.relay.moved = true;
    for side in [0, 1] {
        let (local, remote) = halves(side, "new", NEW_RELAY);
        let command = MediaCommand::RestartIce { call: CallId(1), local, remote };
        call.paths[side].handle_command(command, call.now);
    }
    call.run_for(Duration::from_secs(2));
    for side in [0, 1] {
        assert!(call.loudness(side) > 0.1);
        let encrypted = call.events[side].iter().filter(|event| matches!(event, MediaEvent::Encrypted { .. })).count();
        assert_eq!(encrypted, 1);
        assert_eq!(call.stats(side).addresses, [address(RELAY), address(NEW_RELAY)]);
    }
}

#[test]
fn closing_tells_the_last_figures_and_sends_nothing_more() {
    let mut call = Call::talking();
    call.events[0].clear();
    call.paths[0].handle_command(MediaCommand::Close { call: CallId(1) }, call.now);
    call.drain();
    assert!(matches!(call.events[0].as_slice(), [MediaEvent::Stats(stats)] if stats.session.is_some()));
    let sent = call.sent.iter().filter(|(from, _)| *from == leg(0)).count();
    call.run_for(Duration::from_secs(5));
    assert_eq!(call.sent.iter().filter(|(from, _)| *from == leg(0)).count(), sent);
    assert_eq!(call.paths[0].poll_timeout(), None);
    let mut speaker = [1.0; 100];
    call.paths[0].fill_playout(&mut speaker, call.now);
    assert_eq!(speaker, [0.0; 100]);
}

#[test]
fn without_a_relay_keep_alives_on_the_media_port_are_tolerated() {
    let now = Instant::now();
    let remote = address("192.0.2.9:4000");
    let (settings, _) = sessions();
    let settings = Settings { route: Route::Address(remote), session: settings, verification: None };
    let mut path = MediaPath::new(settings, rng(1), rng(2), now);
    let keep_alive = Message::builder_request(stun_types::message::BINDING, MessageWriteVec::new()).finish();
    path.handle_datagram(remote, &keep_alive, now);
    path.handle_datagram(address(STRANGER), &[22; 60], now);
    assert_eq!((path.statistics().refused.stun, path.statistics().refused.stranger), (1, 1));
    assert!(!path.is_over());
}

#[test]
fn an_address_nobody_can_be_reached_at_is_refused_at_once() {
    for nowhere in ["0.0.0.0:4000", "192.0.2.1:0", "239.0.0.1:4000"] {
        let (session, _) = sessions();
        let settings = Settings { route: Route::Address(address(nowhere)), session, verification: None };
        let mut path = MediaPath::new(settings, rng(1), rng(2), Instant::now());
        let mut events = Vec::new();
        while let Some(output) = path.poll_output() {
            events.push(format!("{output:?}"));
        }
        assert!(events.last().unwrap().contains("Failed(NoPath)"), "{nowhere}: {events:?}");
        assert!(!events.iter().any(|event| event.contains("Transmit")), "{nowhere}: {events:?}");
    }
}

struct Call {
    now: Instant,
    start: Instant,
    paths: [MediaPath<ChaCha20Rng>; 2],
    events: [Vec<MediaEvent>; 2],
    heard: [Vec<f32>; 2],
    relay: Relay,
    /// Everything the phones sent, and from which leg.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    packets: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    number: u64,
    next_frame: Instant,
}

/// Answers authentic checks and forwards the rest between legs that sent one.
#[derive(Default)]
struct Relay {
    dead: bool,
    moved: bool,
    deaf_to: Option<usize>,
    admitted: [bool; 2],
}

impl Call {
    fn new() -> Self {
        let now = Instant::now();
        let (caller, callee) = sessions();
        let path = |side: usize, session| {
            let (local, remote) = halves(side, "old", RELAY);
            let settings = Settings { route: Route::Relay { local, remote }, session, verification: None };
            MediaPath::new(settings, rng(10 + side as u64), rng(20 + side as u64), now)
        };
        let mut call = Self {
            now,
            start: now,
            paths: [path(0, caller), path(1, callee)],
            events: Default::default(),
            heard: Default::default(),
            relay: Relay::default(),
            sent: Vec::new(),
            packets: BTreeMap::new(),
            number: 0,
            next_frame: now,
        };
        call.drain();
        call
    }

    fn talking() -> Self {
        let mut call = Self::new();
        call.run_until(|call| call.saw(0, &MediaEvent::FirstSound) && call.saw(1, &MediaEvent::FirstSound));
        call
    }

    fn saw(&self, side: usize, event: &MediaEvent) -> bool {
        self.events[side].contains(event)
    }

    fn stats(&self, side: usize) -> PathStats {
        self.paths[side].statistics()
    }

    fn loudness(&mut self, side: usize) -> f32 {
        self.run_for(Duration::from_secs(1));
        self.heard[side].clear();
        self.run_for(Duration::from_secs(1));
        let heard = &self.heard[side];
        (heard.iter().map(|sample| sample * sample).sum::<f32>() / heard.len() as f32).sqrt()
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next() <= until {
            self.step();
        }
        self.now = until;
    }

    fn run_until(&mut self, so: impl Fn(&Self) -> bool) {
        let until = self.now + Duration::from_secs(60);
        while !so(self) {
            assert!(self.now < until, "it never happens: {:?}", self.events);
            self.step();
        }
    }

    fn next(&self) -> Instant {
        let paths = self.paths.iter().filter_map(MediaPath::poll_timeout);
        paths.chain(self.packets.keys().next().map(|(at, _)| *at)).fold(self.next_frame, Instant::min)
    }

    fn step(&mut self) {
        self.now = self.now.max(self.next());
        while let Some(entry) = self.packets.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (from, to, bytes) = entry.remove();
            self.deliver(from, to, bytes);
        }
        for path in &mut self.paths {
            path.handle_timeout(self.now);
        }
        if self.now >= self.next_frame {
            self.next_frame += FRAME;
            self.sound();
        }
        self.drain();
    }

    fn sound(&mut self) {
        let at = (self.now - self.start).as_secs_f32();
        let tone = |n: usize| 0.3 * ((at + n as f32 / 48_000.0) * 440.0 * std::f32::consts::TAU).sin();
        let frame: Vec<f32> = (0..FRAME_SAMPLES).map(tone).collect();
        for (path, heard) in self.paths.iter_mut().zip(&mut self.heard) {
            let mut played = [0.0; FRAME_SAMPLES];
            path.fill_playout(&mut played, self.now);
            heard.extend_from_slice(&played);
            path.handle_capture(&frame, self.now);
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(side) = [0, 1].into_iter().find(|side| leg(*side) == to) {
            self.paths[side].handle_datagram(from, &bytes, self.now);
        } else if let Some((receiver, bytes)) = self.relay.carry(from, to, bytes) {
            self.send(to, receiver, bytes);
        }
        self.drain();
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.number += 1;
        self.packets.insert((self.now + DELAY, self.number), (from, to, bytes));
    }

    fn drain(&mut self) {
        for side in [0, 1] {
            while let Some(output) = self.paths[side].poll_output() {
                match output {
                    Output::Transmit { to, bytes } => {
                        self.sent.push((leg(side), bytes.clone()));
                        self.send(leg(side), to, bytes);
                    }
                    Output::Event(event) => self.events[side].push(event),
                }
            }
        }
    }
}

impl Relay {
    fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> Option<(SocketAddr, Vec<u8>)> {
        let side = usize::from(from == leg(1));
        let current = if self.moved { NEW_RELAY } else { RELAY };
        if self.dead || self.deaf_to == Some(side) || to != address(current) {
            return None;
        }
        if bytes[0] < 4 {
            let answer = self.answer(side, from, &bytes);
            self.admitted[side] |= answer.is_some();
            return answer.map(|answer| (from, answer));
        }
        (self.admitted[0] && self.admitted[1]).then(|| (leg(1 - side), bytes))
    }

    fn answer(&self, side: usize, from: SocketAddr, check: &[u8]) -> Option<Vec<u8>> {
        let generation = if self.moved { "new" } else { "old" };
        let check = Message::from_bytes(check).ok()?;
        let username = check.raw_attribute(AttributeType::new(0x0006))?;
        if !username.value.starts_with(format!("{generation}relay{side}:").as_bytes()) {
            return None;
        }
        let key = ShortTermCredentials::new(password(generation, "relay", side)).make_key();
        check.validate_integrity_with_key(&key).ok()?;
        let mut answer = Message::builder_success(&check, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(from, check.transaction_id())).ok()?;
        answer.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).ok()?;
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }
}

fn sessions() -> (session::Settings, session::Settings) {
    let certificate = || Certificate::generate(SystemTime::UNIX_EPOCH).unwrap();
    let (caller, callee) = (certificate(), certificate());
    let (caller_fingerprint, callee_fingerprint) = (caller.fingerprint(), callee.fingerprint());
    let settings = |certificate, dtls_role, peer_fingerprint, role| session::Settings {
        certificate,
        dtls_role,
        peer: Peer::Ours,
        peer_fingerprint,
        post_quantum: Some(role),
        payload: Payloads { opus: 111, red: Some(112), telephone_event: Some(110) },
        ptime_ms: 20,
        sound: SoundGate::Open,
    };
    (
        settings(caller, Role::Server, callee_fingerprint, verify::Role::Initiator),
        settings(callee, Role::Client, caller_fingerprint, verify::Role::Responder),
    )
}

fn halves(side: usize, generation: &str, relay: &str) -> (Credentials, Remote) {
    let credentials = |who: &str| Credentials {
        ufrag: format!("{generation}{who}{side}"),
        password: Zeroizing::new(password(generation, who, side)),
    };
    (credentials("phone"), Remote { credentials: credentials("relay"), candidates: vec![address(relay)] })
}

fn password(generation: &str, who: &str, side: usize) -> String {
    format!("{generation} password of {who} {side}")
}

fn leg(side: usize) -> SocketAddr {
    SocketAddr::new([198, 51, 100, u8::try_from(side + 1).unwrap()].into(), 5000)
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

//! VFY1 from outside: the recorded vectors bit for bit, every tampered octet, every relay that sits
//! in between, and a bad line.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};
use std::time::{Duration, Instant};
use undertone_media::dtls;
use undertone_media::keys::ExporterBlock;
use undertone_media::srtp::Profile;
use undertone_media::verify::{
    AddressHash, Capabilities, ChannelBinding, Exchange, Failure, IdentityKey, IdentityPublic, InviteProof,
    InviteToken, Output, Proven, Role, Settings,
};

const ALICE: &str = "alice@gw.example";
const BOB: &str = "bob@gw.example";
/// No run has so many timers and messages.
const MOST_STEPS: usize = 2_000;
const ENDLESS: &str = "the run never ends";
/// What the vectors' `word_indexes` are in the PGP word list.
const VECTOR_WORDS: [[&str; 4]; 3] = [
    ["slingshot", "publisher", "fallout", "Eskimo"],
    ["orca", "certify", "ruffled", "hemisphere"],
    ["stagnate", "positive", "cowbell", "cannonball"],
];

#[test]
fn the_recorded_vectors_are_reproduced_bit_for_bit() {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/verify.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), VECTOR_WORDS.len());
    for (vector, words) in vectors.iter().zip(VECTOR_WORDS) {
        let octets = |value: &serde_json::Value| hex(value.as_str().unwrap());
        let key = |value: &serde_json::Value| -> [u8; 32] { octets(value).try_into().unwrap() };
        let token = || vector["invite_token"].as_str().map(|text| InviteToken::new(hex(text).try_into().unwrap()));
        let addresses = [&vector["address_initiator"], &vector["address_responder"]].map(|a| a.as_str().unwrap());
        let keying = octets(&vector["srtp_keying_block"]);
        let (fp_client, fp_server) = (key(&vector["fp_client"]), key(&vector["fp_server"]));
        let side = |role: Role, own: &serde_json::Value, now| {
            let keys = ExporterBlock::new(Profile::AeadAes256Gcm, &keying).unwrap();
            let (channel, me, peer) = match role {
                Role::Initiator => {
                    (ChannelBinding::new(&keys, dtls::Role::Client, &fp_client, &fp_server), addresses[0], addresses[1])
                }
                Role::Responder => {
                    (ChannelBinding::new(&keys, dtls::Role::Server, &fp_server, &fp_client), addresses[1], addresses[0])
                }
            };
            let settings = Settings {
                role,
                channel,
                own_address: AddressHash::of(me),
                peer_address: Some(AddressHash::of(peer)),
                pinned: None,
                capabilities: Capabilities::default(),
                post_quantum_ran: false,
                tokens: token().into_iter().collect(),
            };
            let mut tape = Tape([octets(&own["eph_secret"]), octets(&own["r"])].concat());
            Exchange::new(settings, IdentityKey::from_bytes(&key(&own["id_secret"])), &mut tape, now)
        };
        let now = Instant::now();
        let mut initiator = side(Role::Initiator, &vector["initiator"], now);
        let mut responder = side(Role::Responder, &vector["responder"], now);
        for (name, from_initiator) in [("m1", true), ("m2", false), ("m3", true), ("m4", false)] {
            let (from, to) =
                if from_initiator { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
            let Some(Output::Send(message)) = from.poll_output() else { panic!("{name} is missing") };
            assert_eq!(message, octets(&vector[name]), "{name}");
            to.handle_message(&message, now);
        }
        let (of_initiator, of_responder) = (result(&mut initiator).unwrap(), result(&mut responder).unwrap());
        for proven in [of_initiator, of_responder] {
            assert_eq!(proven.words.digits(), vector["sas"]["digits"].as_str().unwrap());
            assert_eq!(proven.words.words(), words);
        }
        assert_eq!(of_responder.peer.key_code(), vector["key_code_initiator"].as_str().unwrap());
        assert_eq!(*of_initiator.peer.as_bytes(), key(&vector["responder"]["id_public"]));
        let expected = if token().is_some() { InviteProof::Link(0) } else { InviteProof::None };
        assert_eq!(of_responder.invite, expected);
    }
}

#[test]
fn safety_words_come_from_alternating_lists() {
    let mut pair = Pair::honest(1);
    pair.run();
    let [a, b] = pair.results().map(Result::unwrap);
    assert_eq!(a.words.words(), b.words.words());
    assert!(a.words.words().iter().all(|word| word.len() >= 3));
    assert_eq!(a.words.digits().len(), 8);
}

#[test]
fn a_change_of_any_bit_of_any_message_is_refused() {
    for message in 0..4 {
        for octet in 0..[72, 172, 156, 40][message] {
            for bit in 0..8 {
                let mut pair = Pair::honest(7);
                let mut count = 0;
                pair.run_through(|_, bytes| {
                    if count == message {
                        bytes[octet] ^= 1 << bit;
                    }
                    count += 1;
                });
                let [initiator, responder] = pair.results();
                let receiver = if message % 2 == 0 { responder } else { initiator };
                assert!(receiver.is_err(), "M{} octet {octet} bit {bit}", message + 1);
            }
        }
    }
}

#[test]
fn another_honest_account_at_the_other_end_is_refused() {
    let mut pair = Pair::honest(2);
    pair.sides[0].peer_address = Some("carol@gw.example");
    pair.run();
    assert_eq!(pair.results()[0], Err(Some(Failure::WrongAddress)));
    let mut pair = Pair::honest(2);
    pair.sides[1].peer_address = Some("carol@gw.example");
    pair.run();
    assert_eq!(pair.results()[1], Err(Some(Failure::WrongAddress)));
    assert!(pair.results()[0].is_err(), "without M4 the caller is not verified");
}

#[test]
fn a_pinned_key_is_recognised_and_a_changed_one_is_refused_by_either_side() {
    for side in 0..2 {
        let mut pair = Pair::honest(3);
        pair.sides[side].pinned = Some(pair.identity(1 - side));
        pair.run();
        assert!(pair.results()[side].unwrap().known);
        let mut pair = Pair::honest(3);
        pair.sides[side].pinned = Some(pair.identity(side));
        pair.run();
        assert_eq!(pair.results()[side], Err(Some(Failure::KeyChanged)));
    }
}

#[test]
fn a_relay_that_terminates_the_encryption_is_refused_by_the_channel_binding() {
    // It passes the messages on unchanged between its two associations.
    for seed in 0..50 {
        let mut pair = Pair::honest(seed);
        pair.sides[1].channel_seed = 99;
        pair.run();
        let [initiator, responder] = pair.results();
        assert_eq!(initiator, Err(Some(Failure::ProofRefused)));
        assert!(responder.is_err());
    }
}

#[test]
fn a_relay_that_runs_the_exchange_with_its_own_key_on_both_legs_shows_different_words() {
    for seed in 0..500 {
        let mut with_alice = Pair::honest(2 * seed);
        let mut with_bob = Pair::honest(2 * seed + 1);
        with_bob.sides[1].channel_seed = 99;
        with_bob.sides[0].channel_seed = 99;
        with_alice.run();
        with_bob.run();
        let alice = with_alice.results()[0].unwrap();
        let bob = with_bob.results()[1].unwrap();
        assert_ne!(alice.words, bob.words, "seed {seed}");
    }
}

#[test]
fn two_initiators_or_two_responders_never_verify() {
    for role in [Role::Initiator, Role::Responder] {
        let mut pair = Pair::honest(4);
        pair.sides[0].role = role;
        pair.sides[1].role = role;
        pair.run();
        assert!(pair.results().iter().all(Result::is_err));
    }
}

#[test]
fn messages_played_back_to_their_sender_are_refused() {
    let now = Instant::now();
    let mut pair = Pair::honest(5);
    let (mut alice, mut reflection) = (pair.sides[0].start(now), pair.sides[0].start(now));
    // The relay answers Alice with a responder that holds Alice's own identity and channel.
    drop(reflection.poll_output());
    pair.sides[0].role = Role::Responder;
    let mut mirror = pair.sides[0].start(now);
    let Some(Output::Send(m1)) = alice.poll_output() else { panic!("M1") };
    mirror.handle_message(&m1, now);
    assert!(matches!(mirror.poll_output(), Some(Output::Failed(Failure::Reflected))));
    // And it cannot answer with her own ephemeral key in place of a responder's.
    let mut forged = pair_m2(6);
    forged[8..40].copy_from_slice(&m1[8..40]);
    alice.handle_message(&forged, now);
    assert!(matches!(alice.poll_output(), Some(Output::Failed(Failure::Reflected))));
}

#[test]
fn a_key_of_low_order_is_refused() {
    let now = Instant::now();
    let mut bob = Pair::honest(5).sides[1].start(now);
    let mut m1 = b"VFY1\x01\x00\x00\x40".to_vec();
    m1.extend([0; 64]);
    bob.handle_message(&m1, now);
    assert!(matches!(bob.poll_output(), Some(Output::Failed(Failure::WeakKey))));
}

#[test]
fn a_link_token_proves_the_caller_and_a_wrong_one_does_not() {
    for (bob_has, expected) in [(vec![9, 8], InviteProof::Link(1)), (vec![9], InviteProof::Unknown)] {
        let mut pair = Pair::honest(6);
        pair.sides[0].tokens = vec![8];
        pair.sides[1].tokens = bob_has;
        pair.run();
        assert_eq!(pair.results()[1].unwrap().invite, expected);
    }
}

#[test]
fn a_callee_tells_that_a_link_was_used_before_and_only_a_proven_one_is_believed() {
    let now = Instant::now();
    let mut pair = Pair::honest(6);
    pair.sides[0].tokens = vec![8];
    let mut alice = pair.sides[0].start(now);
    let mut bob = pair.sides[1].start(now);
    let notice = b"VFY1\x10\x00\x00\x00".to_vec();
    alice.handle_message(&notice, now);
    bob.tell_link_used(now);
    let m1 = sent(&mut alice).remove(0);
    bob.handle_message(&m1, now);
    alice.handle_message(&sent(&mut bob).remove(0), now);
    let m3 = sent(&mut alice).remove(0);
    alice.handle_message(&notice, now);
    bob.handle_message(&m3, now);
    let m4 = sent(&mut bob).remove(0);
    bob.tell_link_used(now);
    bob.tell_link_used(now);
    assert_eq!(sent(&mut bob), std::slice::from_ref(&notice));
    let due = bob.poll_timeout().unwrap();
    bob.handle_timeout(due);
    assert_eq!(sent(&mut bob), std::slice::from_ref(&notice), "it may have been lost");
    assert!(alice.poll_output().is_none(), "nothing is believed before the proof");
    alice.handle_message(&m4, now);
    assert!(matches!(alice.poll_output(), Some(Output::Proven(_))));
    alice.handle_message(&notice, now);
    alice.handle_message(&notice, now);
    assert!(matches!(alice.poll_output(), Some(Output::LinkUsedBefore)));
    assert!(alice.poll_output().is_none());
    bob.handle_message(&notice, now);
    for _ in 0..MOST_STEPS {
        let Some(due) = bob.poll_timeout() else { return };
        bob.handle_timeout(due);
        assert!(sent(&mut bob).iter().all(|message| *message == notice));
    }
    panic!("{ENDLESS}");
}

#[test]
fn who_used_no_link_is_not_warned_of_one() {
    let mut pair = Pair::honest(7);
    let now = Instant::now();
    let (mut alice, mut bob) = (pair.sides[0].start(now), pair.sides[1].start(now));
    for _ in 0..2 {
        sent(&mut alice).iter().for_each(|message| bob.handle_message(message, now));
        sent(&mut bob).iter().for_each(|message| alice.handle_message(message, now));
    }
    alice.handle_message(b"VFY1\x10\x00\x00\x00", now);
    assert!(matches!(alice.poll_output(), None | Some(Output::Proven(_))));
    assert!(alice.poll_output().is_none());
    pair.run();
    assert!(pair.results().iter().all(Result::is_ok));
}

#[test]
fn a_failure_counts_from_the_message_on_that_shows_a_key() {
    let now = Instant::now();
    let pair = Pair::honest(6);
    let (mut alice, mut bob) = (pair.sides[0].start(now), pair.sides[1].start(now));
    let m1 = sent(&mut alice).remove(0);
    assert!(!alice.has_shown_keys() && !bob.has_shown_keys());
    bob.handle_message(&m1, now);
    assert!(bob.has_shown_keys());
    let mut m2 = sent(&mut bob).remove(0);
    *m2.last_mut().unwrap() ^= 1;
    alice.handle_message(&m2, now);
    assert!(alice.has_shown_keys());
    assert!(matches!(alice.poll_output(), Some(Output::Failed(Failure::ProofRefused))));
}

#[test]
fn a_stripped_post_quantum_exchange_is_a_failure_when_both_can() {
    let mut pair = Pair::honest(8);
    pair.sides.iter_mut().for_each(|side| side.ml_kem = true);
    pair.run();
    assert_eq!(pair.results()[0], Err(Some(Failure::PostQuantumStripped)));
    let mut pair = Pair::honest(8);
    pair.sides[0].ml_kem = true;
    pair.run();
    assert!(pair.results().iter().all(Result::is_ok), "one side that cannot is no failure");
}

#[test]
fn a_silent_peer_ends_the_run_after_ten_seconds_with_doubling_repetitions() {
    let start = Instant::now();
    let mut alice = Pair::honest(9).sides[0].start(start);
    let mut sent_ms = vec![];
    let mut now = start;
    for _ in 0..MOST_STEPS {
        while let Some(output) = alice.poll_output() {
            match output {
                Output::Send(_) => sent_ms.push((now - start).as_millis()),
                Output::Failed(failure) => {
                    assert_eq!(failure, Failure::Timeout);
                    assert_eq!((now - start).as_millis(), 10_000);
                    assert_eq!(sent_ms[..6], [0, 100, 300, 700, 1500, 2300]);
                    assert_eq!(alice.poll_timeout(), None);
                    return;
                }
                Output::Proven(_) | Output::LinkUsedBefore => panic!("nobody answered"),
            }
        }
        now = alice.poll_timeout().unwrap();
        alice.handle_timeout(now);
    }
    panic!("{ENDLESS}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Loss up to half of all messages, duplication and reordering: two sides that both say
    /// "proven" agree on the words and on each other's keys, and with 10 s of repetitions a line
    /// that loses less than 30 % always gets there.
    #[test]
    fn a_bad_line_never_makes_two_sides_disagree(seed: u64, loss in 0u32..50, duplicate in 0u32..30) {
        let mut line = ChaCha20Rng::seed_from_u64(seed);
        let mut pair = Pair::honest(seed);
        pair.run_over(&mut line, loss, duplicate);
        let [initiator, responder] = pair.results();
        if let (Ok(a), Ok(b)) = (initiator, responder) {
            prop_assert_eq!(a.words, b.words);
            prop_assert_eq!(a.peer, pair.identity(1));
            prop_assert_eq!(b.peer, pair.identity(0));
        }
        prop_assert!(initiator.is_err() || responder.is_ok(), "M4 only follows a checked M3");
        if loss < 30 {
            prop_assert!(initiator.is_ok(), "{initiator:?}");
        }
    }

    #[test]
    fn arbitrary_messages_never_panic(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8), role: bool) {
        let now = Instant::now();
        let mut side = Pair::honest(1).sides[usize::from(role)].start(now);
        for message in &messages {
            side.handle_message(message, now);
        }
        while let Some(output) = side.poll_output() {
            prop_assert!(!matches!(output, Output::Proven(_)));
        }
    }
}

/// What one side of a test starts with.
struct Side {
    role: Role,
    seed: u64,
    channel_seed: u8,
    dtls_role: dtls::Role,
    address: &'static str,
    peer_address: Option<&'static str>,
    pinned: Option<IdentityPublic>,
    ml_kem: bool,
    tokens: Vec<u8>,
    exchange: Option<Exchange>,
    result: Result<Proven, Option<Failure>>,
}

/// Alice calls Bob.
struct Pair {
    sides: [Side; 2],
}

impl Side {
    fn start(&self, now: Instant) -> Exchange {
        let keys = ExporterBlock::new(Profile::AeadAes256Gcm, &[self.channel_seed; 88]).unwrap();
        let (client, server) = ([1; 32], [2; 32]);
        let (local, peer) = if self.dtls_role == dtls::Role::Client { (client, server) } else { (server, client) };
        let settings = Settings {
            role: self.role,
            channel: ChannelBinding::new(&keys, self.dtls_role, &local, &peer),
            own_address: AddressHash::of(self.address),
            peer_address: self.peer_address.map(AddressHash::of),
            pinned: self.pinned,
            capabilities: Capabilities { ml_kem: self.ml_kem },
            post_quantum_ran: false,
            tokens: self.tokens.iter().map(|token| InviteToken::new([*token; 32])).collect(),
        };
        Exchange::new(settings, self.key(), &mut ChaCha20Rng::seed_from_u64(self.seed), now)
    }

    fn key(&self) -> IdentityKey {
        IdentityKey::generate(&mut ChaCha20Rng::seed_from_u64(self.seed ^ 0x1d))
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = vec![];
        while let Some(output) = self.exchange.as_mut().unwrap().poll_output() {
            match output {
                Output::Send(message) => sent.push(message),
                Output::Proven(proven) => self.result = Ok(*proven),
                Output::Failed(failure) => self.result = Err(Some(failure)),
                Output::LinkUsedBefore => panic!("nobody said so"),
            }
        }
        sent
    }
}

impl Pair {
    fn honest(seed: u64) -> Self {
        let side = |role, dtls_role, seed, address, peer| Side {
            role,
            seed,
            channel_seed: 5,
            dtls_role,
            address,
            peer_address: Some(peer),
            pinned: None,
            ml_kem: false,
            tokens: vec![],
            exchange: None,
            result: Err(None),
        };
        // DTLS roles do not follow the call's direction.
        Self {
            sides: [
                side(Role::Initiator, dtls::Role::Server, seed.wrapping_mul(2), ALICE, BOB),
                side(Role::Responder, dtls::Role::Client, seed.wrapping_mul(2).wrapping_add(1), BOB, ALICE),
            ],
        }
    }

    fn identity(&self, side: usize) -> IdentityPublic {
        self.sides[side].key().public()
    }

    fn run(&mut self) {
        self.run_through(|_, _| {});
    }

    /// Delivers everything at once, through `tamper(sender, message)`.
    fn run_through(&mut self, mut tamper: impl FnMut(usize, &mut Vec<u8>)) {
        let now = Instant::now();
        self.sides.iter_mut().for_each(|side| side.exchange = Some(side.start(now)));
        loop {
            let mut moved = false;
            for from in 0..2 {
                for mut message in self.sides[from].drain() {
                    moved = true;
                    tamper(from, &mut message);
                    self.sides[1 - from].exchange.as_mut().unwrap().handle_message(&message, now);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A line of up to 120 ms delay that loses, doubles and so reorders messages, until both are done.
    fn run_over(&mut self, line: &mut ChaCha20Rng, loss: u32, duplicate: u32) {
        let mut now = Instant::now();
        self.sides.iter_mut().for_each(|side| side.exchange = Some(side.start(now)));
        let mut in_flight: Vec<(Instant, usize, Vec<u8>)> = vec![];
        for _ in 0..MOST_STEPS {
            for from in 0..2 {
                for message in self.sides[from].drain() {
                    let copies = 1 + u32::from(line.next_u32() % 100 < duplicate);
                    for _ in 0..copies {
                        if line.next_u32() % 100 >= loss {
                            let delay = Duration::from_millis(u64::from(line.next_u32() % 120));
                            in_flight.push((now + delay, 1 - from, message.clone()));
                        }
                    }
                }
            }
            let timers = self.sides.iter().filter_map(|side| side.exchange.as_ref().unwrap().poll_timeout());
            let Some(next) = timers.chain(in_flight.iter().map(|(at, _, _)| *at)).min() else { return };
            now = now.max(next);
            let (due, later): (Vec<_>, Vec<_>) = in_flight.into_iter().partition(|(at, _, _)| *at <= now);
            in_flight = later;
            for (_, to, message) in due {
                self.sides[to].exchange.as_mut().unwrap().handle_message(&message, now);
            }
            self.sides.iter_mut().for_each(|side| side.exchange.as_mut().unwrap().handle_timeout(now));
        }
        panic!("{ENDLESS}");
    }

    fn results(&self) -> [Result<Proven, Option<Failure>>; 2] {
        [self.sides[0].result, self.sides[1].result]
    }
}

/// An M2 of an honest Bob for another run.
fn pair_m2(seed: u64) -> Vec<u8> {
    let mut pair = Pair::honest(seed);
    let mut m2 = vec![];
    pair.run_through(|from, message| {
        if from == 1 && m2.is_empty() {
            m2.clone_from(message);
        }
    });
    m2
}

fn result(exchange: &mut Exchange) -> Result<Proven, Failure> {
    while let Some(output) = exchange.poll_output() {
        match output {
            Output::Send(_) => {}
            Output::Proven(proven) => return Ok(*proven),
            Output::Failed(failure) => return Err(failure),
            Output::LinkUsedBefore => panic!("nobody said so"),
        }
    }
    panic!("no result")
}

/// The messages that wait to be sent.
fn sent(exchange: &mut Exchange) -> Vec<Vec<u8>> {
    let mut messages = vec![];
    while let Some(output) = exchange.poll_output() {
        match output {
            Output::Send(message) => messages.push(message),
            Output::Proven(_) => {}
            Output::Failed(_) | Output::LinkUsedBefore => panic!("nothing is wrong"),
        }
    }
    messages
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Yields recorded octets in place of random ones.
struct Tape(Vec<u8>);

impl RngCore for Tape {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
    }
}

impl CryptoRng for Tape {}

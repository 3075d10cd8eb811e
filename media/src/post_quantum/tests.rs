//! The exchange against an independent implementation of ML-KEM-768, over bad lines, and under attack.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use ml_kem::{Decapsulate, Key, KeyExport, MlKem768, ml_kem_768};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::*;
use crate::keys::ExporterBlock;
use crate::srtp::Profile;
use crate::verify::Role;

const PROFILES: [Profile; 3] = [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80];
/// Coefficients of an encapsulation key, 12 bits each (FIPS 203 §4.2.1).
const COEFFICIENTS: usize = 768;
/// `q`, the first value that is none.
const MODULUS: u16 = 3_329;

#[test]
fn the_initiator_agrees_byte_for_byte_with_another_implementation() {
    for seed in 0..20 {
        let mut exchange = Exchange::new(Role::Initiator, Instant::now());
        let key = assemble(&mut exchange, 1, 592);
        let theirs =
            ml_kem_768::EncapsulationKey::new(&Key::<ml_kem_768::EncapsulationKey>::try_from(key.as_slice()).unwrap())
                .unwrap();
        let (ciphertext, shared) = theirs.encapsulate_deterministic(&[seed; 32].into());
        deliver(&mut exchange, 2, &ciphertext);
        let secret = agreed(&mut exchange).unwrap();
        for profile in PROFILES {
            assert_eq!(mixed(&secret, profile), by_hand(profile, &shared, &key, &ciphertext));
        }
    }
}

#[test]
fn the_responder_agrees_byte_for_byte_with_another_implementation() {
    for seed in 0..20 {
        let theirs = ml_kem_768::DecapsulationKey::from_seed([seed; 64].into());
        let key = theirs.encapsulation_key().to_bytes();
        let mut exchange = Exchange::new(Role::Responder, Instant::now());
        deliver(&mut exchange, 1, &key);
        let mut outputs = outputs(&mut exchange);
        let Some(Output::Agreed(secret)) = outputs.pop() else { panic!("nothing agreed") };
        let ciphertext = joined(&outputs, 2, 544);
        let shared = theirs.decapsulate(&ml_kem::Ciphertext::<MlKem768>::try_from(ciphertext.as_slice()).unwrap());
        for profile in PROFILES {
            assert_eq!(mixed(&secret, profile), by_hand(profile, &shared, &key, &ciphertext));
        }
    }
}

#[test]
fn a_key_with_any_coefficient_out_of_range_is_refused() {
    let good = ml_kem_768::DecapsulationKey::from_seed([7; 64].into()).encapsulation_key().to_bytes();
    let oracle_takes = |key: &[u8]| {
        ml_kem_768::EncapsulationKey::new(&Key::<ml_kem_768::EncapsulationKey>::try_from(key).unwrap()).is_ok()
    };
    for at in 0..COEFFICIENTS {
        for (value, is_good) in [(MODULUS - 1, true), (MODULUS, false), (4_095, false)] {
            let mut key = good.to_vec();
            set_coefficient(&mut key, at, value);
            let mut exchange = Exchange::new(Role::Responder, Instant::now());
            deliver(&mut exchange, 1, &key);
            let last = outputs(&mut exchange).pop().unwrap();
            assert_eq!(oracle_takes(&key), is_good);
            match last {
                Output::Agreed(_) => assert!(is_good, "coefficient {at} = {value}"),
                Output::Failed(failure) => assert!(!is_good && failure == Failure::KeyRefused, "{at} = {value}"),
                Output::Send(_) => panic!("the run did not end"),
            }
        }
    }
}

#[test]
fn a_good_line_agrees_with_four_frames_each_way() {
    let mut pair = Pair::new();
    pair.run_through(|_| {});
    assert!(pair.is_agreed());
    for side in &pair.sides {
        assert_eq!((side.sent.len(), side.failure), (4, None));
        assert_eq!(side.exchange.poll_timeout(), None);
    }
}

#[test]
fn lost_doubled_and_reordered_frames_never_leave_two_keys() {
    for loss in [20, 50] {
        let mut unfinished = 0;
        for seed in 0..400 {
            let mut pair = Pair::new();
            pair.run(&mut Line::new(seed), loss, 20);
            unfinished += u32::from(!pair.is_agreed_or_failed());
        }
        // Of four parts with some 14 sendings each one is lost for good in a few runs of ten thousand.
        assert!(unfinished <= loss / 25, "{unfinished} of 400 runs gave up at {loss} % loss");
    }
}

#[test]
fn one_changed_bit_in_any_octet_of_any_fragment_leaves_no_common_key() {
    for (kind, len) in [(1, 592), (2, 544)] {
        for (number, at) in (0..2_u8).flat_map(|number| (0..len).map(move |at| (number, at))) {
            let bit = 1 << (at % 8);
            let mut pair = Pair::new();
            pair.run_through(|frame| {
                if frame[4] == kind && frame[5] == number {
                    frame[8 + at] ^= bit;
                }
            });
            let [initiator, responder] = &pair.sides;
            let both = initiator.block.as_ref().zip(responder.block.as_ref());
            assert!(both.is_none_or(|(one, other)| one != other), "type {kind}, part {number}, octet {at}");
        }
    }
}

#[test]
fn a_changed_header_is_no_frame_and_the_next_repetition_heals_it() {
    for kind in 1..=4 {
        for (at, bit) in (0..8).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
            let mut pair = Pair::new();
            let mut struck = false;
            pair.run_with(&mut Line::new(3), 0, 0, |frame| {
                if frame[4] == kind && !std::mem::replace(&mut struck, true) {
                    frame[at] ^= bit;
                }
            });
            // Half 0 under the number of half 1 is the one change that makes another good frame.
            let renumbered = at == 5 && bit == 1 && kind < 3;
            assert!(renumbered || pair.is_agreed(), "type {kind}, header octet {at}");
        }
    }
}

#[test]
fn a_silent_peer_ends_the_exchange_after_ten_seconds_with_the_ladder_of_vfy1() {
    let start = Instant::now();
    let mut exchange = Exchange::new(Role::Initiator, start);
    let mut sent_ms = Vec::new();
    let mut now = start;
    loop {
        while let Some(output) = exchange.poll_output() {
            match output {
                Output::Send(_) => sent_ms.push((now - start).as_millis()),
                Output::Agreed(_) => panic!("nobody answered"),
                Output::Failed(failure) => {
                    assert_eq!(failure, Failure::Timeout);
                    assert_eq!((now - start).as_millis(), 10_000);
                    assert_eq!(sent_ms[..10], [0, 0, 100, 100, 300, 300, 700, 700, 1500, 1500]);
                    assert_eq!(exchange.poll_timeout(), None);
                    return;
                }
            }
        }
        now = exchange.poll_timeout().unwrap();
        exchange.handle_timeout(now);
    }
}

#[test]
fn a_responder_that_hears_no_key_or_no_confirmation_gives_up_after_ten_seconds() {
    let start = Instant::now();
    let limit = start + Duration::from_secs(10);
    let mut waiting = Exchange::new(Role::Responder, start);
    assert_eq!(waiting.poll_timeout(), Some(limit));
    waiting.handle_timeout(limit);
    assert!(matches!(waiting.poll_output(), Some(Output::Failed(Failure::Timeout))));

    for confirmed in [false, true] {
        let mut exchange = Exchange::new(Role::Responder, start);
        deliver(&mut exchange, 1, &assemble(&mut Exchange::new(Role::Initiator, start), 1, 592));
        assert!(agreed(&mut exchange).is_some());
        if confirmed {
            exchange.handle_confirmed();
            assert_eq!(exchange.poll_timeout(), None);
        }
        exchange.handle_timeout(limit);
        let failed = matches!(exchange.poll_output(), Some(Output::Failed(Failure::Timeout)));
        assert_eq!(failed, !confirmed);
    }
}

#[test]
fn a_phone_that_begins_vfy1_without_its_key_knows_of_no_exchange() {
    let now = Instant::now();
    let m1 = [b"VFY1\x01\x00\x00\x40".as_slice(), &[5; 64]].concat();
    let mut responder = Exchange::new(Role::Responder, now);
    responder.handle_message(&m1, now);
    assert!(matches!(responder.poll_output(), Some(Output::Failed(Failure::Stripped))));
    assert!(responder.poll_output().is_none() && responder.poll_timeout().is_none());

    let mut initiator = Exchange::new(Role::Initiator, now);
    outputs(&mut initiator);
    initiator.handle_message(&m1, now);
    assert!(initiator.poll_output().is_none(), "the other side's VFY1 begins after this one's: nothing to conclude");
    let mut done = Pair::new();
    done.run_through(|_| {});
    done.sides[1].exchange.handle_message(&m1, now);
    assert!(done.sides[1].exchange.poll_output().is_none(), "after the exchange it is what must come");
}

#[test]
fn our_own_frames_coming_back_and_the_other_roles_frames_are_ignored() {
    let mut pair = Pair::new();
    let mut seen = Vec::new();
    pair.run_through(|frame| seen.push(frame.clone()));
    assert_eq!(seen.len(), 8);
    let now = Instant::now();
    for role in [Role::Initiator, Role::Responder] {
        let own: &[u8] = if role == Role::Initiator { &[1, 4] } else { &[2, 3] };
        let mut exchange = Exchange::new(role, now);
        outputs(&mut exchange);
        for frame in seen.iter().filter(|frame| own.contains(&frame[4])) {
            exchange.handle_message(frame, now);
            assert!(exchange.poll_output().is_none(), "type {}", frame[4]);
        }
    }
}

#[test]
fn a_repeated_part_is_acknowledged_again_for_fifteen_seconds() {
    let mut pair = Pair::new();
    let mut seen = Vec::new();
    pair.run_through(|frame| seen.push(frame.clone()));
    for (side, kind) in [(0, 2), (1, 1)] {
        let frame = seen.iter().find(|frame| frame[4] == kind).unwrap();
        let exchange = &mut pair.sides[side].exchange;
        for (after, answers) in [(14, 1), (16, 0)] {
            exchange.handle_message(frame, pair.start + Duration::from_secs(after));
            let sent = outputs(exchange);
            assert_eq!(sent.len(), answers, "after {after} s");
            assert!(sent.iter().all(|output| matches!(output, Output::Send(frame) if frame.len() == 8)));
        }
    }
}

#[test]
fn an_owner_that_does_not_poll_does_not_let_the_peer_grow_anything() {
    let now = Instant::now();
    let key = assemble(&mut Exchange::new(Role::Initiator, now), 1, 592);
    let mut exchange = Exchange::new(Role::Responder, now);
    for _ in 0..10_000 {
        deliver(&mut exchange, 1, &key);
    }
    let outputs = outputs(&mut exchange);
    assert_eq!(outputs.len(), 8, "the queue is full and stays so");
    assert!(outputs.iter().any(|output| matches!(output, Output::Agreed(_))), "and nothing but frames is left out");
}

#[test]
fn printing_shows_no_secret() {
    let mut pair = Pair::new();
    pair.run_through(|_| {});
    let secret = Secret::new(&[0xab; 32], &[], &[]).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret");
    assert_eq!(format!("{:?}", pair.sides[0].exchange), "Exchange { role: Initiator, .. }");
    assert_eq!(Secret::new(&[0; 31], &[], &[]).err(), Some(Failure::LocalSetup));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_bad_line_ends_with_one_key_or_with_a_reason(seed: u64, loss in 0u32..90, double in 0u32..50) {
        let mut pair = Pair::new();
        pair.run(&mut Line::new(seed), loss, double);
        let finished = pair.is_agreed_or_failed();
        prop_assert!(finished || loss > 20);
    }

    #[test]
    fn arbitrary_messages_never_panic_and_are_never_answered_at_length(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..8),
        typed in 0u8..6,
        initiates: bool,
    ) {
        let now = Instant::now();
        let mut exchange = Exchange::new(if initiates { Role::Initiator } else { Role::Responder }, now);
        outputs(&mut exchange);
        for mut message in messages {
            exchange.handle_message(&message, now);
            message.splice(..0, [b"VFPQ".as_slice(), &[typed, 0, 0, 0]].concat());
            exchange.handle_message(&message, now);
            prop_assert!(outputs(&mut exchange).len() <= 2);
        }
    }
}

/// A line with up to 120 ms of delay, so that frames overtake each other.
struct Line(ChaCha20Rng);

impl Line {
    fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    fn percent(&mut self, chance: u32) -> bool {
        self.0.next_u32() % 100 < chance
    }
}

struct Side {
    exchange: Exchange,
    sent: Vec<Vec<u8>>,
    block: Option<Vec<u8>>,
    failure: Option<Failure>,
}

struct Pair {
    start: Instant,
    sides: [Side; 2],
}

impl Side {
    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for output in outputs(&mut self.exchange) {
            assert!(self.failure.is_none(), "a failure is the last output");
            match output {
                Output::Send(frame) => frames.push(frame),
                Output::Agreed(secret) => {
                    assert!(self.block.is_none(), "agreed once");
                    self.block = Some(mixed(&secret, Profile::AeadAes256Gcm));
                }
                Output::Failed(failure) => self.failure = Some(failure),
            }
        }
        self.sent.extend(frames.iter().cloned());
        frames
    }
}

impl Pair {
    fn new() -> Self {
        let start = Instant::now();
        let side = |role| Side { exchange: Exchange::new(role, start), sent: Vec::new(), block: None, failure: None };
        Self { start, sides: [side(Role::Initiator), side(Role::Responder)] }
    }

    /// Delivers everything at once, through `tamper`.
    fn run_through(&mut self, mut tamper: impl FnMut(&mut Vec<u8>)) {
        loop {
            let mut moved = false;
            for from in 0..2 {
                for mut frame in self.sides[from].drain() {
                    moved = true;
                    tamper(&mut frame);
                    self.sides[1 - from].exchange.handle_message(&frame, self.start);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn run(&mut self, line: &mut Line, loss: u32, double: u32) {
        self.run_with(line, loss, double, |_| {});
    }

    /// Until neither side waits for anything.
    fn run_with(&mut self, line: &mut Line, loss: u32, double: u32, mut tamper: impl FnMut(&mut Vec<u8>)) {
        let mut now = self.start;
        let mut in_flight: Vec<(Instant, usize, Vec<u8>)> = Vec::new();
        loop {
            for from in 0..2 {
                for mut frame in self.sides[from].drain() {
                    tamper(&mut frame);
                    for _ in 0..1 + u32::from(line.percent(double)) {
                        if !line.percent(loss) {
                            let delay = Duration::from_millis(u64::from(line.0.next_u32() % 120));
                            in_flight.push((now + delay, 1 - from, frame.clone()));
                        }
                    }
                }
            }
            let timers = self.sides.iter().filter_map(|side| side.exchange.poll_timeout());
            let Some(next) = timers.chain(in_flight.iter().map(|(at, _, _)| *at)).min() else { return };
            now = now.max(next);
            let (due, later): (Vec<_>, Vec<_>) = in_flight.into_iter().partition(|(at, _, _)| *at <= now);
            in_flight = later;
            for (_, to, frame) in due {
                self.sides[to].exchange.handle_message(&frame, now);
            }
            self.sides.iter_mut().for_each(|side| side.exchange.handle_timeout(now));
        }
    }

    fn is_agreed(&self) -> bool {
        let [initiator, responder] = &self.sides;
        initiator.block.is_some() && initiator.block == responder.block
    }

    /// True when both have the same key; false when one gave up. Nothing else may be.
    fn is_agreed_or_failed(&self) -> bool {
        let [initiator, responder] = &self.sides;
        if self.is_agreed() {
            return true;
        }
        assert!(initiator.block.is_none(), "the initiator is the last to have the key");
        assert_eq!(initiator.failure, Some(Failure::Timeout));
        assert_eq!(responder.failure, Some(Failure::Timeout));
        false
    }
}

fn outputs(exchange: &mut Exchange) -> Vec<Output> {
    std::iter::from_fn(|| exchange.poll_output()).collect()
}

fn agreed(exchange: &mut Exchange) -> Option<Secret> {
    outputs(exchange).into_iter().find_map(|output| match output {
        Output::Agreed(secret) => Some(secret),
        Output::Send(_) | Output::Failed(_) => None,
    })
}

/// The message whose parts the exchange has just sent.
fn assemble(exchange: &mut Exchange, kind: u8, part_len: usize) -> Vec<u8> {
    joined(&outputs(exchange), kind, part_len)
}

fn joined(outputs: &[Output], kind: u8, part_len: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for output in outputs {
        match output {
            Output::Send(frame) if frame[4] == kind => {
                assert_eq!((usize::from(frame[5]) * part_len, frame.len()), (message.len(), 8 + part_len));
                message.extend_from_slice(&frame[8..]);
            }
            Output::Send(_) | Output::Agreed(_) | Output::Failed(_) => {}
        }
    }
    message
}

fn deliver(exchange: &mut Exchange, kind: u8, message: &[u8]) {
    let half = message.len() / 2;
    for (number, octets) in message.chunks_exact(half).enumerate() {
        let mut frame = b"VFPQ".to_vec();
        frame.extend([kind, number as u8]);
        frame.extend((half as u16).to_be_bytes());
        frame.extend(octets);
        exchange.handle_message(&frame, Instant::now());
    }
}

fn set_coefficient(key: &mut [u8], at: usize, value: u16) {
    let [low, high] = value.to_le_bytes();
    let octet = at / 2 * 3;
    if at.is_multiple_of(2) {
        key[octet] = low;
        key[octet + 1] = key[octet + 1] & 0xf0 | high;
    } else {
        key[octet + 1] = key[octet + 1] & 0x0f | low << 4;
        key[octet + 2] = low >> 4 | high << 4;
    }
}

fn exported(profile: Profile) -> Vec<u8> {
    (0..profile.exporter_len()).map(|at| at as u8).collect()
}

fn mixed(secret: &Secret, profile: Profile) -> Vec<u8> {
    let mut block = ExporterBlock::new(profile, &exported(profile)).unwrap();
    secret.mix_into(&mut block).unwrap();
    block.expose().to_vec()
}

/// RFC 5869 with nothing but HMAC.
fn by_hand(profile: Profile, shared: &[u8], key: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mac = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec();
    let block = exported(profile);
    let mixing_key = mac(&block, shared);
    let info = [b"VFY1 pq".as_slice(), digest(&SHA256, &[key, ciphertext].concat()).as_ref()].concat();
    let (mut out, mut last) = (Vec::new(), Vec::new());
    for counter in 1..=3 {
        last = mac(&mixing_key, &[last.as_slice(), &info, &[counter]].concat());
        out.extend_from_slice(&last);
    }
    out.truncate(block.len());
    out
}

//! VFY1 against somebody in the place of the gateway who may do whatever he can compute: what two people may be made
//! to believe. The honest sides are the product's own exchange; whoever sits in between is written in this test.

#![allow(clippy::unwrap_used)]

mod grinding_relay;
mod keys;
mod line;
mod repetition;
mod wire;

use grinding_relay::{Called, GrindingRelay, Outcome, Plan};
use line::{ALICE, BOB, Line, MOST_STEPS, Party, Phone, key};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::time::{Duration, Instant};
use undertone_media::verify::{Failure, Role};
use wire::{Callee, Caller, Claim, Pair, core2, random, revealed, transcript, words};

/// Calls per plan against the real exchange.
const GRINDING_CALLS: usize = 4_000;

#[test]
fn a_relay_that_grinds_gets_equal_eight_bit_words_no_more_often_than_by_chance() {
    for (seed, plan) in [(1, Plan::BobFirst), (2, Plan::AliceFirst)] {
        let mut relay = GrindingRelay::new(seed);
        let outcomes: Vec<Outcome> = (0..GRINDING_CALLS).map(|_| relay.attempt(plan, Called::Product)).collect();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Shown { .. })), "{plan:?} keeps to the rules");
        let alike = outcomes.iter().filter(|outcome| outcome.is_alike_in_eight_bits()).count();
        let (calls, chance) = (GRINDING_CALLS as f64, 1.0 / 256.0);
        let sigma = (calls * chance * (1.0 - chance)).sqrt();
        let off = alike as f64 - calls * chance;
        assert!(off.abs() <= 3.0 * sigma, "{plan:?}: {alike} of {GRINDING_CALLS}, {off:.1} off, sigma {sigma:.1}");
    }
}

#[test]
fn without_the_commitment_the_same_relay_succeeds_nearly_always() {
    let mut relay = GrindingRelay::new(3);
    let fooled = (0..400).filter(|_| relay.attempt(Plan::OpenAnew, Called::Careless).is_alike_in_eight_bits());
    assert!(fooled.count() >= 396);
}

#[test]
fn a_relay_that_opens_its_commitment_differently_is_refused_every_time() {
    let mut relay = GrindingRelay::new(4);
    for called in [Called::Product, Called::WrittenAnew] {
        let outcomes: Vec<Outcome> = (0..300).map(|_| relay.attempt(Plan::OpenAnew, called)).collect();
        let refused = Outcome::Refused(Some(Failure::CommitmentBroken));
        // By chance what was committed to may fit, and then nothing is opened differently.
        assert!(outcomes.iter().all(|outcome| *outcome == refused || outcome.is_alike_in_eight_bits()), "{called:?}");
        assert!(outcomes.iter().filter(|outcome| **outcome == refused).count() >= 290, "{called:?}");
    }
}

#[test]
fn a_relay_that_ends_the_encryption_shows_different_words_in_ten_thousand_of_ten_thousand_calls() {
    let mut relay = GrindingRelay::new(5);
    for call in 0..10_000 {
        match relay.attempt(Plan::Hope, Called::Product) {
            Outcome::Shown { alice, bob } => assert_ne!(alice, bob, "call {call}"),
            Outcome::Refused(failure) => panic!("call {call}: {failure:?}"),
        }
    }
}

#[test]
fn two_people_who_were_both_made_callers_see_different_words() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let now = Instant::now();
    for call in 0..1_000 {
        let shown = [(Phone::alice(2 * call), BOB), (Phone::bob(2 * call + 1), ALICE)].map(|(phone, shown)| {
            let line = Line::draw(&mut rng);
            let mut person = Phone { role: Role::Initiator, ..phone }.start(&line, now);
            let relay = callee(&line, shown, &mut rng);
            let m1 = person.says().unwrap();
            let m3 = person.hear(&relay.second(&m1), now).unwrap();
            person.hear(&relay.fourth(&m1, &m3), now);
            person.result.unwrap().words
        });
        assert_ne!(shown[0], shown[1], "call {call}");
    }
}

#[test]
fn two_people_who_were_both_made_callees_see_different_words() {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let now = Instant::now();
    for call in 0..1_000 {
        let shown = [(Phone::alice(2 * call), BOB), (Phone::bob(2 * call + 1), ALICE)].map(|(phone, shown)| {
            let line = Line::draw(&mut rng);
            let mut person = Phone { role: Role::Responder, ..phone }.start(&line, now);
            let relay = caller(&line, shown, &mut rng);
            let m1 = relay.first();
            let m2 = person.hear(&m1, now).unwrap();
            person.hear(&relay.third(&m1, &m2), now);
            person.result.unwrap().words
        });
        assert_ne!(shown[0], shown[1], "call {call}");
    }
}

#[test]
fn two_people_who_were_both_made_callers_or_callees_and_know_each_other_are_told_of_another_key() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let now = Instant::now();
    for (phone, known, shown) in [(Phone::alice(1), 2, BOB), (Phone::bob(2), 1, ALICE)] {
        let line = Line::draw(&mut rng);
        let pinned = Some(key(known).public());
        let mut as_caller = Phone { role: Role::Initiator, pinned, ..phone }.start(&line, now);
        let m1 = as_caller.says().unwrap();
        assert_eq!(as_caller.hear(&callee(&line, shown, &mut rng).second(&m1), now), None, "nothing more is revealed");
        assert_eq!(as_caller.result, Err(Some(Failure::KeyChanged)));
    }
    for (phone, known, shown) in [(Phone::alice(1), 2, BOB), (Phone::bob(2), 1, ALICE)] {
        let line = Line::draw(&mut rng);
        let pinned = Some(key(known).public());
        let mut as_callee = Phone { role: Role::Responder, pinned, ..phone }.start(&line, now);
        let relay = caller(&line, shown, &mut rng);
        let m2 = as_callee.hear(&relay.first(), now).unwrap();
        assert_eq!(as_callee.hear(&relay.third(&relay.first(), &m2), now), None);
        assert_eq!(as_callee.result, Err(Some(Failure::KeyChanged)));
    }
}

#[test]
fn a_relay_that_shows_the_known_key_without_owning_it_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let now = Instant::now();
    let line = Line::draw(&mut rng);
    let mut alice = Phone { pinned: Some(key(2).public()), ..Phone::alice(1) }.start(&line, now);
    let mut relay = callee(&line, BOB, &mut rng);
    relay.claim.identity.public = *key(2).public().as_bytes();
    let m1 = alice.says().unwrap();
    alice.hear(&relay.second(&m1), now);
    assert_eq!(alice.result, Err(Some(Failure::ProofRefused)));

    let mut bob = Phone { pinned: Some(key(1).public()), ..Phone::bob(2) }.start(&line, now);
    let mut relay = caller(&line, ALICE, &mut rng);
    relay.claim.identity.public = *key(1).public().as_bytes();
    let m2 = bob.hear(&relay.first(), now).unwrap();
    bob.hear(&relay.third(&relay.first(), &m2), now);
    assert_eq!(bob.result, Err(Some(Failure::ProofRefused)));
}

#[test]
fn a_proof_of_a_phone_that_claims_not_to_speak_this_protocol_is_refused_by_either_side() {
    let mut rng = ChaCha20Rng::seed_from_u64(13);
    let now = Instant::now();
    for capabilities in [[0, 0, 0, 0], [0, 0, 0, 2], [0xff, 0xff, 0xff, 0xfe]] {
        let line = Line::draw(&mut rng);
        let mut alice = Phone::alice(1).start(&line, now);
        let mut relay = callee(&line, BOB, &mut rng);
        relay.claim.capabilities = capabilities;
        let m1 = alice.says().unwrap();
        alice.hear(&relay.second(&m1), now);
        assert_eq!(alice.result, Err(Some(Failure::Malformed)));
        let mut bob = Phone::bob(2).start(&line, now);
        let mut relay = caller(&line, ALICE, &mut rng);
        relay.claim.capabilities = capabilities;
        let m2 = bob.hear(&relay.first(), now).unwrap();
        bob.hear(&relay.third(&relay.first(), &m2), now);
        assert_eq!(bob.result, Err(Some(Failure::Malformed)));
    }
}

#[test]
fn none_of_ones_own_keys_is_taken_for_the_other_sides_in_any_message() {
    let mut rng = ChaCha20Rng::seed_from_u64(14);
    let now = Instant::now();
    let line = Line::draw(&mut rng);
    for own_is_identity in [false, true] {
        for shown_as_identity in [false, true] {
            let mut alice = Phone::alice(1).start(&line, now);
            let m1 = alice.says().unwrap();
            let own = if own_is_identity { *key(1).public().as_bytes() } else { m1[8..40].try_into().unwrap() };
            let mut relay = callee(&line, BOB, &mut rng);
            let place = if shown_as_identity { &mut relay.claim.identity } else { &mut relay.ephemeral };
            place.public = own;
            alice.hear(&relay.second(&m1), now);
            assert_eq!(alice.result, Err(Some(Failure::Reflected)));
        }
        let mut bob = Phone::bob(2).start(&line, now);
        let mut relay = caller(&line, ALICE, &mut rng);
        let m1 = relay.first();
        let m2 = bob.hear(&m1, now).unwrap();
        let own = if own_is_identity { *key(2).public().as_bytes() } else { m2[8..40].try_into().unwrap() };
        relay.claim.identity.public = own;
        bob.hear(&relay.third(&m1, &m2), now);
        assert_eq!(bob.result, Err(Some(Failure::Reflected)));
    }
    let mut bob = Phone::bob(2).start(&line, now);
    let mut relay = caller(&line, ALICE, &mut rng);
    relay.ephemeral.public = *key(2).public().as_bytes();
    bob.hear(&relay.first(), now);
    assert_eq!(bob.result, Err(Some(Failure::Reflected)));
}

#[test]
fn a_call_led_to_another_honest_account_is_refused_before_the_caller_reveals_anything() {
    let now = Instant::now();
    let line = Line::draw(&mut ChaCha20Rng::seed_from_u64(10));
    let mut alice = Phone::alice(1).start(&line, now);
    let mut carol = Phone { own: "carol@gw.example", peer: None, ..Phone::bob(3) }.start(&line, now);
    let m2 = carol.hear(&alice.says().unwrap(), now).unwrap();
    assert_eq!(alice.hear(&m2, now), None);
    assert_eq!(alice.result, Err(Some(Failure::WrongAddress)));
    carol.wait(now);
    assert_eq!(carol.result, Err(Some(Failure::Timeout)));

    // The callee is shown Alice, but it is Carol who calls.
    let mut carol = Phone { own: "carol@gw.example", peer: None, ..Phone::alice(3) }.start(&line, now);
    let mut bob = Phone::bob(2).start(&line, now);
    // Carol speaks from the other end of the association.
    let m1 = carol.says().unwrap();
    let m2 = bob.hear(&m1, now).unwrap();
    let answer = carol.hear(&m2, now);
    assert!(answer.is_none_or(|m3| bob.hear(&m3, now).is_none()));
    assert!(bob.result.is_err() && carol.result.is_err());
}

#[test]
fn messages_of_an_earlier_call_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let now = Instant::now();
    let earlier = honest_call(&Line::draw(&mut rng), 0, now);
    for same_line in [false, true] {
        let line = Line::draw(&mut rng);
        // A relay that could give two calls the same keys still faces other random octets.
        let line = if same_line { earlier.line.clone() } else { line };
        let mut alice = Phone { seed: 77, ..Phone::alice(0) }.start(&line, now);
        alice.says();
        alice.hear(&earlier.m2, now);
        assert_eq!(alice.result, Err(Some(Failure::ProofRefused)), "same line: {same_line}");
        let mut bob = Phone { seed: 78, ..Phone::bob(1) }.start(&line, now);
        bob.hear(&earlier.m1, now);
        bob.hear(&earlier.m3, now);
        let expected = if same_line { Failure::ProofRefused } else { Failure::CommitmentBroken };
        assert_eq!(bob.result, Err(Some(expected)), "same line: {same_line}");
    }
}

#[test]
fn the_protocol_written_anew_from_its_document_agrees_with_the_product() {
    let mut rng = ChaCha20Rng::seed_from_u64(12);
    let now = Instant::now();
    for seed in 0..20 {
        let call = honest_call(&Line::draw(&mut rng), seed, now);
        let anew = transcript(&call.line.cb(), &call.m1, core2(&call.m2), revealed(&call.m3));
        let value = u32::from_be_bytes(words(&anew));
        for person in [&call.alice, &call.bob] {
            assert_eq!(person.result.unwrap().words.digits(), format!("{:08}", value % 100_000_000));
        }
    }
}

#[test]
fn frames_that_are_cut_or_padded_or_of_another_kind_are_refused() {
    let m1 = Phone::alice(1).start(&bad_line(), Instant::now()).says().unwrap();
    let mut frames: Vec<Vec<u8>> = (0..m1.len()).map(|len| m1[..len].to_vec()).collect();
    frames.push([&m1[..], &[0]].concat());
    for (octet, value) in [(0, b'v'), (3, b'2'), (4, 0), (4, 5), (4, 2), (5, 1), (6, 1), (7, 0x41)] {
        let mut frame = m1.clone();
        frame[octet] = value;
        frames.push(frame);
    }
    for frame in frames {
        let mut bob = Phone::bob(2).start(&bad_line(), Instant::now());
        assert_eq!(bob.hear(&frame, Instant::now()), None);
        let begin = &frame[..frame.len().min(8)];
        assert_eq!(bob.result, Err(Some(Failure::Malformed)), "{} octets: {begin:?}", frame.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Messages are lost up to half, changed, doubled and overtake each other.
    #[test]
    fn whatever_a_line_does_two_verified_people_share_one_transcript_and_know_each_others_key(
        seed: u64, loss in 0u32..=50, change in 0u32..=30, double in 0u32..=30,
    ) {
        let mut bad = BadLine { rng: ChaCha20Rng::seed_from_u64(seed), loss, change, double, m4_arrived: false };
        let (alice, bob) = bad.run(seed >> 8);
        if alice.result.is_ok() {
            prop_assert!(bad.m4_arrived, "a caller that M4 never reached is not verified");
            prop_assert!(bob.result.is_ok(), "M4 follows only on a checked M3");
        }
        if let (Ok(a), Ok(b)) = (alice.result, bob.result) {
            let anew = transcript(&bad_line().cb(), &alice.sent[0], core2(&bob.sent[0]), revealed(alice.sent.last().unwrap()));
            let digits = format!("{:08}", u32::from_be_bytes(words(&anew)) % 100_000_000);
            prop_assert_eq!(a.words.digits(), digits.clone());
            prop_assert_eq!(b.words.digits(), digits);
            prop_assert_eq!(a.peer, key(2 * (seed >> 8) + 1).public());
            prop_assert_eq!(b.peer, key(2 * (seed >> 8)).public());
        }
        if change == 0 && loss <= 25 {
            prop_assert!(alice.result.is_ok(), "{:?}", alice.result);
        }
    }
}

/// A call between two phones that nobody disturbed.
struct Call {
    line: Line,
    alice: Party,
    bob: Party,
    m1: Vec<u8>,
    m2: Vec<u8>,
    m3: Vec<u8>,
}

/// What happens to messages on their way.
struct BadLine {
    rng: ChaCha20Rng,
    loss: u32,
    change: u32,
    double: u32,
    m4_arrived: bool,
}

impl BadLine {
    fn run(&mut self, seed: u64) -> (Party, Party) {
        let mut now = Instant::now();
        let mut alice = Phone::alice(2 * seed).start(&bad_line(), now);
        let mut bob = Phone::bob(2 * seed + 1).start(&bad_line(), now);
        let mut under_way: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
        for _ in 0..MOST_STEPS {
            while let Some(message) = alice.says() {
                self.send(&mut under_way, true, &message, now);
            }
            while let Some(message) = bob.says() {
                self.send(&mut under_way, false, &message, now);
            }
            let timers = [&alice, &bob].into_iter().filter_map(|party| party.exchange.poll_timeout());
            let Some(next) = timers.chain(under_way.iter().map(|(at, ..)| *at)).min() else { return (alice, bob) };
            now = now.max(next);
            let (due, later): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, ..)| *at <= now);
            under_way = later;
            for (_, to_bob, message) in due {
                let to = if to_bob { &mut bob } else { &mut alice };
                to.exchange.handle_message(&message, now);
                self.m4_arrived |= !to_bob && bob.sent.iter().any(|sent| sent[4] == 4 && *sent == message);
            }
            [&mut alice, &mut bob].into_iter().for_each(|party| party.exchange.handle_timeout(now));
        }
        panic!("the run never ends");
    }

    fn send(&mut self, under_way: &mut Vec<(Instant, bool, Vec<u8>)>, to_bob: bool, message: &[u8], now: Instant) {
        let copies = 1 + u32::from(self.happens(self.double));
        for _ in 0..copies {
            let mut message = message.to_vec();
            if self.happens(self.loss) {
                continue;
            }
            if self.happens(self.change) {
                let octet = self.rng.next_u32() as usize % message.len();
                message[octet] ^= 1 << (self.rng.next_u32() % 8);
            }
            let delay = Duration::from_millis(u64::from(self.rng.next_u32() % 150));
            under_way.push((now + delay, to_bob, message));
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.rng.next_u32() % 100 < percent
    }
}

fn bad_line() -> Line {
    Line::draw(&mut ChaCha20Rng::seed_from_u64(1_000))
}

fn honest_call(line: &Line, seed: u64, now: Instant) -> Call {
    let (mut alice, mut bob) = (Phone::alice(2 * seed).start(line, now), Phone::bob(2 * seed + 1).start(line, now));
    let m1 = alice.says().unwrap();
    let m2 = bob.hear(&m1, now).unwrap();
    let m3 = alice.hear(&m2, now).unwrap();
    let m4 = bob.hear(&m3, now).unwrap();
    alice.hear(&m4, now);
    Call { line: line.clone(), alice, bob, m1, m2, m3 }
}

/// Somebody with keys of his own who claims this address, as callee.
fn callee(line: &Line, shown: &str, rng: &mut ChaCha20Rng) -> Callee {
    let claim = Claim::of(Pair::draw(rng), shown);
    Callee { cb: line.cb(), ephemeral: Pair::draw(rng), random: random(rng), claim }
}

/// The same as caller.
fn caller(line: &Line, shown: &str, rng: &mut ChaCha20Rng) -> Caller {
    let claim = Claim::of(Pair::draw(rng), shown);
    Caller { cb: line.cb(), ephemeral: Pair::draw(rng), random: random(rng), claim }
}

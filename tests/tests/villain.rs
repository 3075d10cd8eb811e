//! Whole calls through a dishonest gateway: what two people may be made to believe, and what it gets to hear.
//!
//! Real cores of phones, gateway and relay in virtual time, with [`undertone_tests::villain`] inside the gateway.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::command::Command;
use undertone::core::event::{EndReason, Event, Verification};
use undertone_sip::wire::{Message, Method, parse};
use undertone_tests::villain::{DishonestGateway, Distortion, Mischief, Whom};
use undertone_tests::world::{Kind, StationId, World};

/// Louder than any comfort noise or decoder remnant.
const LOUD: f32 = 0.02;
/// Quieter than any speech: what is left of encoded silence.
const SILENCE: f32 = 0.002;
/// Long enough for handshake and verification on a good line.
const SETTLED: Duration = Duration::from_millis(1_200);
/// Full calls whose words are compared. Ten thousand runs of the exchange alone are played in `media`.
const WHOLE_CALLS: u64 = 40;

#[test]
fn a_gateway_that_decrypts_calls_of_strangers_shows_them_different_words_every_time() {
    let mut heard = 0;
    for seed in 0..WHOLE_CALLS / 8 {
        let (mut world, alice, bob) = between(seed, [Mischief::EndsEncryption, Mischief::ProvesOwnKey]);
        for round in 0..8 {
            call(&mut world, alice, bob);
            world.run_for(SETTLED);
            let villain = world.villain.as_ref().unwrap();
            assert_eq!((villain.calls_opened(alice), villain.calls_opened(bob)), (round + 1, round + 1));
            heard += usize::from(villain.overheard(alice) > LOUD && villain.overheard(bob) > LOUD);
            let (of_alice, of_bob) = (words(&world, alice, round), words(&world, bob, round));
            assert!(of_alice.is_some() && of_bob.is_some(), "both are shown words");
            assert_ne!(of_alice, of_bob);
            hang_up(&mut world, alice, bob);
        }
    }
    assert!(heard as u64 == WHOLE_CALLS, "it hears the calls: this villain is a real one; {heard}");
}

#[test]
fn a_gateway_that_decrypts_a_call_cannot_pass_the_proofs_on_or_back_or_hold_or_replay_them() {
    for (seed, mischief) in [
        (20, Mischief::PassesProofsOn),
        (21, Mischief::ReflectsProofs),
        (22, Mischief::SwallowsProofs),
        (23, Mischief::ReplaysEarlierProofs),
    ] {
        let (mut world, alice, bob) = between(seed, [Mischief::EndsEncryption, Mischief::ProvesOwnKey]);
        call(&mut world, alice, bob);
        world.run_for(SETTLED);
        hang_up(&mut world, alice, bob);
        world.villain.as_mut().unwrap().turns_to([Mischief::EndsEncryption, mischief]);
        call(&mut world, alice, bob);
        wait_ended_again(&mut world, &[alice, bob]);
        let why = [alice, bob].map(|id| world.station(id).ended().unwrap());
        assert!(why.contains(&EndReason::VerificationFailed), "{mischief:?}: {why:?}");
        assert!([alice, bob].iter().all(|id| words(&world, *id, 1).is_none()), "{mischief:?}: no words of that call");
    }
}

#[test]
fn proofs_of_the_gateways_own_key_that_are_cut_changed_or_eleven_seconds_late_are_refused() {
    let late = Distortion::Delays(Duration::from_secs(11));
    for (seed, distortion) in [(30, Distortion::CutsShort), (31, Distortion::TurnsABit), (36, late)] {
        let mischief = [Mischief::EndsEncryption, Mischief::ProvesOwnKey, Mischief::DistortsProofs(distortion)];
        let (mut world, alice, bob) = between(seed, mischief);
        call(&mut world, alice, bob);
        wait_ended_again(&mut world, &[alice, bob]);
        let why = [alice, bob].map(|id| world.station(id).ended().unwrap());
        assert!(why.contains(&EndReason::VerificationFailed), "{distortion:?}: {why:?}");
        assert!(world.villain.as_ref().unwrap().distorted() > 0);
        assert_eq!(world.station(alice).count("safety_words") + world.station(bob).count("safety_words"), 0);
    }
}

#[test]
fn proofs_that_come_twice_again_late_or_in_another_order_change_nothing() {
    for (seed, distortion) in [
        (32, Distortion::Doubles),
        (33, Distortion::Reorders),
        (34, Distortion::Delays(Duration::from_millis(700))),
        (35, Distortion::RepeatsEarlier),
    ] {
        let mischief = [Mischief::EndsEncryption, Mischief::ProvesOwnKey, Mischief::DistortsProofs(distortion)];
        let (mut world, alice, bob) = between(seed, mischief);
        call(&mut world, alice, bob);
        world.run_for(Duration::from_secs(12));
        assert!(world.villain.as_ref().unwrap().distorted() > 0, "{distortion:?}");
        let (of_alice, of_bob) = (words(&world, alice, 0), words(&world, bob, 0));
        assert!(of_alice.is_some() && of_bob.is_some(), "{distortion:?}");
        assert_ne!(of_alice, of_bob, "{distortion:?}");
    }
}

#[test]
fn datagrams_that_are_cut_changed_doubled_reordered_delayed_or_repeated_never_make_two_phones_disagree() {
    for (seed, distortion) in [
        (40, Distortion::CutsShort),
        (41, Distortion::TurnsABit),
        (42, Distortion::Doubles),
        (43, Distortion::Reorders),
        (44, Distortion::Delays(Duration::from_millis(300))),
        (45, Distortion::RepeatsEarlier),
    ] {
        let (mut world, alice, bob) = between(seed, [Mischief::DistortsDatagrams(distortion)]);
        call(&mut world, alice, bob);
        world.run_for(Duration::from_secs(15));
        assert!(world.villain.as_ref().unwrap().distorted() > 0, "{distortion:?}");
        if let (Some(of_alice), Some(of_bob)) = (words(&world, alice, 0), words(&world, bob, 0)) {
            assert_eq!(of_alice, of_bob, "{distortion:?}");
        }
        let harmless = !matches!(distortion, Distortion::CutsShort | Distortion::TurnsABit);
        assert_eq!(words(&world, alice, 0).is_some(), harmless, "{distortion:?}");
    }
}

#[test]
fn without_the_announcement_the_call_of_strangers_is_labelled_and_nobody_is_told_words() {
    for (seed, whom) in [(50, Whom::Both), (51, Whom::First), (52, Whom::Second)] {
        let (mut world, alice, bob) =
            between(seed, [Mischief::EndsEncryption, Mischief::ProvesOwnKey, Mischief::HidesVerification(whom)]);
        call(&mut world, alice, bob);
        world.run_for(Duration::from_secs(3));
        for (n, id) in [alice, bob].into_iter().enumerate() {
            let hidden = matches!((whom, n), (Whom::Both, _) | (Whom::First, 0) | (Whom::Second, 1));
            let label =
                |event: &Event| matches!(event, Event::Encrypted { verification: Verification::CannotBeVerified, .. });
            assert_eq!(world.station(id).saw(label), hidden, "{whom:?}");
            assert_eq!(words(&world, id, 0).is_none(), hidden, "{whom:?}");
        }
    }
}

#[test]
fn without_the_announcement_of_post_quantum_keys_two_honest_phones_end_the_call() {
    for (seed, whom) in [(55, Whom::Both), (56, Whom::First), (57, Whom::Second)] {
        let (mut world, alice, bob) = between(seed, [Mischief::HidesPostQuantum(whom)]);
        call(&mut world, alice, bob);
        wait_ended_again(&mut world, &[alice, bob]);
        let why = [alice, bob].map(|id| world.station(id).ended().unwrap());
        assert!(why.contains(&EndReason::VerificationFailed), "{whom:?}: {why:?}");
        for id in [alice, bob] {
            assert!(words(&world, id, 0).is_none(), "{whom:?}");
            assert!(loudest(&world, id) < SILENCE, "{whom:?}: nobody's voice arrived");
        }
    }
}

#[test]
fn a_gateway_that_ends_the_encryption_of_strangers_may_only_hide_post_quantum_keys_where_none_are_claimed() {
    let mischief = [Mischief::EndsEncryption, Mischief::ProvesOwnKey, Mischief::HidesPostQuantum(Whom::Both)];
    for (seed, mischief, claimed) in [(58, &mischief[..], false), (59, &mischief[..2], true)] {
        let (mut world, alice, bob) = World::alice_and_bob(seed);
        world.villain =
            Some(DishonestGateway::between([(alice, "alice"), (bob, "bob")], mischief.iter().copied(), seed));
        call(&mut world, alice, bob);
        world.run_for(SETTLED);
        for id in [alice, bob] {
            let claims = |event: &Event| matches!(event, Event::Encrypted { post_quantum: true, .. });
            assert_eq!(world.station(id).saw(claims), claimed);
        }
        assert!(words(&world, alice, 0).is_some() && words(&world, alice, 0) != words(&world, bob, 0));
    }
}

#[test]
fn a_gateway_that_speaks_the_older_handshake_to_phones_that_expect_the_newer_gets_no_call() {
    let mischief = [Mischief::EndsEncryption, Mischief::ProvesOwnKey, Mischief::SpeaksOldHandshake];
    let (mut world, alice, bob) = between(60, mischief);
    call(&mut world, alice, bob);
    wait_ended_again(&mut world, &[alice, bob]);
    for id in [alice, bob] {
        assert_eq!(world.station(id).count("encrypted"), 0);
        nothing_was_said(&world, id);
    }
}

#[test]
fn a_handshake_whose_first_message_was_weakened_never_becomes_a_weaker_call() {
    for (seed, mischief) in [(61, Mischief::WeakensProfile), (62, Mischief::WeakensVersion)] {
        let (mut world, alice, bob) = between(seed, [mischief]);
        call(&mut world, alice, bob);
        wait_ended_again(&mut world, &[alice, bob]);
        assert!(world.villain.as_ref().unwrap().hellos_weakened() > 0, "{mischief:?}");
        for id in [alice, bob] {
            assert_eq!(world.station(id).count("encrypted"), 0, "{mischief:?}");
            nothing_was_said(&world, id);
        }
    }
}

#[test]
fn calls_described_without_protection_or_with_readable_keys_are_refused_before_any_datagram_of_sound() {
    for (seed, mischief) in [(63, Mischief::DescribesPlainSound), (64, Mischief::DescribesReadableKeys)] {
        let (mut world, alice, bob) = between(seed, [mischief]);
        world.dial(alice, "bob");
        world.wait_ended(&[alice]);
        assert!(world.station(bob).saw(|event| matches!(event, Event::Refused { .. })), "{mischief:?}");
        for id in [alice, bob] {
            assert_eq!(world.station(id).count("ringing"), 0);
            nothing_was_said(&world, id);
        }
    }
}

#[test]
fn a_new_key_in_a_running_call_is_refused_and_the_call_goes_on_with_the_old_one() {
    for seed in [70, 71] {
        let (mut world, alice, bob) = between(seed, []);
        call(&mut world, alice, bob);
        world.run_for(SETTLED);
        assert_eq!(words(&world, alice, 0), words(&world, bob, 0));
        let target = if seed == 70 { alice } else { bob };
        let now = world.now;
        world.villain.as_mut().unwrap().changes_keys(target, now);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.villain.as_ref().unwrap().answers(), [488]);
        assert!(asked_to_change(&world, target), "the phone did get the request");
        assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD);
        assert_eq!((world.station(alice).ended(), world.station(bob).ended()), (None, None));
    }
}

#[test]
fn a_handshake_begun_by_somebody_else_in_a_running_call_changes_nothing() {
    let (mut world, alice, bob) = between(72, []);
    call(&mut world, alice, bob);
    world.run_for(SETTLED);
    for id in [alice, bob] {
        let (before, now) = (world.station(id).received.len(), world.now);
        world.villain.as_mut().unwrap().begins_another_handshake(id, now);
        world.run_for(Duration::from_secs(2));
        let news = &world.station(id).received[before..];
        assert!(news.iter().any(|exchange| exchange.kind == Kind::Dtls), "the phone did get the message");
    }
    assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD);
    for id in [alice, bob] {
        assert_eq!((world.station(id).count("encrypted"), world.station(id).ended()), (1, None));
    }
    assert_eq!(words(&world, alice, 0), words(&world, bob, 0));
}

#[test]
fn a_call_led_to_another_honest_person_ends_before_the_caller_hears_anything_trusted() {
    let mut world = World::new(80);
    let (alice, bob, carol) = (world.add("alice"), world.add("bob"), world.add_answering("carol"));
    world.wait_ready(&[alice, bob, carol]);
    world.villain =
        Some(DishonestGateway::between([(alice, "alice"), (bob, "bob")], [Mischief::LeadsTo("bob", "carol")], 80));
    world.dial(alice, "bob");
    world.wait_ended(&[alice, carol]);
    assert_eq!(world.station(bob).count("ringing"), 0);
    assert_eq!(world.station(carol).count("encrypted"), 1, "she did take the call");
    assert_eq!(world.station(alice).ended(), Some(EndReason::VerificationFailed));
    assert_eq!(world.station(alice).count("safety_words"), 0);
    assert_eq!(world.station(carol).count("safety_words"), 0);
}

#[test]
fn two_people_who_are_both_made_callers_see_different_words() {
    let mut world = World::new(81);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    let accomplices = [world.add_answering("mallory"), world.add_answering("trudy")];
    world.wait_ready(&[alice, bob, accomplices[0], accomplices[1]]);
    let mischief = [
        Mischief::EndsEncryption,
        Mischief::ProvesOwnKey,
        Mischief::LeadsTo("bob", "mallory"),
        Mischief::LeadsTo("alice", "trudy"),
    ];
    world.villain = Some(DishonestGateway::between([(alice, "alice"), (bob, "bob")], mischief, 81));
    world.dial(alice, "bob");
    world.dial(bob, "alice");
    both_hear_each_other_and_see_different_words(&mut world, alice, bob);
}

#[test]
fn two_people_who_are_both_made_callees_see_different_words() {
    let mut world = World::new(82);
    let (alice, bob) = (world.add_answering("alice"), world.add_answering("bob"));
    let accomplices = [world.add("mallory"), world.add("trudy")];
    world.wait_ready(&[alice, bob, accomplices[0], accomplices[1]]);
    let mischief = [
        Mischief::EndsEncryption,
        Mischief::ProvesOwnKey,
        Mischief::ShowsAs("mallory", "bob"),
        Mischief::ShowsAs("trudy", "alice"),
    ];
    world.villain = Some(DishonestGateway::between([(alice, "alice"), (bob, "bob")], mischief, 82));
    world.dial(accomplices[0], "alice");
    world.dial(accomplices[1], "bob");
    both_hear_each_other_and_see_different_words(&mut world, alice, bob);
    let shown = |event: &Event| matches!(event, Event::Ringing { other, .. } if other.contains("bob"));
    assert!(world.station(alice).saw(shown), "alice was told that bob calls");
}

/// Alice and bob with a gateway that does this.
fn between<const N: usize>(seed: u64, mischief: [Mischief; N]) -> (World, StationId, StationId) {
    let (mut world, alice, bob) = World::alice_and_bob(9_000 + seed);
    world.villain = Some(DishonestGateway::between([(alice, "alice"), (bob, "bob")], mischief, seed));
    (world, alice, bob)
}

/// Alice calls and bob takes it.
fn call(world: &mut World, alice: StationId, bob: StationId) {
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(bob, Command::Answer);
}

fn hang_up(world: &mut World, alice: StationId, bob: StationId) {
    world.command(alice, Command::HangUp);
    wait_ended_again(world, &[alice, bob]);
    // Nothing of a call is left in the way of the next one.
    world.run_for(Duration::from_millis(200));
}

/// Every call that began has ended.
fn wait_ended_again(world: &mut World, ids: &[StationId]) {
    world.run_until("the call has ended", |world| {
        ids.iter().all(|id| {
            let station = world.station(*id);
            station.count("ended") > 0 && station.count("ended") == station.count("connecting")
        })
    });
}

/// The words that this person was shown in the call with this number, from 0.
fn words(world: &World, id: StationId, call: usize) -> Option<[&'static str; 4]> {
    let station = world.station(id);
    let began = station.events.iter().enumerate().filter(|(_, (_, event))| event.name() == "connecting");
    let from = began.map(|(at, _)| at).nth(call)?;
    let events = station.events[from..].iter().take_while(|(_, event)| event.name() != "ended");
    events
        .filter_map(|(_, event)| match event {
            Event::SafetyWords { words, .. } => Some(*words),
            _ => None,
        })
        .next()
}

fn both_hear_each_other_and_see_different_words(world: &mut World, alice: StationId, bob: StationId) {
    world.wait_sound(&[alice, bob]);
    world.run_for(SETTLED);
    assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD, "they believe to talk to each other");
    let (of_alice, of_bob) = (words(world, alice, 0), words(world, bob, 0));
    assert!(of_alice.is_some() && of_bob.is_some());
    assert_ne!(of_alice, of_bob);
}

/// Loudest sample that this phone's speaker played since the call's media began.
fn loudest(world: &World, id: StationId) -> f32 {
    world.station(id).heard.iter().fold(0.0, |loudest, sample| sample.abs().max(loudest))
}

/// No packet of sound left this phone.
fn nothing_was_said(world: &World, id: StationId) {
    let station = world.station(id);
    assert_eq!(station.sent_of(Kind::Rtp).count() + station.sent_of(Kind::Rtcp).count(), 0);
    assert_eq!(world.villain.as_ref().unwrap().overheard(id), 0.0);
}

/// The phone got an INVITE inside a running call.
fn asked_to_change(world: &World, id: StationId) -> bool {
    let received = world.station(id).received.iter().filter(|exchange| exchange.kind == Kind::Signalling);
    let is_reinvite = |message: Message| match message {
        Message::Request(r) => r.method == Method::Invite && r.headers.to().unwrap().tag().is_some(),
        Message::Response(_) => false,
    };
    received.filter_map(|exchange| parse(&exchange.bytes).ok()).any(is_reinvite)
}

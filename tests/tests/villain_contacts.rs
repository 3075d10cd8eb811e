//! Two people who know each other by key, and a dishonest gateway between them: it may end the call, it hears nothing.
//!
//! Real cores of phones, gateway and relay in virtual time, with [`undertone_tests::villain`] inside the gateway.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::ceremony::Question;
use undertone::core::command::Command;
use undertone::core::contacts::ContactChange;
use undertone::core::event::{EndReason, Event};
use undertone_tests::villain::{DishonestGateway, Mischief, TicketTrick, Whom};
use undertone_tests::world::{Kind, StationId, World};

/// Louder than any comfort noise or decoder remnant.
const LOUD: f32 = 0.02;
/// Quieter than any speech: what is left of encoded silence.
const SILENCE: f32 = 0.002;
/// Calls in which the gateway ends the encryption of both.
const DECRYPTED_CALLS: u64 = 1_000;
/// Worlds that they are spread over.
const WORLDS: u64 = 20;
/// After so long the gateway has given up on a call that nobody took.
const GIVEN_UP: Duration = Duration::from_secs(70);

#[test]
fn of_a_thousand_decrypted_calls_between_people_who_know_each_other_not_one_carries_sound() {
    let heard: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let worlds: Vec<_> =
            (0..WORLDS).map(|world| scope.spawn(move || calls_with_sound(world, DECRYPTED_CALLS / WORLDS))).collect();
        worlds.into_iter().map(|world| world.join().unwrap()).collect()
    });
    assert_eq!(heard, vec![Vec::<u64>::new(); WORLDS as usize]);
}

#[test]
fn a_gateway_that_holds_the_proofs_back_gets_ten_seconds_of_silence_and_then_no_call() {
    let (mut world, alice, bob) = between(10, [Mischief::EndsEncryption, Mischief::SwallowsProofs]);
    world.call(alice, bob);
    wait_ended(&mut world, &[alice, bob]);
    assert_eq!(no_sound_in_the_last_call(&world, alice, bob), Ok(()));
    let why = [alice, bob].map(|id| world.station(id).ended().unwrap());
    assert!(why.contains(&EndReason::VerificationFailed), "{why:?}");
}

#[test]
fn a_call_of_a_contact_whose_key_was_changed_on_the_way_does_not_ring() {
    let (mut world, alice, bob) = World::friends(11);
    world.villain = Some(villain(alice, bob, &[Mischief::EndsEncryption, Mischief::ProvesOwnKey], 11));
    stays_silent(&mut world, alice, bob);
}

#[test]
fn a_ring_ticket_that_was_taken_out_replayed_altered_or_forged_stays_silent() {
    for (seed, trick) in [
        (12, TicketTrick::Strips),
        (13, TicketTrick::Replays),
        (14, TicketTrick::ReplaysWithItsCall),
        (15, TicketTrick::Alters),
        (16, TicketTrick::Forges),
    ] {
        let (mut world, alice, bob) = World::friends(seed);
        world.villain = Some(villain(alice, bob, &[], seed));
        world.call(alice, bob);
        world.wait_verified(&[alice, bob]);
        world.hang_up(alice, bob);
        world.villain.as_mut().unwrap().turns_to([Mischief::Tickets(trick)]);
        stays_silent(&mut world, alice, bob);
    }
}

#[test]
fn a_ring_ticket_of_some_minutes_ago_stays_silent_also_with_the_whole_call_it_was_made_for() {
    let (mut world, alice, bob) = World::friends(17);
    world.villain = Some(villain(alice, bob, &[], 17));
    world.call(alice, bob);
    world.wait_verified(&[alice, bob]);
    world.hang_up(alice, bob);
    world.run_for(Duration::from_secs(300));
    world.villain.as_mut().unwrap().turns_to([Mischief::Tickets(TicketTrick::ReplaysWithItsCall)]);
    stays_silent(&mut world, alice, bob);
}

#[test]
fn a_ring_ticket_for_somebody_else_stays_silent() {
    let (mut world, alice, bob) = World::friends(18);
    let carol = world.add("carol");
    world.keep_identity(carol, 77);
    world.wait_ready(&[carol]);
    world.villain = Some(villain(alice, bob, &[Mischief::LeadsTo("bob", "carol")], 18));
    stays_silent(&mut world, alice, carol);
}

#[test]
fn without_the_announcement_a_call_between_people_who_know_each_other_is_refused() {
    for (seed, whom) in [(20, Whom::Both), (21, Whom::First), (22, Whom::Second)] {
        for ends in [false, true] {
            let (mut world, alice, bob) = between(seed, []);
            let lies = [Mischief::HidesVerification(whom), Mischief::ProvesOwnKey, Mischief::EndsEncryption];
            world.villain.as_mut().unwrap().turns_to(lies[..if ends { 3 } else { 1 }].iter().copied());
            let before = world.station(bob).count("ringing");
            world.dial(alice, "bob");
            world.run_for(Duration::from_secs(1));
            if world.station(bob).count("ringing") > before {
                world.command(bob, Command::Answer);
            }
            world.run_until("the call has ended", |world| ends_of(world, alice) == 2);
            assert_eq!(no_sound_in_the_last_call(&world, alice, bob), Ok(()), "{whom:?} {ends}");
            let refused = world.station(bob).saw(|event| matches!(event, Event::Refused { .. }))
                || [alice, bob].iter().any(|id| world.station(*id).ended() == Some(EndReason::ProofMissing));
            assert!(refused, "{whom:?} {ends}: {:?}", world.station(alice).ended());
        }
    }
}

#[test]
fn without_the_announcement_of_post_quantum_keys_a_call_between_people_who_know_each_other_is_refused() {
    for (seed, whom) in [(23, Whom::Both), (24, Whom::First), (25, Whom::Second)] {
        let (mut world, alice, bob) = between(seed, [Mischief::HidesPostQuantum(whom)]);
        world.call(alice, bob);
        wait_ended(&mut world, &[alice, bob]);
        assert_eq!(no_sound_in_the_last_call(&world, alice, bob), Ok(()), "{whom:?}");
        let why = [alice, bob].map(|id| world.station(id).ended().unwrap());
        assert!(why.contains(&EndReason::VerificationFailed), "{whom:?}: {why:?}");
    }
}

#[test]
fn the_first_call_by_a_link_carries_no_sound_when_the_gateway_decrypts_it() {
    let (mut world, alice, bob) = World::acquaintances(26);
    let link = world.give_link(bob, "Alice A");
    world.add_by_link(alice, link, "Bob B");
    for id in [alice, bob] {
        world.change_contacts(id, ContactChange::StrangersMayRing(true)).unwrap();
    }
    world.villain = Some(villain(alice, bob, &[Mischief::EndsEncryption, Mischief::ProvesOwnKey], 26));
    world.call(alice, bob);
    wait_ended(&mut world, &[alice, bob]);
    assert_eq!(no_sound_in_the_last_call(&world, alice, bob), Ok(()));
    assert_eq!(world.station(alice).count("key_changed"), 1, "the key is not that of the link");
    assert_eq!(world.station(alice).ended(), Some(EndReason::VerificationFailed));
}

#[test]
fn people_who_pick_what_they_hear_are_warned_of_a_decrypting_gateway() {
    let (mut world, alice, bob) = World::acquaintances(27);
    for id in [alice, bob] {
        world.change_contacts(id, ContactChange::StrangersMayRing(true)).unwrap();
    }
    world.villain = Some(villain(alice, bob, &[Mischief::EndsEncryption, Mischief::ProvesOwnKey], 27));
    for _ in 0..20 {
        world.call(alice, bob);
        world.run_until("both are asked", |world| {
            [alice, bob].iter().all(|id| world.station(*id).sees_in_this_call("compare"))
        });
        let questions = [alice, bob].map(|id| question(&world, id));
        for (n, id) in [alice, bob].into_iter().enumerate() {
            let heard = questions[1 - n].read;
            let found = questions[n].choices.iter().position(|words| *words == heard);
            let pick = found.map_or(Command::PickNone, |at| Command::Pick(at as u8 + 1));
            world.command(id, pick);
        }
        world.hang_up(alice, bob);
        world.run_for(Duration::from_millis(100));
    }
    // One half in 65,536 fits by chance; then the other one is asked for.
    let warned = world.station(alice).count("wrong_pick") + world.station(bob).count("wrong_pick");
    assert!(warned >= 39, "{warned} of 40");
    for id in [alice, bob] {
        assert_eq!(world.station(id).count("verified"), 0);
        assert!(world.station(id).contacts.people().all(|contact| !contact.key.is_verified()), "nothing was kept");
    }
}

#[test]
fn people_who_know_each_other_hear_each_other_through_the_same_gateway_when_it_is_honest() {
    let (mut world, alice, bob) = between(30, []);
    world.call(alice, bob);
    world.wait_verified(&[alice, bob]);
    world.run_for(Duration::from_secs(1));
    assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD);
    assert!(no_sound_in_the_last_call(&world, alice, bob).is_err(), "the check that finds no sound can fail");
}

/// Alice calls bob so many times, the gateway ends the encryption each time. The calls that carried sound.
fn calls_with_sound(seed: u64, calls: u64) -> Vec<u64> {
    let (mut world, alice, bob) = between(seed, []);
    let mut heard = Vec::new();
    for call in 0..calls {
        let play = play(call);
        let villain = world.villain.as_mut().unwrap();
        villain.turns_to([Mischief::EndsEncryption, play]);
        let opened = villain.calls_opened(alice) + villain.calls_opened(bob);
        world.call(alice, bob);
        wait_ended(&mut world, &[alice, bob]);
        let villain = world.villain.as_ref().unwrap();
        assert!(villain.calls_opened(alice) + villain.calls_opened(bob) > opened, "{play:?}: it had keys of the call");
        if no_sound_in_the_last_call(&world, alice, bob).is_err() {
            heard.push(call);
        }
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!((ends_of(&world, alice), ends_of(&world, bob)), (calls as usize + 1, calls as usize + 1));
    heard
}

/// What the gateway does with the proofs of this call. Proofs that are only given back cost ten seconds of silence, so
/// that is rarer.
fn play(call: u64) -> Mischief {
    match (call % 50, call % 3) {
        (49, _) => Mischief::ReflectsProofs,
        (_, 0) => Mischief::ProvesOwnKey,
        (_, 1) => Mischief::PassesProofsOn,
        (_, _) => Mischief::ReplaysEarlierProofs,
    }
}

/// Neither the gateway nor the other person got a sample of anybody's voice in the last call, and nobody was told that
/// the other one is verified.
fn no_sound_in_the_last_call(world: &World, alice: StationId, bob: StationId) -> Result<(), String> {
    let villain = world.villain.as_ref().unwrap();
    for id in [alice, bob] {
        let station = world.station(id);
        let played = station.heard.iter().fold(0.0_f32, |loudest, sample| sample.abs().max(loudest));
        if played > SILENCE || villain.overheard(id) > SILENCE {
            return Err(format!("{id:?}: played {played}, overheard {}", villain.overheard(id)));
        }
        if station.count("verified") > 1 {
            return Err(format!("{id:?} is told of somebody verified since they became friends"));
        }
    }
    Ok(())
}

/// Alice's call to bob reaches his phone, and the phone does as if it were off.
fn stays_silent(world: &mut World, alice: StationId, bob: StationId) {
    let (rang, sent, got) =
        (world.station(bob).count("ringing"), world.station(bob).sent.len(), world.station(bob).received.len());
    let ended = ends_of(world, alice);
    world.dial(alice, "bob");
    world.run_for(GIVEN_UP);
    assert_eq!(ends_of(world, alice), ended + 1);
    assert_eq!(world.station(alice).ended(), Some(EndReason::CannotBeReached));
    let bob = world.station(bob);
    let texts = |exchanges: &[undertone_tests::world::Exchange]| -> Vec<String> {
        let signalling = exchanges.iter().filter(|exchange| exchange.kind == Kind::Signalling);
        signalling.map(|exchange| String::from_utf8_lossy(&exchange.bytes).into_owned()).collect()
    };
    assert!(texts(&bob.received[got..]).iter().any(|text| text.starts_with("INVITE ")), "it reached the phone");
    assert_eq!(bob.count("ringing"), rang);
    assert!(bob.sent[sent..].iter().all(|exchange| exchange.kind == Kind::Signalling), "no datagram");
    let said = texts(&bob.sent[sent..]);
    // What every SIP element says by itself: 100 to the INVITE, 487 when the gateway takes it back.
    let automatic = |text: &&String| text.starts_with("SIP/2.0 100") || text.starts_with("SIP/2.0 487");
    let answers: Vec<&String> = said.iter().filter(|text| text.contains(" INVITE\r\n")).collect();
    assert!(answers.iter().all(automatic), "{answers:#?}");
    assert!(answers.iter().all(|text| !text.contains("m=audio")), "nothing of a key");
}

fn question(world: &World, id: StationId) -> Question {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Compare { question, .. } => Some(Question::clone(question)),
        _ => None,
    });
    newest.expect("something is to be compared")
}

fn wait_ended(world: &mut World, ids: &[StationId]) {
    world.run_until("the call has ended", |world| {
        ids.iter().all(|id| world.station(*id).count("ended") == world.station(*id).count("connecting"))
    });
}

fn ends_of(world: &World, id: StationId) -> usize {
    world.station(id).count("ended")
}

/// Alice and bob, who know each other and let strangers ring, so that nothing but the verification is in the way of
/// a gateway that does this.
fn between<const N: usize>(seed: u64, mischief: [Mischief; N]) -> (World, StationId, StationId) {
    let (mut world, alice, bob) = World::friends(8_000 + seed);
    for id in [alice, bob] {
        world.change_contacts(id, ContactChange::StrangersMayRing(true)).unwrap();
    }
    world.villain = Some(villain(alice, bob, &mischief, seed));
    (world, alice, bob)
}

fn villain(alice: StationId, bob: StationId, mischief: &[Mischief], seed: u64) -> DishonestGateway {
    DishonestGateway::between([(alice, "alice"), (bob, "bob")], mischief.iter().copied(), seed)
}

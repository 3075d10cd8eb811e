//! Calls through the gateway, with the real cores of phones, gateway and relay, in virtual time.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::command::Command;
use undertone::core::event::{EndReason, Event, Side};
use undertone_gateway::core::{REFUSAL_AFTER, REFUSAL_JITTER};
use undertone_sip::wire::{Message, Method, parse};
use undertone_tests::world::{Break, Exchange, Kind, Line, StationId, World};

/// What counts as heard after alignment, on a line that loses nothing.
const ALIKE: f32 = 0.9;
/// Louder than any comfort noise or decoder remnant.
const LOUD: f32 = 0.02;
/// Quieter than any speech.
const SILENCE: f32 = 0.002;
/// After this long nothing of a call may be left anywhere: transactions live for 32 s.
const AFTERMATH: Duration = Duration::from_secs(40);
/// Messages from phone to gateway and back, twice, with room to spare.
const MESSAGES: Duration = Duration::from_millis(150);

#[test]
fn two_phones_call_answer_talk_and_the_caller_hangs_up() {
    let (mut world, alice, bob) = World::talking(1);
    for (speaker, listener) in [(alice, bob), (bob, alice)] {
        let likeness = world.likeness(speaker, listener, 3);
        assert!(likeness.correlation >= ALIKE && likeness.compared > 0.7, "{likeness:?}");
    }
    for id in [alice, bob] {
        let is_strong = |event: &Event| {
            matches!(
                event,
                Event::Encrypted { cipher: "AES-256-GCM", key_agreement: "DTLS 1.3", post_quantum: true, .. }
            )
        };
        assert!(world.station(id).saw(is_strong));
    }
    assert_eq!((world.open_slots(), world.slots_opened()), (1, 1));
    world.command(alice, Command::HangUp);
    world.wait_ended(&[alice, bob]);
    assert_eq!(ends(&world, alice, bob), (EndReason::HungUpHere, EndReason::HungUpThere));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn both_phones_show_the_same_safety_words() {
    let (mut world, alice, bob) = World::talking(2);
    world.run_for(Duration::from_secs(1));
    let words = |id: StationId| {
        world.station(id).events.iter().find_map(|(_, event)| match event {
            Event::SafetyWords { words, .. } => Some(*words),
            _ => None,
        })
    };
    assert!(words(alice).is_some());
    assert_eq!(words(alice), words(bob));
}

#[test]
fn the_called_side_may_hang_up_too() {
    let (mut world, alice, bob) = World::talking(3);
    world.command(bob, Command::HangUp);
    world.wait_ended(&[alice, bob]);
    assert_eq!(ends(&world, alice, bob), (EndReason::HungUpThere, EndReason::HungUpHere));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn both_sides_may_hang_up_at_the_same_moment() {
    let (mut world, alice, bob) = World::talking(4);
    world.command(alice, Command::HangUp);
    world.command(bob, Command::HangUp);
    world.wait_ended(&[alice, bob]);
    assert_eq!(ends(&world, alice, bob), (EndReason::HungUpHere, EndReason::HungUpHere));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn many_calls_one_after_the_other_in_both_directions_leave_nothing_behind() {
    let (mut world, alice, bob) = World::alice_and_bob(5);
    for round in 1..=6 {
        let (caller, callee) = if round % 2 == 0 { (alice, bob) } else { (bob, alice) };
        let name = world.station(callee).account.clone();
        world.dial(caller, &name);
        world.run_until("it rings", |world| world.station(callee).saw(|e| is_ringing_here(e, round)));
        world.command(callee, Command::Answer);
        world.wait_sound(&[alice, bob]);
        world.command(callee, Command::HangUp);
        world.run_until("both have ended", |world| {
            [alice, bob].iter().all(|id| world.station(*id).count("ended") == round as usize)
        });
        assert_eq!(world.open_slots(), 0, "the slot is freed with the call");
    }
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn a_rejected_call_tells_the_caller_only_that_nobody_can_be_reached_and_only_after_three_seconds() {
    let (mut world, alice, bob) = World::alice_and_bob(6);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(bob, Command::Reject);
    world.wait_ended(&[alice, bob]);
    assert_eq!(ends(&world, alice, bob), (EndReason::CannotBeReached, EndReason::DeclinedHere));
    refused_in_time(&world, alice);
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn unknown_offline_busy_and_declining_are_one_to_the_caller() {
    let mut seen = Vec::new();
    for (n, case) in ["nobody", "offline", "busy", "silent about it"].into_iter().enumerate() {
        let mut world = World::new(70 + n as u64);
        let (alice, bob, carol) = (world.add("alice"), world.add_answering("bob"), world.add("carol"));
        world.wait_ready(&[alice, bob, carol]);
        match case {
            "nobody" => world.dial(alice, "zaphod"),
            "offline" => {
                world.station_mut(bob).online = false;
                world.break_signalling(bob, Break::Reset);
                world.dial(alice, "bob");
            }
            "busy" => {
                world.dial(carol, "bob");
                world.wait_sound(&[carol, bob]);
                world.dial(alice, "bob");
            }
            _ => {
                world.station_mut(bob).frozen = true;
                world.dial(alice, "bob");
            }
        }
        world.wait_ended(&[alice]);
        assert_eq!(world.station(alice).ended(), Some(EndReason::CannotBeReached), "{case}");
        refused_in_time(&world, alice);
        if case == "busy" {
            assert!(world.station(bob).saw(|event| matches!(event, Event::Missed { from } if from.contains("alice"))));
            assert!(world.listen(bob) > LOUD, "the first call goes on");
        }
        let words: Vec<String> = finals(&world, alice).iter().map(|r| format!("{} {}", r.status, r.reason)).collect();
        let headers: Vec<Vec<String>> = finals(&world, alice).iter().map(header_names).collect();
        seen.push((words, headers));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn a_cancelled_call_rings_no_more() {
    let (mut world, alice, bob) = World::alice_and_bob(8);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(alice, Command::HangUp);
    world.run_for(MESSAGES);
    assert_eq!(ends(&world, alice, bob), (EndReason::GaveUp, EndReason::CallerGaveUp));
    nothing_is_left(&mut world, &[alice, bob]);
    assert_eq!(world.station(bob).count("ringing"), 1);
}

#[test]
fn a_call_cancelled_before_it_could_ring_never_rings_for_long() {
    let (mut world, alice, bob) = World::alice_and_bob(9);
    world.dial(alice, "bob");
    world.command(alice, Command::HangUp);
    world.run_for(2 * MESSAGES);
    assert_eq!(world.station(alice).ended(), Some(EndReason::GaveUp));
    assert_eq!(world.station(bob).count("ringing"), world.station(bob).count("ended"));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn a_call_that_is_answered_while_it_is_cancelled_ends_on_both_sides() {
    let (mut world, alice, bob) = World::alice_and_bob(10);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(bob, Command::Answer);
    world.command(alice, Command::HangUp);
    world.wait_ended(&[alice, bob]);
    assert_eq!(world.station(bob).count("sound_started"), 0);
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn a_call_nobody_answers_ends_after_a_minute() {
    let (mut world, alice, bob) = World::alice_and_bob(11);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.run_for(Duration::from_secs(59));
    assert_eq!((world.station(alice).ended(), world.station(bob).ended()), (None, None));
    world.run_for(Duration::from_secs(2));
    assert_eq!(ends(&world, alice, bob), (EndReason::NoAnswer, EndReason::CallerGaveUp));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn hold_and_resume_work_from_either_side_and_the_gateway_never_hears_of_it() {
    for seed in [12, 13] {
        let (mut world, alice, bob) = World::talking(seed);
        let (holder, held) = if seed == 12 { (alice, bob) } else { (bob, alice) };
        let before = requests(&world, holder) + requests(&world, held);
        world.command(holder, Command::Hold(true));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.station(holder).holds(Side::Here), Some(true));
        assert_eq!(world.station(held).holds(Side::There), Some(true));
        assert!(world.listen(held) < SILENCE);
        assert!(world.listen(holder) < SILENCE);
        world.command(holder, Command::Hold(false));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.station(held).holds(Side::There), Some(false));
        assert!(world.listen(held) > LOUD && world.listen(holder) > LOUD);
        assert_eq!(requests(&world, holder) + requests(&world, held), before, "no message but keep-alives");
    }
}

#[test]
fn mute_silences_one_direction_only_and_ends_again() {
    let (mut world, alice, bob) = World::talking(14);
    world.command(alice, Command::Mute(true));
    world.run_for(Duration::from_secs(1));
    assert!(world.listen(bob) < SILENCE);
    assert!(world.listen(alice) > LOUD);
    world.command(alice, Command::Mute(false));
    world.run_for(Duration::from_millis(500));
    assert!(world.listen(bob) > LOUD);
}

#[test]
fn keys_of_the_dial_pad_arrive_once_and_in_order_in_both_directions() {
    let (mut world, alice, bob) = World::talking(15);
    world.set_line(alice, Line { loss: 0.1, ..Line::GOOD });
    for digit in ['4', '2', '#', '*', 'd'] {
        world.command(alice, Command::Dtmf(digit));
    }
    world.command(bob, Command::Dtmf('7'));
    world.run_for(Duration::from_secs(5));
    assert_eq!((world.station(alice).digits(), world.station(bob).digits()), ("7".into(), "42#*D".into()));
}

#[test]
fn phones_that_dial_each_other_at_once_both_end_and_can_call_again() {
    let (mut world, alice, bob) = World::alice_and_bob(16);
    world.dial(alice, "bob");
    world.dial(bob, "alice");
    world.wait_ended(&[alice, bob]);
    assert_eq!(ends(&world, alice, bob), (EndReason::CannotBeReached, EndReason::CannotBeReached));
    nothing_is_left(&mut world, &[alice, bob]);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(bob, Command::Answer);
    world.wait_sound(&[alice, bob]);
}

#[test]
fn a_call_rings_on_both_devices_and_the_caller_gets_exactly_one_answer() {
    let mut world = World::new(17);
    let (alice, desk, pocket) = (world.add("alice"), world.add("bob"), world.add("bob"));
    world.wait_ready(&[alice, desk, pocket]);
    world.dial(alice, "bob");
    world.wait_ringing(desk);
    world.wait_ringing(pocket);
    assert_eq!(world.open_slots(), 2);
    world.command(pocket, Command::Answer);
    world.wait_sound(&[alice, pocket]);
    assert_eq!(world.station(desk).ended(), Some(EndReason::CallerGaveUp), "the other device stops ringing");
    assert_eq!(answers_with_sdp(&world, alice), 1);
    assert_eq!(world.open_slots(), 1);
    assert!(world.listen(pocket) > LOUD && world.listen(alice) > LOUD);
    world.command(alice, Command::HangUp);
    world.wait_ended(&[alice, pocket]);
    nothing_is_left(&mut world, &[alice, desk, pocket]);
}

#[test]
fn two_devices_that_answer_at_once_leave_the_caller_with_one_call() {
    let mut world = World::new(18);
    let (alice, desk, pocket) = (world.add("alice"), world.add_answering("bob"), world.add_answering("bob"));
    world.wait_ready(&[alice, desk, pocket]);
    world.dial(alice, "bob");
    world.wait_sound(&[alice]);
    world.run_for(Duration::from_secs(1));
    assert_eq!(answers_with_sdp(&world, alice), 1);
    assert_eq!(world.open_slots(), 1);
    let talking = [desk, pocket].iter().filter(|id| world.station(**id).has_media()).count();
    assert_eq!(talking, 1);
    world.command(alice, Command::HangUp);
    nothing_is_left(&mut world, &[alice, desk, pocket]);
}

#[test]
fn one_device_that_declines_does_not_take_the_call_from_the_other() {
    let mut world = World::new(19);
    let (alice, desk, pocket) = (world.add("alice"), world.add("bob"), world.add("bob"));
    world.wait_ready(&[alice, desk, pocket]);
    world.station_mut(desk).online = false;
    world.dial(alice, "bob");
    world.wait_ringing(pocket);
    world.break_signalling(desk, Break::Reset);
    world.run_for(Duration::from_secs(4));
    assert_eq!(world.station(alice).ended(), None);
    world.command(pocket, Command::Answer);
    world.wait_sound(&[alice, pocket]);
}

#[test]
fn a_signalling_connection_lost_in_a_call_ends_it_cleanly_and_the_phone_comes_back() {
    for seed in [20, 21] {
        let (mut world, alice, bob) = World::talking(seed);
        let loser = if seed == 20 { alice } else { bob };
        world.break_signalling(loser, Break::Reset);
        world.wait_ended(&[alice, bob]);
        world.run_for(MESSAGES);
        assert_eq!(world.open_slots(), 0);
        world.run_until("it is ready again", |world| world.station(loser).count("ready") == 2);
        nothing_is_left(&mut world, &[alice, bob]);
        world.dial(alice, "bob");
        world.wait_ringing(bob);
        world.command(bob, Command::Answer);
        world.wait_sound(&[alice, bob]);
    }
}

#[test]
fn a_connection_that_dies_silently_is_noticed_and_opened_again() {
    let (mut world, alice, bob) = World::talking(22);
    world.break_signalling(alice, Break::Silent);
    world.wait_ended(&[alice, bob]);
    world.run_until("it is ready again", |world| world.station(alice).count("ready") == 2);
    world.run_until("the slot is free", |world| world.open_slots() == 0);
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn a_connection_lost_while_it_rings_ends_the_call_on_both_sides() {
    for (seed, caller_loses) in [(23, true), (24, false)] {
        let (mut world, alice, bob) = World::alice_and_bob(seed);
        world.dial(alice, "bob");
        world.wait_ringing(bob);
        world.break_signalling(if caller_loses { alice } else { bob }, Break::Reset);
        world.wait_ended(&[alice, bob]);
        nothing_is_left(&mut world, &[alice, bob]);
    }
}

#[test]
fn a_phone_that_dies_in_a_call_frees_the_relay_and_the_other_person_learns_it() {
    let (mut world, alice, bob) = World::talking(25);
    world.station_mut(bob).frozen = true;
    let took = world.run_until("alice's call has ended", |world| world.station(alice).count("ended") > 0);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(world.station(alice).ended(), Some(EndReason::ConnectionLost));
    world.run_for(AFTERMATH);
    assert_eq!(world.open_slots(), 0);
}

#[test]
fn a_call_whose_both_phones_vanished_is_ended_by_the_relays_silence() {
    let (mut world, alice, bob) = World::talking(26);
    for id in [alice, bob] {
        world.station_mut(id).frozen = true;
        world.break_signalling(id, Break::Silent);
    }
    world.run_for(Duration::from_secs(50));
    assert_eq!(world.open_slots(), 0);
}

#[test]
fn session_expiry_ends_a_dead_call_even_if_the_relay_says_nothing() {
    let (mut world, alice, bob) = World::talking(27);
    world.lose_relay_reports();
    for id in [alice, bob] {
        world.station_mut(id).frozen = true;
        world.break_signalling(id, Break::Silent);
    }
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.open_slots(), 1, "nobody else ends it");
    world.run_for(Duration::from_secs(600));
    assert_eq!(world.open_slots(), 0);
}

#[test]
fn sound_correlates_without_loss_and_flows_with_it() {
    for (n, loss) in [0.0, 0.05, 0.20, 0.30].into_iter().enumerate() {
        let (mut world, alice, bob) = World::talking(30 + n as u64);
        world.set_line(bob, Line::bad(loss));
        world.run_for(Duration::from_secs(2));
        for (speaker, listener) in [(alice, bob), (bob, alice)] {
            let likeness = world.likeness(speaker, listener, 4);
            let least = [ALIKE, 0.8, 0.5, 0.35][n];
            assert!(likeness.correlation >= least, "{loss}: {likeness:?}");
        }
        assert!(world.listen(bob) > LOUD && world.listen(alice) > LOUD, "{loss}");
        assert_eq!(world.station(alice).ended(), None);
    }
}

#[test]
fn a_call_can_begin_on_a_bad_line() {
    for (n, loss) in [0.05, 0.20, 0.30].into_iter().enumerate() {
        let (mut world, alice, bob) = World::alice_and_bob(40 + n as u64);
        world.set_line(alice, Line::bad(loss));
        world.dial(alice, "bob");
        world.wait_ringing(bob);
        world.command(bob, Command::Answer);
        let took = world.run_until("sound has started", |world| {
            [alice, bob].iter().all(|id| world.station(*id).count("sound_started") == 1)
        });
        assert!(took < Duration::from_secs(10), "{loss}: {took:?}");
    }
}

#[test]
fn a_call_without_any_media_path_says_so_and_frees_the_slot() {
    let (mut world, alice, bob) = World::alice_and_bob(44);
    world.set_line(bob, Line::DEAD);
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.command(bob, Command::Answer);
    world.wait_ended(&[alice, bob]);
    let ended = ends(&world, alice, bob);
    let why = [ended.0, ended.1];
    assert!(why.iter().any(|why| matches!(why, EndReason::NoPath | EndReason::NoKeys)), "{why:?}");
    assert_eq!(world.station(alice).count("sound_started") + world.station(bob).count("sound_started"), 0);
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn a_new_address_from_the_network_interrupts_the_sound_for_seconds_at_most() {
    for (seed, caller_moves) in [(45, true), (46, false)] {
        let (mut world, alice, bob) = World::talking(seed);
        world.run_for(Duration::from_secs(1));
        world.rebind(if caller_moves { alice } else { bob });
        world.run_for(Duration::from_secs(10));
        assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD);
        assert_eq!((world.station(alice).ended(), world.station(bob).ended()), (None, None));
    }
}

#[test]
fn a_short_outage_of_the_media_line_does_not_end_the_call() {
    let (mut world, alice, bob) = World::talking(47);
    world.set_line(alice, Line::DEAD);
    world.run_for(Duration::from_secs(15));
    world.set_line(alice, Line::GOOD);
    world.run_for(Duration::from_secs(6));
    assert!(world.listen(alice) > LOUD && world.listen(bob) > LOUD);
    assert_eq!((world.station(alice).ended(), world.station(bob).ended()), (None, None));
}

#[test]
fn a_phone_without_a_gateway_keeps_trying_and_becomes_ready() {
    let mut world = World::new(48);
    let alice = world.add("alice");
    world.station_mut(alice).online = false;
    world.break_signalling(alice, Break::Reset);
    world.run_for(Duration::from_secs(60));
    assert!(world.station(alice).count("not_connected") >= 2);
    world.station_mut(alice).online = true;
    world.wait_ready(&[alice]);
}

#[test]
fn quitting_in_a_call_hangs_up_signs_off_and_stops() {
    let (mut world, alice, bob) = World::talking(49);
    world.command(alice, Command::Quit);
    world.run_until("it has stopped", |world| world.station(alice).count("stopped") == 1);
    world.wait_ended(&[bob]);
    assert_eq!(world.station(bob).ended(), Some(EndReason::HungUpThere));
    world.dial(bob, "alice");
    world.run_until("the second call has ended", |world| world.station(bob).count("ended") == 2);
    assert_eq!(world.station(bob).ended(), Some(EndReason::CannotBeReached));
    nothing_is_left(&mut world, &[alice, bob]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (mut world, alice, bob) = World::talking(seed);
        world.set_line(alice, Line::bad(0.1));
        world.run_for(Duration::from_secs(2));
        world.command(bob, Command::Hold(true));
        world.run_for(Duration::from_secs(1));
        world.command(bob, Command::Hold(false));
        world.command(alice, Command::Dtmf('5'));
        world.run_for(Duration::from_secs(1));
        world.command(bob, Command::HangUp);
        world.run_for(Duration::from_secs(5));
        world.transcript
    };
    let (first, second, other) = (run(50), run(50), run(51));
    assert_eq!(first.first_difference(&second), None);
    assert_eq!(first.digest(), second.digest());
    assert!(first.lines().len() > 500);
    assert_ne!(first.digest(), other.digest());
}

fn ends(world: &World, a: StationId, b: StationId) -> (EndReason, EndReason) {
    (world.station(a).ended().unwrap(), world.station(b).ended().unwrap())
}

fn nothing_is_left(world: &mut World, ids: &[StationId]) {
    world.run_for(AFTERMATH);
    assert_eq!(world.open_slots(), 0, "relay slots");
    assert!(world.gateway_is_idle(), "calls, sessions and transactions of the gateway");
    assert!(ids.iter().all(|id| !world.station(*id).has_media()), "media paths");
}

/// The caller heard of the refusal when the gateway tells everybody, whatever the reason.
fn refused_in_time(world: &World, caller: StationId) {
    let station = world.station(caller);
    let took = station.last("ended").unwrap() - station.last("calling").unwrap();
    assert!(took >= REFUSAL_AFTER - REFUSAL_JITTER, "{took:?}");
    assert!(took <= REFUSAL_AFTER + REFUSAL_JITTER + MESSAGES, "{took:?}");
}

fn is_ringing_here(event: &Event, call: u64) -> bool {
    matches!(event, Event::Ringing { call: id, at: Side::Here, .. } if id.0 == call)
}

fn messages(exchanges: &[Exchange]) -> Vec<Message> {
    let signalling = exchanges.iter().filter(|exchange| exchange.kind == Kind::Signalling);
    signalling.filter_map(|exchange| parse(&exchange.bytes).ok()).collect()
}

/// Messages that crossed the phone's connection, keep-alives left out.
fn requests(world: &World, id: StationId) -> usize {
    messages(&world.station(id).sent).len() + messages(&world.station(id).received).len()
}

fn invite_answers(world: &World, id: StationId) -> Vec<undertone_sip::wire::Response> {
    let answer = |message| match message {
        Message::Response(r) if r.headers.cseq().unwrap().method == Method::Invite => Some(r),
        _ => None,
    };
    messages(&world.station(id).received).into_iter().filter_map(answer).collect()
}

fn finals(world: &World, id: StationId) -> Vec<undertone_sip::wire::Response> {
    invite_answers(world, id).into_iter().filter(|response| response.status >= 200).collect()
}

fn answers_with_sdp(world: &World, id: StationId) -> usize {
    invite_answers(world, id).iter().filter(|response| !response.body.is_empty()).count()
}

fn header_names(response: &undertone_sip::wire::Response) -> Vec<String> {
    response.headers.iter().map(|(name, _)| format!("{name:?}")).collect()
}

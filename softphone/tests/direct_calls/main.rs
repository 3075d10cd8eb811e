//! Calls between two phones without a gateway, in virtual time over links that lose and delay.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::cast_precision_loss)]

mod world;

use std::time::Duration;

use undertone::core::command::Command;
use undertone::core::event::{EndReason, Event, NotDone, Side, Verification};
use world::{DEAD, Link, World};

const SILENCE: f32 = 0.01;
const LOUD: f32 = 0.1;

#[test]
fn two_phones_call_answer_talk_and_hang_up() {
    let mut world = World::new(1, 2);
    assert!(world.saw(0, |event| matches!(event, Event::Ready { address } if address == "sip:phone0@10.0.0.1:5060")));
    world.dial(0, 1);
    world.run_until(|world| world.saw(0, |event| matches!(event, Event::Ringing { at: Side::There, .. })));
    assert!(world.saw(1, |event| {
        matches!(event, Event::Ringing { at: Side::Here, other, .. } if other == "phone0@10.0.0.1:5060")
    }));
    world.command(1, Command::Answer);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
    for side in [0, 1] {
        assert!(world.saw(side, |event| matches!(
            event,
            Event::Encrypted {
                cipher: "AES-256-GCM", key_agreement: "DTLS 1.3", post_quantum: true, verification, ..
            } if *verification == Verification::NotVerified
        )));
        assert!(world.listen(side) > LOUD);
    }
    world.run_until(|world| world.safety_words(0).is_some() && world.safety_words(1).is_some());
    assert_eq!(world.safety_words(0), world.safety_words(1), "nobody sits in between");
    world.command(0, Command::HangUp);
    world.run_until(|world| world.ended(1).is_some());
    assert_eq!(world.ended(0), Some(EndReason::HungUpHere));
    assert_eq!(world.ended(1), Some(EndReason::HungUpThere));
    assert!(!world.has_media(0) && !world.has_media(1));
}

#[test]
fn the_called_side_may_hang_up_too() {
    let mut world = World::talking(2);
    world.command(1, Command::HangUp);
    world.run_until(|world| world.ended(0).is_some());
    assert_eq!(world.ended(0), Some(EndReason::HungUpThere));
    assert_eq!(world.ended(1), Some(EndReason::HungUpHere));
}

#[test]
fn a_phone_can_make_many_calls_one_after_the_other_in_both_directions() {
    let mut world = World::answering(3, 2);
    for round in 1..=4 {
        let (caller, callee) = (round % 2, (round + 1) % 2);
        world.dial(caller, callee);
        world.run_until(|world| world.count(0, "sound_started") == round && world.count(1, "sound_started") == round);
        world.command(caller, Command::HangUp);
        world.run_until(|world| world.count(0, "ended") == round && world.count(1, "ended") == round);
    }
}

#[test]
fn a_call_over_tcp_works_alike() {
    let mut world = World::answering(4, 2);
    world.dial_over_tcp(0, 1);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
    world.command(0, Command::HangUp);
    world.run_until(|world| world.ended(1).is_some());
    assert_eq!(world.ended(1), Some(EndReason::HungUpThere));
}

#[test]
fn a_declined_call_says_so_and_rings_no_more() {
    let mut world = World::new(5, 2);
    world.dial(0, 1);
    world.run_until(|world| world.count(1, "ringing") == 1);
    world.command(1, Command::Reject);
    world.run_until(|world| world.ended(0).is_some());
    assert_eq!(world.ended(0), Some(EndReason::DeclinedThere));
    assert_eq!(world.ended(1), Some(EndReason::DeclinedHere));
    world.command(1, Command::Answer);
    assert!(world.saw(1, |event| matches!(event, Event::NotDone { why: NotDone::NothingToAnswer })));
}

#[test]
fn a_busy_phone_refuses_a_further_caller_and_stays_in_its_call() {
    let mut world = World::answering(6, 3);
    world.dial(0, 1);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
    world.dial(2, 1);
    world.run_until(|world| world.ended(2).is_some());
    assert_eq!(world.ended(2), Some(EndReason::Busy));
    assert!(world.saw(1, |event| matches!(event, Event::Missed { from } if from == "phone2@10.0.0.3:5060")));
    assert!(world.listen(1) > LOUD);
}

#[test]
fn phones_that_call_each_other_at_once_find_each_other_busy_and_can_call_again() {
    let mut world = World::answering(7, 2);
    world.dial(0, 1);
    world.dial(1, 0);
    world.run_until(|world| world.ended(0).is_some() && world.ended(1).is_some());
    assert_eq!(world.ended(0), Some(EndReason::Busy));
    assert_eq!(world.ended(1), Some(EndReason::Busy));
    world.dial(0, 1);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
}

#[test]
fn a_cancelled_call_rings_no_more() {
    let mut world = World::new(8, 2);
    world.dial(0, 1);
    world.run_until(|world| world.count(0, "ringing") == 1);
    world.command(0, Command::HangUp);
    world.run_until(|world| world.ended(1).is_some());
    assert_eq!(world.ended(0), Some(EndReason::GaveUp));
    assert_eq!(world.ended(1), Some(EndReason::CallerGaveUp));
}

#[test]
fn a_call_nobody_answers_ends_after_a_minute() {
    let mut world = World::new(9, 2);
    world.dial(0, 1);
    world.run_for(Duration::from_secs(59));
    assert_eq!((world.ended(0), world.ended(1)), (None, None));
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.ended(0), Some(EndReason::NoAnswer));
    assert_eq!(world.ended(1), Some(EndReason::CallerGaveUp));
}

#[test]
fn a_phone_that_is_not_there_cannot_be_reached() {
    let mut world = World::new(10, 1);
    world.command(0, Command::Dial { uri: "sip:nobody@10.0.0.50:5060".into() });
    world.run_until(|world| world.ended(0).is_some());
    assert_eq!(world.ended(0), Some(EndReason::CannotBeReached));
    world.command(0, Command::Dial { uri: "sip:nobody@10.0.0.50:5060;transport=tcp".into() });
    world.run_until(|world| world.count(0, "ended") == 2);
    assert_eq!(world.ended(0), Some(EndReason::CannotBeReached));
}

#[test]
fn mute_silences_one_direction_only_and_ends_again() {
    let mut world = World::talking(11);
    world.command(0, Command::Mute(true));
    world.run_for(Duration::from_secs(1));
    assert!(world.listen(1) < SILENCE);
    assert!(world.listen(0) > LOUD);
    world.command(0, Command::Mute(false));
    world.run_for(Duration::from_secs(1));
    assert!(world.listen(1) > LOUD);
}

#[test]
fn who_mutes_before_the_call_is_answered_is_not_heard() {
    let mut world = World::new(12, 2);
    world.dial(0, 1);
    world.run_until(|world| world.count(1, "ringing") == 1);
    world.command(0, Command::Mute(true));
    world.command(1, Command::Answer);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
    assert!(world.listen(1) < SILENCE);
    assert!(world.listen(0) > LOUD);
}

#[test]
fn hold_and_resume_work_from_either_side_between_our_phones() {
    hold_and_resume(World::talking(13));
}

#[test]
fn hold_and_resume_work_from_either_side_towards_a_foreign_phone() {
    hold_and_resume(World::talking_as_foreigners(14));
}

#[test]
fn both_sides_may_hold_at_the_same_moment_whatever_the_kind_of_phone() {
    for mut world in [World::talking(15), World::talking_as_foreigners(16)] {
        world.command(0, Command::Hold(true));
        world.command(1, Command::Hold(true));
        world.run_for(Duration::from_secs(6));
        for side in [0, 1] {
            assert_eq!(held(&world, side, Side::Here), Some(true), "{:#?}", world.events(side));
            assert_eq!(held(&world, side, Side::There), Some(true), "{:#?}", world.events(side));
            assert!(world.listen(side) < SILENCE);
        }
        world.command(0, Command::Hold(false));
        world.command(1, Command::Hold(false));
        world.run_for(Duration::from_secs(6));
        for side in [0, 1] {
            assert_eq!(held(&world, side, Side::There), Some(false), "{:#?}", world.events(side));
            assert!(world.listen(side) > LOUD);
        }
        assert_eq!(world.ended(0), None);
    }
}

#[test]
fn a_foreign_phone_may_be_silent_while_the_call_is_on_hold_but_not_after() {
    let mut world = World::talking_as_foreigners(41);
    world.command(0, Command::Hold(true));
    world.run_for(Duration::from_secs(2));
    world.media = DEAD;
    world.run_for(Duration::from_secs(60));
    assert_eq!((world.ended(0), world.ended(1)), (None, None));
    world.command(0, Command::Hold(false));
    world.run_for(Duration::from_secs(28));
    assert_eq!((world.ended(0), world.ended(1)), (None, None));
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.ended(0), Some(EndReason::ConnectionLost));
}

#[test]
fn keys_of_the_dial_pad_arrive_once_and_in_order() {
    for mut world in [World::talking(17), World::talking_as_foreigners(18)] {
        for digit in ['1', '#', '*', 'a'] {
            world.command(0, Command::Dtmf(digit));
        }
        world.command(0, Command::Dtmf('x'));
        world.run_for(Duration::from_secs(4));
        let pressed: String = world
            .events(1)
            .iter()
            .filter_map(|event| if let Event::Digit { digit, .. } = event { Some(*digit) } else { None })
            .collect();
        assert_eq!(pressed, "1#*A");
        assert!(world.saw(0, |event| matches!(event, Event::NotDone { why: NotDone::NotADigit })));
    }
}

#[test]
fn a_foreign_phone_is_called_encrypted_but_never_verified() {
    let world = World::talking_as_foreigners(19);
    for side in [0, 1] {
        assert!(world.saw(side, |event| matches!(
            event,
            Event::Encrypted {
                key_agreement: "DTLS 1.2",
                post_quantum: false,
                verification: Verification::CannotBeVerified,
                ..
            }
        )));
    }
}

#[test]
fn a_bad_line_delays_the_call_but_does_not_prevent_it() {
    for seed in 20..26 {
        let mut world = World::answering(seed, 2);
        world.media = Link { loss_percent: 15, delay_ms: 40, jitter_ms: 30 };
        world.signalling = Link { loss_percent: 25, delay_ms: 40, jitter_ms: 60 };
        world.dial(0, 1);
        world.run_until(|world| world.in_sound(0) && world.in_sound(1));
        assert!(world.listen(0) > LOUD / 2.0, "seed {seed}");
        world.command(1, Command::HangUp);
        world.run_until(|world| world.ended(0).is_some());
        assert!(matches!(world.ended(0), Some(EndReason::HungUpThere)), "seed {seed}: {:?}", world.ended(0));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    // The DTLS engine draws the pauses of its repetitions itself: the line gets bad once its few datagrams are through.
    let run = |seed| {
        let mut world = World::talking(seed);
        world.signalling = Link { loss_percent: 30, delay_ms: 20, jitter_ms: 20 };
        world.media = Link { loss_percent: 10, delay_ms: 20, jitter_ms: 20 };
        world.run_for(Duration::from_secs(8));
        world.command(0, Command::HangUp);
        world.run_for(Duration::from_secs(3));
        // The words rest on keys that the DTLS engine draws itself.
        let is_drawn_by_dtls = |event: &Event| matches!(event, Event::SafetyWords { .. });
        world.all_events().into_iter().filter(|(_, _, event)| !is_drawn_by_dtls(event)).collect::<Vec<_>>()
    };
    assert_eq!(run(30), run(30));
}

#[test]
fn a_call_without_any_media_path_ends_after_ten_seconds_with_the_reason() {
    let mut world = World::answering(31, 2);
    world.media = DEAD;
    world.dial(0, 1);
    world.run_until(|world| world.ended(0).is_some() && world.ended(1).is_some());
    let reasons = [world.ended(0), world.ended(1)];
    assert!(reasons.contains(&Some(EndReason::NoKeys)), "{reasons:?}");
    assert!((10..12).contains(&world.elapsed().as_secs()));
    assert!(!world.in_sound(0) && !world.in_sound(1));
}

#[test]
fn a_peer_that_falls_silent_for_good_is_given_up() {
    let mut world = World::talking(32);
    let at = world.elapsed();
    world.media = DEAD;
    world.signalling = DEAD;
    world.run_until(|world| world.ended(0).is_some() && world.ended(1).is_some());
    assert_eq!(world.ended(0), Some(EndReason::ConnectionLost));
    let waited = (world.elapsed() - at).as_secs();
    assert!((30..45).contains(&waited), "{waited} s");
}

#[test]
fn a_short_outage_does_not_end_the_call() {
    let mut world = World::talking(33);
    let good = world.media;
    world.media = DEAD;
    world.run_for(Duration::from_secs(20));
    world.media = good;
    world.run_for(Duration::from_secs(2));
    assert!(world.listen(0) > LOUD);
    assert_eq!(world.ended(0), None);
}

#[test]
fn a_key_that_is_not_the_announced_one_ends_the_call_before_any_sound() {
    let mut world = World::answering(34, 2);
    world.tamper = Some(Box::new(other_fingerprint));
    world.dial(0, 1);
    world.run_until(|world| world.ended(0).is_some() && world.ended(1).is_some());
    let reasons = [world.ended(0), world.ended(1)];
    assert!(reasons.contains(&Some(EndReason::WrongKey)), "{reasons:?}");
    assert_eq!(world.count(0, "encrypted") + world.count(0, "sound_started"), 0);
    assert_eq!(world.count(1, "sound_started"), 0);
}

#[test]
fn quitting_hangs_up_and_stops() {
    let mut world = World::talking(35);
    world.command(0, Command::Quit);
    world.run_until(|world| world.count(0, "stopped") == 1);
    assert_eq!(world.ended(1), Some(EndReason::HungUpThere));
    assert_eq!(world.flows(0), 0);
    world.dial(0, 1);
    assert!(world.saw(0, |event| matches!(event, Event::NotDone { why: NotDone::Stopping })));
}

#[test]
fn commands_without_a_call_say_why_not() {
    let mut world = World::new(36, 1);
    let commands = [Command::HangUp, Command::Mute(true), Command::Hold(true), Command::Dtmf('1'), Command::Answer];
    for (n, command) in commands.into_iter().enumerate() {
        world.command(0, command);
        assert_eq!(world.count(0, "not_done"), n + 1);
    }
    world.command(0, Command::Dial { uri: "bob".into() });
    assert!(world.saw(0, |event| matches!(event, Event::NotDone { why: NotDone::BadAddress { .. } })));
}

#[test]
fn offers_that_could_not_be_protected_are_refused_with_a_reason_and_never_ring() {
    for (name, sdp, words) in [
        ("plain", offer("RTP/AVP", ""), "unencrypted"),
        ("sdes", offer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"), "SDES"),
        ("zrtp", offer("RTP/AVP", "a=zrtp-hash:1.10 00\r\n"), "ZRTP"),
        ("no fingerprint", offer("UDP/TLS/RTP/SAVP", "a=setup:actpass\r\na=rtcp-mux\r\n"), "fingerprint"),
    ] {
        let mut world = World::answering(37, 1);
        world.speak(0, &invite("1", &sdp));
        world.run_for(Duration::from_millis(100));
        let refusal = world.to_stranger.iter().find(|text| text.starts_with("SIP/2.0 488")).cloned();
        let refusal = refusal.unwrap_or_else(|| panic!("{name}: {:?}", world.to_stranger));
        assert!(refusal.lines().next().unwrap().contains(words), "{name}: {refusal}");
        assert_eq!(world.count(0, "refused"), 1, "{name}");
        assert_eq!(world.count(0, "ringing") + world.count(0, "connecting"), 0, "{name}");
    }
}

#[test]
fn damaged_messages_and_noise_neither_stop_the_phone_nor_its_call() {
    let mut world = World::talking(42);
    let fingerprint = format!("a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=rtcp-mux\r\n", ["AB"; 32].join(":"));
    let whole = invite("2", &offer("UDP/TLS/RTP/SAVP", &fingerprint));
    for at in 0..whole.len() {
        let mut damaged = whole.clone().into_bytes();
        damaged[at] ^= 1 << (at % 7);
        world.speak(1, &String::from_utf8_lossy(&damaged));
        world.speak(1, &whole[..at]);
    }
    world.run_for(Duration::from_secs(2));
    assert!(world.listen(1) > LOUD);
    assert_eq!(world.ended(1), None);
    assert!(world.flows(1) <= 2, "one for the call, one for the stranger");
}

#[test]
fn strangers_cannot_take_more_flows_than_there_are() {
    let mut world = World::new(38, 1);
    for n in 0..100 {
        world.speak(0, &format!("OPTIONS sip:phone0@10.0.0.1 SIP/2.0\r\nCSeq: {n} OPTIONS\r\n\r\n"));
    }
    assert!(world.flows(0) <= 1);
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.flows(0), 0, "a flow without a call is closed after a while");
}

#[test]
fn a_lost_signalling_connection_ends_the_call_with_the_reason() {
    let mut world = World::answering(39, 2);
    world.dial_over_tcp(0, 1);
    world.run_until(|world| world.in_sound(0) && world.in_sound(1));
    world.break_flows(0);
    assert_eq!(world.ended(0), Some(EndReason::ConnectionLost));
    assert!(!world.has_media(0));
}

#[test]
fn the_person_learns_which_addresses_the_call_touched() {
    let mut world = World::talking(40);
    world.run_for(Duration::from_secs(3));
    let addresses = world.events(0).iter().find_map(|event| match event {
        Event::Statistics(statistics) => Some(statistics.addresses.clone()),
        _ => None,
    });
    assert_eq!(addresses, Some(vec!["10.0.0.2:4000".parse().unwrap()]));
}

fn hold_and_resume(mut world: World) {
    for (holder, held_one) in [(0, 1), (1, 0)] {
        world.command(holder, Command::Hold(true));
        world.run_for(Duration::from_secs(2));
        assert_eq!(held(&world, holder, Side::Here), Some(true));
        assert_eq!(held(&world, held_one, Side::There), Some(true), "{:#?}", world.events(held_one));
        assert!(world.listen(holder) < SILENCE, "who holds hears nothing");
        assert!(world.listen(held_one) < SILENCE, "who is held hears nothing");
        world.command(holder, Command::Hold(false));
        world.run_for(Duration::from_secs(3));
        assert_eq!(held(&world, held_one, Side::There), Some(false), "{:#?}", world.events(held_one));
        assert!(world.listen(holder) > LOUD);
        assert!(world.listen(held_one) > LOUD);
    }
    assert_eq!((world.ended(0), world.ended(1)), (None, None));
}

fn held(world: &World, side: usize, by: Side) -> Option<bool> {
    world.events(side).iter().rev().find_map(|event| match event {
        Event::OnHold { by: who, on, .. } if *who == by => Some(*on),
        _ => None,
    })
}

/// Changes one digit of the fingerprint, as a gateway in between would change all of it.
fn other_fingerprint(sdp: &str) -> String {
    let change = |line: &str| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(digits) => {
            let first = if digits.starts_with('0') { "1" } else { "0" };
            format!("a=fingerprint:sha-256 {first}{}", &digits[1..])
        }
        None => line.to_owned(),
    };
    sdp.split("\r\n").map(change).collect::<Vec<_>>().join("\r\n")
}

fn offer(transport: &str, attributes: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.99\r\ns=-\r\nc=IN IP4 10.0.0.99\r\nt=0 0\r\n\
         m=audio 4000 {transport} 111\r\na=rtpmap:111 opus/48000/2\r\n{attributes}"
    )
}

fn invite(call: &str, sdp: &str) -> String {
    format!(
        "INVITE sip:phone0@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call}\r\n\
         From: <sip:mallory@{from}>;tag=m\r\nTo: <sip:phone0@10.0.0.1>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:mallory@{from}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{sdp}",
        from = world::STRANGER,
        length = sdp.len(),
    )
}

//! Calls through the gateway's core in virtual time: what each phone hears of what the others do.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod world;

use std::time::Duration;

use undertone_gateway::core::limits::MAX_CALLS_PER_ACCOUNT;
use undertone_gateway::core::relay::RelayEvent;
use undertone_gateway::core::totals::Count;
use undertone_gateway::core::{REFUSAL_AFTER, REFUSAL_JITTER};
use undertone_sip::sdp::Setup;
use undertone_sip::user_agent::{EndCause, Event};
use undertone_sip::wire::{HeaderName, Message, Method, Response};
use world::{DOMAIN, PhoneId, World, answer, description, offer, plain_offer, uri};

#[test]
fn a_call_is_answered_and_either_side_hangs_up() {
    for caller_hangs_up in [true, false] {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        let (here, there) = world.talk(alice, bob);
        assert_eq!(world.statuses(alice), [180, 200]);
        assert!(world.events(alice).iter().any(|event| matches!(event, Event::Answered { .. })));
        assert!(world.events(bob).iter().any(|event| matches!(event, Event::Confirmed { .. })));
        assert_eq!(world.slots.len(), 1);
        world.advance(Duration::from_secs(60));
        if caller_hangs_up {
            world.hang_up(alice, here);
            assert_eq!(world.ended(bob), [EndCause::RemoteBye]);
        } else {
            world.hang_up(bob, there);
            assert_eq!(world.ended(alice), [EndCause::RemoteBye]);
        }
        assert!(world.slots.is_empty());
        world.advance(Duration::from_secs(33));
        assert!(world.gateway.is_idle(), "nothing of the call is kept");
    }
}

#[test]
fn a_caller_who_offers_video_too_gets_it_refused_line_by_line() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let with_video =
        String::from_utf8(offer(0)).unwrap() + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n";
    world.call_as(alice, "sip:alice@gw.example", "sip:bob@gw.example", with_video.into_bytes());
    let offered = world.texts(bob).pop().unwrap();
    assert!(!offered.contains("video"));
    world.accept(bob);
    let answered = world.texts(alice).into_iter().rfind(|text| text.contains("m=audio")).unwrap();
    assert!(answered.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"), "{answered}");
}

#[test]
fn each_phone_is_told_the_relay_and_the_others_certificate() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.talk(alice, bob);
    let offered = world.offered_to(bob).unwrap();
    let answered = world.answered_to(alice);
    let (caller_ufrag, callee_ufrag) = world.slots.values().next().unwrap().clone();
    for (told, other, ufrag) in [(&offered, alice, callee_ufrag), (&answered, bob, caller_ufrag)] {
        let own = description(other.0 as u8);
        assert_eq!(told.fingerprint, own.fingerprint);
        assert_eq!(told.tls_id, own.tls_id);
        assert_eq!(told.codecs, own.codecs);
        assert!(told.vfy);
        let ice = told.ice.as_ref().unwrap();
        assert_eq!((ice.ufrag.as_str(), ice.lite), (ufrag.as_str(), true));
        let candidates: Vec<String> = ice.candidates.iter().map(|c| c.addr.to_string()).collect();
        assert_eq!(candidates, [world::RELAY_V4, world::RELAY_V6]);
        assert_eq!(format!("{}:{}", told.address.unwrap(), told.port), world::RELAY_V4);
    }
}

#[test]
fn a_caller_who_gives_up_stops_every_device_from_ringing() {
    let mut world = World::new(1);
    let (alice, desk, mobile) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
    let call = world.call(alice, "bob");
    world.ring(desk);
    world.ring(mobile);
    world.hang_up(alice, call);
    assert_eq!(world.ended(desk), [EndCause::RemoteCancel]);
    assert_eq!(world.ended(mobile), [EndCause::RemoteCancel]);
    assert_eq!(world.statuses(alice), [180, 487]);
    assert!(world.slots.is_empty());
}

#[test]
fn one_device_answers_and_the_others_stop_ringing() {
    let mut world = World::new(1);
    let (alice, desk, mobile) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
    world.call(alice, "bob");
    assert_eq!(world.slots.len(), 2, "each device has a place of its own in the relay");
    world.ring(desk);
    world.ring(mobile);
    world.accept(mobile);
    assert_eq!(world.statuses(alice), [180, 200]);
    assert_eq!(world.ended(desk), [EndCause::RemoteCancel]);
    assert_eq!(world.slots.len(), 1);
    let answer = world.answered_to(alice);
    assert_eq!(answer.fingerprint, description(mobile.0 as u8).fingerprint);
    let (caller_ufrag, _) = world.slots.values().next().unwrap();
    assert_eq!(&answer.ice.unwrap().ufrag, caller_ufrag, "the caller is led to the winner's place");
}

#[test]
fn two_devices_answering_at_once_make_one_call() {
    let mut world = World::new(1);
    let (alice, desk, mobile) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
    world.call(alice, "bob");
    let now = world.now;
    for id in [desk, mobile] {
        let session = world.ringing_at(id).unwrap();
        let body = answer(id.0 as u8, &world.offered_to(id).unwrap());
        world.phones[id.0].agent.accept(session, uri("sip:b@x.invalid"), body, now);
    }
    world.settle();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.statuses(alice), [200]);
    assert_eq!(world.slots.len(), 1);
    let over = [world.ended(desk).len(), world.ended(mobile).len()];
    assert_eq!(over.iter().sum::<usize>(), 1, "exactly one of them was let go: {over:?}");
}

#[test]
fn a_device_that_declines_for_good_silences_the_others() {
    let mut world = World::new(1);
    let (alice, desk, mobile) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
    world.call(alice, "bob");
    world.ring(desk);
    world.reject(mobile, 603);
    assert_eq!(world.ended(desk), [EndCause::RemoteCancel]);
    world.advance(REFUSAL_AFTER + REFUSAL_JITTER);
    assert_eq!(world.statuses(alice), [180, 480]);
}

#[test]
fn a_busy_device_does_not_stop_the_other() {
    let mut world = World::new(1);
    let (alice, desk, mobile) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
    world.call(alice, "bob");
    world.reject(desk, 486);
    world.ring(mobile);
    world.advance(Duration::from_secs(10));
    world.accept(mobile);
    assert_eq!(world.statuses(alice), [180, 200]);
}

#[test]
fn whatever_the_reason_a_refusal_looks_the_same_and_comes_after_three_seconds() {
    let mut seen: Vec<(Response, Duration)> = Vec::new();
    for reason in ["unknown", "offline", "busy", "declined", "silent", "unusable", "redirects", "gone"] {
        let mut world = World::new(3);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        let began = world.elapsed();
        let callee = match reason {
            "unknown" => "nobody",
            "offline" => "carol",
            _ => "bob",
        };
        world.call(alice, callee);
        match reason {
            "busy" => world.reject(bob, 486),
            "declined" => world.reject(bob, 603),
            "unusable" => world.reject(bob, 488),
            "redirects" => world.reject(bob, 302),
            "gone" => world.disconnect(bob),
            _ => {}
        }
        world.advance(Duration::from_secs(10));
        assert!(world.slots.is_empty());
        let (at, response) = final_response(&world, alice);
        seen.push((response, at - began));
    }
    for (response, after) in &seen {
        assert_eq!((response.status, response.reason.as_str()), (480, "Temporarily Unavailable"));
        let names: Vec<_> = response.headers.iter().map(|(name, _)| name).collect();
        let first: Vec<_> = seen[0].0.headers.iter().map(|(name, _)| name).collect();
        assert_eq!((names, &response.body), (first, &seen[0].0.body));
        assert!(*after >= REFUSAL_AFTER - REFUSAL_JITTER && *after <= REFUSAL_AFTER + REFUSAL_JITTER, "{after:?}");
    }
}

#[test]
fn refusals_do_not_come_at_one_exact_moment() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    let mut moments = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let began = world.elapsed();
        world.call(alice, "nobody");
        world.advance(Duration::from_secs(5));
        moments.insert(final_response(&world, alice).0 - began);
    }
    assert!(moments.len() >= 19);
}

#[test]
fn a_person_who_declines_while_it_rings_is_told_at_once() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.call(alice, "bob");
    world.ring(bob);
    world.advance(Duration::from_secs(20));
    assert_eq!(world.statuses(alice), [180]);
    world.reject(bob, 486);
    assert_eq!(world.statuses(alice), [180, 480]);
}

#[test]
fn a_phone_that_rings_forever_is_given_up() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.call(alice, "bob");
    world.ring(bob);
    world.advance(Duration::from_secs(300));
    // 180 is repeated every minute (RFC 3261 §13.3.1.1).
    assert_eq!(world.statuses(alice), [180, 180, 180, 480]);
    assert!(!world.ended(bob).is_empty());
    assert!(world.slots.is_empty());
}

#[test]
fn an_early_answer_passes_only_from_a_single_device_and_stays_the_only_one() {
    for devices in [1, 2] {
        let mut world = World::new(1);
        let alice = world.phone("alice");
        let bobs: Vec<PhoneId> = (0..devices).map(|_| world.phone("bob")).collect();
        world.call(alice, "bob");
        let session = world.ringing_at(bobs[0]).unwrap();
        let body = answer(bobs[0].0 as u8, &world.offered_to(bobs[0]).unwrap());
        world.act(bobs[0], |agent, now| agent.ring(session, 183, Some(body), now));
        assert_eq!(world.statuses(alice), [if devices == 1 { 183 } else { 180 }]);
        world.accept(bobs[0]);
        let bodies: Vec<Vec<u8>> = world.invite_responses(alice).into_iter().map(|r| r.body).collect();
        let answers: Vec<&Vec<u8>> = bodies.iter().filter(|body| !body.is_empty()).collect();
        assert_eq!(answers.len(), if devices == 1 { 2 } else { 1 });
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    }
}

#[test]
fn a_broken_connection_ends_the_call_on_the_other_side() {
    for caller_breaks in [true, false] {
        for answered in [true, false] {
            let mut world = World::new(1);
            let (alice, bob) = (world.phone("alice"), world.phone("bob"));
            world.call(alice, "bob");
            world.ring(bob);
            if answered {
                world.accept(bob);
            }
            let (breaks, stays) = if caller_breaks { (alice, bob) } else { (bob, alice) };
            world.disconnect(breaks);
            world.advance(Duration::from_secs(5));
            let over =
                world.events(stays).into_iter().any(|e| matches!(e, Event::Ended { .. } | Event::Rejected { .. }));
            assert!(over);
            assert!(world.slots.is_empty());
        }
    }
}

#[test]
fn a_phone_that_vanished_without_a_word_frees_the_relay() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.talk(alice, bob);
    // Bob's phone is stopped: its connection stays open, it answers nothing.
    world.phones[bob.0].connected = false;
    for _ in 0..6 {
        world.advance(Duration::from_secs(60));
    }
    assert!(world.slots.is_empty());
    assert!(!world.ended(alice).is_empty());
}

#[test]
fn a_call_whose_relay_is_silent_is_ended() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.call(alice, "bob");
    world.ring(bob);
    let slot = *world.slots.keys().next().unwrap();
    let now = world.now;
    world.gateway.handle_relay_event(RelayEvent::Silent { slot }, now);
    world.settle();
    assert_eq!(world.slots.len(), 1, "a phone may ring for as long as it likes");
    world.accept(bob);
    world.gateway.handle_relay_event(RelayEvent::Silent { slot }, now);
    world.settle();
    assert!(world.slots.is_empty());
    assert_eq!(world.ended(alice), [EndCause::RemoteBye]);
    assert_eq!(world.ended(bob), [EndCause::RemoteBye]);
}

#[test]
fn a_gateway_that_stops_hangs_up_for_everybody() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.talk(alice, bob);
    let (carol, tablet) = (world.phone("carol"), world.phone("bob"));
    world.call(carol, "bob");
    world.ring(tablet);
    let now = world.now;
    world.gateway.handle_stop(now);
    world.settle();
    assert_eq!(world.ended(alice), [EndCause::RemoteBye]);
    assert!(world.ended(bob).contains(&EndCause::RemoteBye));
    assert_eq!(world.ended(tablet), [EndCause::RemoteCancel]);
    assert!(world.statuses(carol).last().is_some_and(|status| *status >= 400));
    assert!(world.slots.is_empty());
}

#[test]
fn a_connection_without_an_account_cannot_call() {
    let mut world = World::new(1);
    let bob = world.phone("bob");
    let stranger = world.connect("alice");
    world.call(stranger, "bob");
    assert_eq!(world.statuses(stranger), [403]);
    assert!(world.ringing_at(bob).is_none());
}

#[test]
fn nobody_calls_under_another_name() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    for from in ["sip:carol@gw.example", "sip:alice@other.example", "sip:gw.example", "tel:+15550100"] {
        world.call_as(alice, from, "sip:bob@gw.example", offer(0));
        assert_eq!(world.statuses(alice).last(), Some(&403), "{from}");
    }
    assert!(world.ringing_at(bob).is_none());
}

#[test]
fn a_hidden_caller_is_anonymous() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.call_as(alice, "sip:anonymous@anonymous.invalid", "sip:bob@gw.example", offer(0));
    let invite = world.texts(bob).pop().unwrap();
    assert!(invite.contains("From: <sip:anonymous@anonymous.invalid>;tag="));
    assert!(!invite.contains("alice"));
}

#[test]
fn capitals_ports_and_parameters_in_the_callees_address_do_not_matter() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.call_as(alice, "sip:Alice@GW.example", "sip:Bob@gw.EXAMPLE:5061;transport=tls", offer(0));
    assert!(world.ringing_at(bob).is_some());
    let invite = world.texts(bob).pop().unwrap();
    assert!(invite.starts_with("INVITE sip:bob@gw.example SIP/2.0\r\n"));
}

#[test]
fn calls_to_other_domains_and_to_oneself_are_refused_in_words() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    world.call_as(alice, "sip:alice@gw.example", "sip:bob@other.example", offer(0));
    world.call(alice, "alice");
    let refusals: Vec<Response> = world.invite_responses(alice);
    assert_eq!((refusals[0].status, refusals[1].status), (404, 403));
    assert!(refusals.iter().all(|refusal| refusal.reason.len() > 20));
}

#[test]
fn an_offer_that_is_not_end_to_end_encrypted_is_refused_at_once_whoever_is_called() {
    for callee in ["bob", "nobody"] {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        let mut no_ice = description(0);
        no_ice.ice = None;
        let sdes = String::from_utf8(plain_offer()).unwrap().replace("RTP/AVP", "RTP/SAVP")
            + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\r\n";
        for (sdp, word) in [(plain_offer(), "DTLS-SRTP"), (sdes.into_bytes(), "SDES"), (no_ice.to_bytes(), "ICE")] {
            world.call_as(alice, "sip:alice@gw.example", &format!("sip:{callee}@{DOMAIN}"), sdp);
            let refusal = world.invite_responses(alice).pop().unwrap();
            assert_eq!(refusal.status, 488);
            assert!(refusal.reason.contains(word), "{}", refusal.reason);
        }
        assert!(world.ringing_at(bob).is_none() && world.slots.is_empty());
    }
}

#[test]
fn an_answer_that_is_not_end_to_end_encrypted_is_never_passed_on() {
    let undecided = description(1).to_bytes();
    let mut no_ice = description(1);
    no_ice.ice = None;
    no_ice.setup = Setup::Active;
    for unusable in [plain_offer(), undecided, no_ice.to_bytes()] {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.call(alice, "bob");
        let session = world.ringing_at(bob).unwrap();
        world.act(bob, |agent, now| agent.accept(session, uri("sip:b@x.invalid"), unusable, now));
        assert_eq!(world.ended(bob), [EndCause::RemoteBye]);
        world.advance(Duration::from_secs(5));
        assert_eq!(world.statuses(alice), [480]);
        assert!(world.slots.is_empty());
    }
}

#[test]
fn totals_tell_magnitudes_only() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    for _ in 0..13 {
        world.call(alice, "nobody");
        world.advance(Duration::from_secs(5));
    }
    let totals = world.gateway.totals();
    assert_eq!(totals.get(Count::CallAsked).value(), 10);
    assert_eq!(totals.get(Count::CallUnanswered).value(), 10);
    assert_eq!(totals.get(Count::CallAnswered).value(), 0);
    assert_eq!(totals.get(Count::SignedIn).value(), 0, "fewer than ten are not shown");
}

#[test]
fn a_hang_up_from_another_connection_is_refused() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    world.talk(alice, bob);
    let invite = sent_invite(&world, alice);
    let to = world.invite_responses(alice).pop().unwrap().headers.get(&HeaderName::To).unwrap().to_owned();
    let header = |name| invite.headers.get(&name).unwrap().to_owned();
    let (from, call_id) = (header(HeaderName::From), header(HeaderName::CallId));
    world.send_raw(
        carol,
        &format!(
            "BYE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKthief\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 2000000000 BYE\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    assert!(world.ended(bob).is_empty());
    assert_eq!(world.slots.len(), 1);
    let Some(Message::Response(refusal)) = world.received(carol).pop() else { panic!("an answer is due") };
    assert_eq!(refusal.status, 481);
}

#[test]
fn an_account_has_so_many_calls_and_no_more() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    for _ in 0..MAX_CALLS_PER_ACCOUNT {
        world.talk(alice, bob);
    }
    world.events(bob);
    world.call(alice, "bob");
    assert_eq!(world.statuses(alice).last(), Some(&403));
    world.call(carol, "bob");
    assert!(world.ringing_at(bob).is_none(), "bob has no line free");
    world.advance(Duration::from_secs(5));
    assert_eq!(world.statuses(carol), [480]);
}

#[test]
fn asking_for_somebody_without_making_him_ring_does_not_keep_him_busy() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    for _ in 0..MAX_CALLS_PER_ACCOUNT {
        world.call(carol, "bob");
    }
    world.events(bob);
    world.call(alice, "bob");
    assert!(world.ringing_at(bob).is_some());
    let call = world.call(bob, "alice");
    assert!(world.ringing_at(alice).is_some());
    world.hang_up(bob, call);
}

#[test]
fn a_full_gateway_says_so() {
    let mut world = World::new(1);
    let names: Vec<String> = (0..5).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let now = world.now;
    world.gateway.handle_accounts(world::accounts(&names), now);
    let phones: Vec<PhoneId> = names.iter().map(|name| world.phone(name)).collect();
    for phone in &phones[..4] {
        for _ in 0..MAX_CALLS_PER_ACCOUNT {
            world.call(*phone, "nobody");
        }
    }
    world.call(phones[4], "nobody");
    assert_eq!(world.statuses(phones[4]), [503]);
    world.advance(Duration::from_secs(5));
    world.call(phones[4], "user0");
    assert!(world.ringing_at(phones[0]).is_some());
}

#[test]
fn when_the_relay_is_nearly_full_fewer_devices_ring() {
    let mut world = World::new(1);
    let (alice, carol) = (world.phone("alice"), world.phone("carol"));
    let bobs: Vec<PhoneId> = (0..10).map(|_| world.phone("bob")).collect();
    world.call(alice, "bob");
    assert_eq!(world.slots.len(), 10);
    bobs.iter().for_each(|bob| assert_eq!(world.events(*bob).len(), 1));
    world.call(carol, "bob");
    assert_eq!(world.slots.len(), 16, "as many as the relay has");
    assert_eq!(bobs.iter().filter(|bob| world.ringing_at(**bob).is_some()).count(), 6);
    world.accept(bobs[0]);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.statuses(carol), [200]);
    assert_eq!(world.slots.len(), 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed);
        let (alice, bob, _) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
        let (here, _) = world.talk(alice, bob);
        world.advance(Duration::from_secs(700));
        world.hang_up(alice, here);
        world.call(bob, "nobody");
        world.advance(Duration::from_secs(40));
        world.traffic
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// The last final response to an INVITE and when it came.
fn final_response(world: &World, id: PhoneId) -> (Duration, Response) {
    let flow = world.phones[id.0].flow;
    let mut crossings = world.traffic.iter().rev().filter(|c| c.flow == flow && c.to_phone);
    crossings
        .find_map(|crossing| match undertone_sip::wire::parse(&crossing.bytes).unwrap() {
            Message::Response(r) if r.status >= 200 && r.headers.cseq().unwrap().method == Method::Invite => {
                Some((crossing.at, r))
            }
            _ => None,
        })
        .unwrap()
}

fn sent_invite(world: &World, id: PhoneId) -> undertone_sip::wire::Request {
    let flow = world.phones[id.0].flow;
    let sent = world.traffic.iter().filter(|c| c.flow == flow && !c.to_phone);
    let mut requests = sent.filter_map(|c| match undertone_sip::wire::parse(&c.bytes).unwrap() {
        Message::Request(request) if request.method == Method::Invite => Some(request),
        _ => None,
    });
    requests.next_back().unwrap()
}

//! Changes inside a call: hold, resume, ICE restart, refusals and glare, through the gateway's core.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod world;

use std::time::Duration;

use undertone_sip::sdp::{Description, Direction};
use undertone_sip::user_agent::{EndCause, Event};
use undertone_sip::wire::HeaderName;
use undertone_sip::wire::uri::uri_to_string;
use world::{World, answer, description, offer, plain_offer};

#[test]
fn hold_and_resume_reach_the_other_phone() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, there) = world.talk(alice, bob);
    let before = world.offered_to(bob).unwrap();
    for (asker, asked, session, other, direction) in [
        (bob, alice, there, here, Direction::Inactive),
        (alice, bob, here, there, Direction::SendOnly),
        (alice, bob, here, there, Direction::SendRecv),
    ] {
        world.events(asker);
        let mut offer = description(asker.0 as u8);
        offer.direction = direction;
        world.act(asker, |agent, now| agent.reoffer(session, offer.to_bytes(), now));
        let told = world.offered_to(asked).unwrap();
        assert_eq!(told.direction, direction);
        assert_eq!(told.fingerprint, offer.fingerprint);
        let body = answer(asked.0 as u8, &told);
        world.act(asked, |agent, now| agent.accept_reoffer(other, body, now));
        let agreed = world.events(asker).into_iter().find_map(|event| match event {
            Event::ReofferAnswered { sdp, .. } => Some(Description::parse(&sdp).unwrap()),
            _ => None,
        });
        assert_eq!(agreed.unwrap().direction, direction.mirrored());
    }
    let after = world.offered_to(bob).unwrap();
    assert_eq!(after.origin.id, before.origin.id);
    assert_eq!(after.origin.version, before.origin.version + 3);
    assert_eq!(after.ice, before.ice, "credentials stay for the dialog");
    assert_eq!((world.restarts, world.slots.len()), (0, 1));
}

#[test]
fn an_ice_restart_gives_its_leg_new_credentials_and_leaves_the_other_alone() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, there) = world.talk(alice, bob);
    let (first, to_bob) = (world.answered_to(alice), world.offered_to(bob).unwrap());
    let mut offer = description(alice.0 as u8);
    offer.ice.as_mut().unwrap().ufrag = "restarted".to_owned();
    offer.direction = Direction::SendOnly;
    world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
    assert_eq!(world.restarts, 0, "nothing changes until the other side agrees");
    let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
    world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
    assert_eq!(world.restarts, 1);
    let second = world.answered_to(alice);
    assert_ne!(first.ice.unwrap().ufrag, second.ice.unwrap().ufrag);
    assert_eq!(world.offered_to(bob).unwrap().ice, to_bob.ice);
}

#[test]
fn a_phone_that_asks_again_for_a_refused_ice_restart_gets_it() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, there) = world.talk(alice, bob);
    let mut offer = description(alice.0 as u8);
    offer.ice.as_mut().unwrap().ufrag = "restarted".to_owned();
    for direction in [Direction::SendOnly, Direction::Inactive] {
        offer.direction = direction;
        world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
        if direction == Direction::SendOnly {
            world.act(bob, |agent, now| agent.refuse_reoffer(there, 488, "", now));
            assert_eq!(world.restarts, 0);
        } else {
            let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
            world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
            assert_eq!(world.restarts, 1);
        }
    }
}

#[test]
fn an_update_with_an_offer_reaches_the_other_phone_too() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (_, there) = world.talk(alice, bob);
    let accepted = world.invite_responses(alice).pop().unwrap();
    let header = |name| accepted.headers.get(&name).unwrap().to_owned();
    let sdp = String::from_utf8(held(0)).unwrap();
    world.send_raw(
        alice,
        &format!(
            "UPDATE {} SIP/2.0\r\nVia: SIP/2.0/TLS host0.invalid;branch=z9hG4bKupdate\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 2000000000 UPDATE\r\n\
             Contact: <sip:alice@host0.invalid;transport=tls>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            uri_to_string(&accepted.headers.contact().unwrap().uri),
            header(HeaderName::From),
            header(HeaderName::To),
            header(HeaderName::CallId),
            sdp.len(),
        ),
    );
    let told = world.offered_to(bob).unwrap();
    assert_eq!(told.direction, Direction::SendOnly);
    world.act(bob, |agent, now| agent.accept_reoffer(there, answer(1, &told), now));
    let answered = world.texts(alice).pop().unwrap();
    assert!(answered.starts_with("SIP/2.0 200 OK\r\n") && answered.contains("CSeq: 2000000000 UPDATE\r\n"));
    assert!(answered.contains("a=recvonly\r\n"));
}

#[test]
fn a_change_the_other_side_refuses_leaves_the_call_as_it_was() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, there) = world.talk(alice, bob);
    world.events(alice);
    world.act(alice, |agent, now| agent.reoffer(here, held(0), now));
    world.act(bob, |agent, now| agent.refuse_reoffer(there, 603, "Go away, alice", now));
    let refused = world.events(alice).into_iter().find_map(|event| match event {
        Event::ReofferRefused { status, .. } => Some(status),
        _ => None,
    });
    assert_eq!(refused, Some(488));
    assert!(world.texts(alice).iter().all(|text| !text.contains("Go away")));
    world.hang_up(alice, here);
    assert_eq!(world.ended(bob), [EndCause::RemoteBye]);
}

#[test]
fn a_change_without_encryption_is_refused_in_words_and_the_call_goes_on() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, _) = world.talk(alice, bob);
    world.act(alice, |agent, now| agent.reoffer(here, plain_offer(), now));
    assert_eq!(world.statuses(alice).last(), Some(&488));
    assert_eq!(world.slots.len(), 1);
    assert!(world.ended(bob).is_empty());
}

#[test]
fn both_sides_changing_the_call_at_once_is_settled() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, there) = world.talk(alice, bob);
    let now = world.now;
    world.phones[alice.0].agent.reoffer(here, held(0), now);
    world.phones[bob.0].agent.reoffer(there, held(1), now);
    world.settle();
    for _ in 0..200 {
        world.advance(Duration::from_millis(50));
        for (id, session) in [(alice, here), (bob, there)] {
            let asked = world.phones[id.0].events.iter().any(|event| matches!(event, Event::Reoffer { .. }));
            if asked {
                let body = answer(id.0 as u8, &world.offered_to(id).unwrap());
                world.events(id);
                world.act(id, |agent, now| agent.accept_reoffer(session, body, now));
            }
        }
    }
    assert_eq!(world.slots.len(), 1);
    world.act(alice, |agent, now| agent.reoffer(here, offer(0), now));
    let body = answer(1, &world.offered_to(bob).expect("a later change gets through"));
    world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
    world.hang_up(bob, there);
    assert_eq!(world.ended(alice), [EndCause::RemoteBye]);
}

/// The offer of a phone that puts the call on hold.
fn held(who: u8) -> Vec<u8> {
    let mut offer = description(who);
    offer.direction = Direction::SendOnly;
    offer.to_bytes()
}

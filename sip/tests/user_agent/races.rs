//! Things that happen at the same time: glare, CANCEL against 200, forks, BYE against everything.

use std::time::Duration;

use undertone_sip::user_agent::{EndCause, Event, Transport};
use undertone_sip::wire::HeaderName;

use crate::hand::Hand;
use crate::pair::{A, B, Habit, Pair, offer};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn offers_that_cross_are_both_refused_and_both_answered_in_the_end() {
    for seed in 30..50 {
        let mut pair = Pair::new(seed, Transport::Tls);
        let (a, b) = pair.established();
        let now = pair.now;
        pair.agent(A).reoffer(a, offer("from A"), now);
        pair.agent(B).reoffer(b, offer("from B"), now);
        pair.run(20 * SECOND);
        assert!(pair.spoken(A).contains(&"491".to_owned()));
        assert!(pair.spoken(B).contains(&"491".to_owned()));
        for side in [A, B] {
            assert_eq!(pair.count(side, |e| matches!(e, Event::ReofferAnswered { .. })), 1, "seed {seed} {side:?}");
            assert_eq!(pair.count(side, |e| matches!(e, Event::Reoffer { .. })), 1, "seed {seed} {side:?}");
        }
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.finish();
    }
}

#[test]
fn the_side_that_made_the_call_id_waits_longer_after_glare() {
    let mut pair = Pair::new(51, Transport::Tls);
    let (a, b) = pair.established();
    let (now, since) = (pair.now, pair.sent.len());
    pair.agent(A).reoffer(a, offer("from A"), now);
    pair.agent(B).reoffer(b, offer("from B"), now);
    pair.run(20 * SECOND);
    let tries = |side| {
        let sent = pair.sent[since..].iter().filter(|(_, from, _)| *from == side);
        let invites = sent
            .filter(|(_, _, m)| matches!(m, undertone_sip::wire::Message::Request(r) if r.method.as_str() == "INVITE"));
        invites.map(|(at, _, _)| *at).collect::<Vec<_>>()
    };
    let (from_a, from_b) = (tries(A), tries(B));
    assert_eq!((from_a.len(), from_b.len()), (2, 2));
    let (wait_a, wait_b) = (from_a[1] - from_a[0], from_b[1] - from_b[0]);
    assert!(wait_b < Duration::from_millis(2100), "{wait_b:?}");
    // A's own offer either waited its time or followed B's at once.
    assert!(wait_a > wait_b, "{wait_a:?}");
}

#[test]
fn a_cancel_that_crosses_the_acceptance_ends_the_call_with_bye() {
    for transport in [Transport::Tls, Transport::Udp] {
        let mut pair = Pair::new(52, transport);
        pair.habits.insert(B, Habit::Ring);
        let a = pair.call();
        pair.run(SECOND);
        let (b, now) = (pair.incoming(B), pair.now);
        pair.agent(A).hang_up(a, now);
        let contact = crate::pair::uri("sip:bob@b.invalid");
        pair.agent(B).accept(b, contact, offer("answer"), now);
        pair.run(2 * SECOND);
        assert_eq!(pair.spoken(A), ["INVITE", "CANCEL", "ACK", "BYE"]);
        assert_eq!(pair.ends(A), [EndCause::LocalHangUp]);
        assert_eq!(pair.ends(B), [EndCause::RemoteBye]);
        assert!(!pair.saw(A, |e| matches!(e, Event::Answered { .. })));
        pair.finish();
    }
}

#[test]
fn a_callee_that_hangs_up_before_the_ack_waits_for_it() {
    let mut pair = Pair::new(53, Transport::Udp);
    pair.habits.insert(B, Habit::Ring);
    pair.call();
    pair.run(SECOND);
    let (b, now) = (pair.incoming(B), pair.now);
    let contact = crate::pair::uri("sip:bob@b.invalid");
    pair.agent(B).accept(b, contact, offer("answer"), now);
    pair.agent(B).hang_up(b, now);
    pair.drain();
    assert_eq!(pair.spoken(B).last().unwrap(), "200");
    pair.finish();
    assert_eq!(pair.ends(B), [EndCause::LocalHangUp]);
    assert_eq!(pair.ends(A), [EndCause::RemoteBye]);
}

#[test]
fn both_hang_up_at_once() {
    for transport in [Transport::Tls, Transport::Udp] {
        let mut pair = Pair::new(54, transport);
        let (a, b) = pair.established();
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.agent(B).hang_up(b, now);
        pair.finish();
        assert_eq!(pair.ends(A), [EndCause::LocalHangUp]);
        assert_eq!(pair.ends(B), [EndCause::LocalHangUp]);
    }
}

#[test]
fn hanging_up_while_an_offer_is_open_ends_everything() {
    for (asks, hangs) in [(A, A), (A, B), (B, A), (B, B)] {
        for transport in [Transport::Tls, Transport::Udp] {
            let mut pair = Pair::new(55, transport);
            let (a, b) = pair.established();
            pair.habits = [(A, Habit::Nothing), (B, Habit::Nothing)].into();
            let of = |side| if side == A { a } else { b };
            let now = pair.now;
            pair.agent(asks).reoffer(of(asks), offer("open"), now);
            pair.run(SECOND);
            let now = pair.now;
            pair.agent(hangs).hang_up(of(hangs), now);
            pair.finish();
            assert_eq!(pair.ends(hangs), [EndCause::LocalHangUp]);
            assert_eq!(pair.ends(hangs.other()), [EndCause::RemoteBye]);
        }
    }
}

#[test]
fn an_offer_the_owner_never_answers_is_refused_for_him() {
    let mut pair = Pair::new(56, Transport::Tls);
    let (a, _) = pair.established();
    pair.habits.insert(B, Habit::Nothing);
    let now = pair.now;
    pair.agent(A).reoffer(a, offer("ignored"), now);
    pair.run(30 * SECOND);
    assert!(pair.saw(A, |e| matches!(e, Event::ReofferRefused { status: 480, .. })));
    assert!(pair.ends(A).is_empty());
}

#[test]
fn the_newest_of_several_waiting_offers_goes_out() {
    let mut pair = Pair::new(57, Transport::Tls);
    let (a, _) = pair.established();
    let now = pair.now;
    for text in ["one", "two", "three"] {
        pair.agent(A).reoffer(a, offer(text), now);
    }
    pair.run(2 * SECOND);
    let offers: Vec<_> = pair
        .events
        .iter()
        .filter_map(|(_, side, event)| match event {
            Event::Reoffer { sdp, .. } if *side == B => Some(sdp.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(offers, [offer("one"), offer("three")]);
}

#[test]
fn of_forked_acceptances_the_first_makes_the_call_and_the_others_are_hung_up() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, invite) = hand.call(None);
    hand.answer(&invite, 180, "one", &[]);
    hand.answer(&invite, 180, "two", &[]);
    hand.answer(&invite, 200, "two", &[]);
    assert_eq!(hand.take_request("ACK").headers.to().unwrap().tag(), Some("two"));
    hand.answer(&invite, 200, "one", &[]);
    assert_eq!(hand.take_request("ACK").headers.to().unwrap().tag(), Some("one"));
    let bye = hand.take_request("BYE");
    assert_eq!(bye.headers.to().unwrap().tag(), Some("one"));
    assert_eq!(undertone_sip::wire::uri::uri_to_string(&bye.uri), "sip:one@peer.invalid");
    hand.answer(&bye, 200, "one", &[]);
    // Repeats of either get their ACK again and nothing else.
    for tag in ["one", "two", "one"] {
        hand.answer(&invite, 200, tag, &[]);
        assert_eq!(hand.take_request("ACK").headers.to().unwrap().tag(), Some(tag));
        assert!(hand.sent.is_empty());
    }
    let answered = hand.events.iter().filter(|e| matches!(e, Event::Answered { .. })).count();
    assert_eq!(answered, 1);
    hand.agent.hang_up(session, hand.now);
    hand.drain();
    let bye = hand.take_request("BYE");
    assert_eq!(bye.headers.to().unwrap().tag(), Some("two"));
    hand.answer(&bye, 200, "two", &[]);
    hand.finish();
}

#[test]
fn endless_forks_are_bounded() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, invite) = hand.call(None);
    for n in 0..100 {
        hand.answer(&invite, 180, &format!("early{n}"), &[]);
    }
    for n in 0..100 {
        hand.answer(&invite, 200, &format!("late{n}"), &[]);
    }
    let mut byes = Vec::new();
    while let Some(bye) = hand.try_take_request("BYE") {
        byes.push(bye);
    }
    assert_eq!(byes.len(), 7);
    for bye in &byes {
        hand.answer(bye, 200, "", &[]);
    }
    hand.agent.hang_up(session, hand.now);
    hand.finish();
}

#[test]
fn an_acceptance_after_withdrawing_is_acknowledged_and_hung_up() {
    let mut hand = Hand::new(Transport::Udp);
    let (session, invite) = hand.call(None);
    hand.agent.hang_up(session, hand.now);
    hand.answer(&invite, 200, "late", &[]);
    hand.take_request("ACK");
    let bye = hand.take_request("BYE");
    hand.answer(&bye, 200, "late", &[]);
    hand.finish();
}

#[test]
fn an_acceptance_without_sdp_is_no_answer() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, invite) = hand.call(None);
    let mut bare = invite.clone();
    bare.method = undertone_sip::wire::Method::Options;
    hand.answer(&bare, 200, "t", &[(HeaderName::Contact, "<sip:t@peer.invalid>")]);
    hand.take_request("ACK");
    hand.take_request("BYE");
    assert!(hand.saw(|e| *e == Event::Ended { session, cause: EndCause::BadAnswer }));
    hand.finish();
}

#[test]
fn a_cancelled_call_nobody_refuses_is_forgotten() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, invite) = hand.call(None);
    hand.answer(&invite, 180, "t", &[]);
    hand.agent.hang_up(session, hand.now);
    hand.finish();
}

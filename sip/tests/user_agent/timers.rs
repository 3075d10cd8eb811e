//! Session timers, digest challenges, and ringing that ends.

use std::time::Duration;

use undertone_sip::digest::{Challenge, Credentials, ha1};
use undertone_sip::user_agent::{EndCause, Event, Login, Settings, Transport};
use undertone_sip::wire::{HeaderName, Message, Method};

use crate::hand::Hand;
use crate::pair::{A, B, Pair};

const SECOND: Duration = Duration::from_secs(1);

fn short() -> Settings {
    Settings { session_expires_s: 90, ..Settings::default() }
}

#[test]
fn a_living_call_is_refreshed_at_half_the_interval_and_lasts() {
    let mut pair = Pair::with_settings(60, Transport::Tls, short());
    let (a, _) = pair.established();
    pair.run(Duration::from_secs(3600));
    let updates = pair.spoken(A).iter().filter(|method| *method == "UPDATE").count();
    assert!((79..=80).contains(&updates), "{updates}");
    assert!(pair.ends(A).is_empty() && pair.ends(B).is_empty());
    assert!(!pair.saw(B, |e| matches!(e, Event::Reoffer { .. })));
    let now = pair.now;
    pair.agent(A).hang_up(a, now);
    pair.finish();
}

#[test]
fn a_call_whose_other_side_vanished_ends_on_both_sides() {
    let expired = EndCause::SessionExpired;
    // A refreshes. Whoever still hears the other learns of the end from its BYE.
    for (muted, ends) in [
        (vec![A], [EndCause::RemoteBye, expired]),
        (vec![B], [expired, EndCause::RemoteBye]),
        (vec![A, B], [expired, expired]),
    ] {
        let mut pair = Pair::with_settings(61, Transport::Tls, short());
        pair.established();
        pair.link.mute.extend(muted);
        pair.finish();
        assert_eq!([pair.ends(A), pair.ends(B)].concat(), ends);
    }
}

#[test]
fn a_dead_call_is_over_before_its_interval_is() {
    let mut pair = Pair::with_settings(62, Transport::Tls, short());
    pair.established();
    let since = pair.now;
    pair.link.mute.insert(A);
    pair.finish();
    let (at, _, _) = pair.events.iter().find(|(_, s, e)| *s == B && matches!(e, Event::Ended { .. })).unwrap();
    // 90 − min(32, 90/3) = 60 seconds after the answer, which came within the first three.
    assert!(*at <= Duration::from_secs(61), "{at:?}");
    assert!(pair.now > since);
}

#[test]
fn a_peer_without_update_is_refreshed_by_the_same_offer_again() {
    let mut hand = Hand::with_settings(Transport::Tls, short());
    let (session, invite) = hand.call(None);
    hand.answer(&invite, 200, "t", &[]);
    hand.take_request("ACK");
    for _ in 0..3 {
        hand.run(46 * SECOND);
        let refresh = hand.take_request("INVITE");
        assert_eq!(refresh.body, invite.body);
        hand.answer(&refresh, 200, "t", &[]);
        hand.take_request("ACK");
    }
    assert!(!hand.saw(|e| matches!(e, Event::ReofferAnswered { .. } | Event::Ended { .. })));
    hand.agent.hang_up(session, hand.now);
    hand.finish();
}

#[test]
fn a_peer_that_wants_longer_intervals_gets_them() {
    let mut hand = Hand::with_settings(Transport::Tls, short());
    let (_, invite) = hand.call(None);
    assert_eq!(invite.headers.session_expires(), Some((90, None)));
    hand.answer(&invite, 422, "t", &[(HeaderName::MinSe, "600")]);
    hand.take_request("ACK");
    let again = hand.take_request("INVITE");
    assert_eq!(again.headers.session_expires(), Some((600, None)));
    assert_eq!(again.headers.min_se(), Some(600));
    assert_eq!(again.headers.call_id(), invite.headers.call_id());
    assert_eq!(again.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number + 1);
    hand.answer(&again, 422, "t", &[(HeaderName::MinSe, "600")]);
    assert!(hand.saw(|e| matches!(e, Event::Rejected { status: 422, .. })));
    hand.finish();
}

#[test]
fn a_challenge_is_answered_once() {
    for (status, asked, answered) in [
        (401, HeaderName::WwwAuthenticate, HeaderName::Authorization),
        (407, HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
    ] {
        let mut hand = Hand::new(Transport::Udp);
        let (_, invite) = hand.call(Some(Login::new("alice", "secret")));
        let challenge = Challenge { realm: "gw".into(), nonce: "n".into(), opaque: None, stale: false };
        hand.answer(&invite, status, "t", &[(asked.clone(), &challenge.to_string())]);
        hand.take_request("ACK");
        let again = hand.take_request("INVITE");
        let credentials = Credentials::parse(again.headers.get(&answered).unwrap()).unwrap();
        assert!(credentials.verify(&ha1("alice", "gw", "secret"), &Method::Invite));
        assert_eq!(again.body, invite.body);
        hand.answer(&again, status, "t", &[(asked, &challenge.to_string())]);
        assert!(hand.saw(|e| matches!(e, Event::Rejected { status: s, .. } if *s == status)));
        hand.finish();
    }
}

#[test]
fn without_credentials_or_with_md5_a_challenge_is_a_refusal() {
    let md5 = "Digest realm=\"gw\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    for login in [None, Some(Login::new("alice", "secret"))] {
        let mut hand = Hand::new(Transport::Tls);
        let (_, invite) = hand.call(login);
        hand.answer(&invite, 401, "t", &[(HeaderName::WwwAuthenticate, md5)]);
        assert!(hand.saw(|e| matches!(e, Event::Rejected { status: 401, .. })));
        hand.finish();
    }
}

#[test]
fn an_acceptance_is_repeated_until_its_ack_over_tls_too_and_then_given_up() {
    let mut hand = Hand::new(Transport::Tls);
    hand.invited(crate::pair::FLOW, 1, "");
    let Some(Event::IncomingInvite { session, .. }) = hand.events.first() else { panic!() };
    let session = *session;
    hand.agent.accept(session, crate::pair::uri("sip:a@a.invalid"), crate::pair::offer("ours"), hand.now);
    hand.run(40 * SECOND);
    let acceptances = hand.sent.iter().filter(|(_, m)| matches!(m, Message::Response(r) if r.status == 200)).count();
    assert_eq!(acceptances, 11);
    hand.take_request("BYE");
    assert!(hand.saw(|e| *e == Event::Ended { session, cause: EndCause::Timeout }));
    hand.finish();
}

#[test]
fn a_caller_that_limits_its_call_is_obeyed() {
    let mut hand = Hand::new(Transport::Tls);
    hand.invited(crate::pair::FLOW, 1, "Expires: 20");
    hand.run(19 * SECOND);
    assert!(!hand.saw(|e| matches!(e, Event::Ended { .. })));
    hand.run(2 * SECOND);
    assert!(hand.saw(|e| matches!(e, Event::Ended { cause: EndCause::Timeout, .. })));
}

#[test]
fn deadlines_are_exact() {
    let mut hand = Hand::new(Transport::Udp);
    hand.call(None);
    assert_eq!(hand.agent.poll_timeout(), Some(hand.now + Duration::from_millis(500)));
    hand.agent.handle_timeout(hand.now + Duration::from_millis(499));
    hand.drain();
    assert!(hand.sent.is_empty());
}

//! Calls from beginning to end over a link that loses nothing.

use std::time::Duration;

use undertone_sip::user_agent::{EndCause, Event, Transport};
use undertone_sip::wire::Headers;

use crate::pair::{A, B, Habit, Pair, offer};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_is_made_and_the_caller_hangs_up() {
    for transport in [Transport::Tls, Transport::Udp] {
        let mut pair = Pair::new(1, transport);
        let (a, _) = pair.established();
        assert_eq!(pair.spoken(A), ["INVITE", "ACK"]);
        assert_eq!(pair.spoken(B), ["100", "180", "200"]);
        assert!(pair.saw(B, |e| matches!(e, Event::Confirmed { .. })));
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.finish();
        assert_eq!(pair.ends(A), [EndCause::LocalHangUp]);
        assert_eq!(pair.ends(B), [EndCause::RemoteBye]);
    }
}

#[test]
fn the_callee_hangs_up() {
    let mut pair = Pair::new(2, Transport::Tls);
    let (_, b) = pair.established();
    let now = pair.now;
    pair.agent(B).hang_up(b, now);
    pair.finish();
    assert_eq!(pair.ends(A), [EndCause::RemoteBye]);
    assert_eq!(pair.ends(B), [EndCause::LocalHangUp]);
}

#[test]
fn over_tls_nothing_of_a_call_is_left_once_bye_is_answered() {
    let mut pair = Pair::new(3, Transport::Tls);
    let (a, _) = pair.established();
    let now = pair.now;
    pair.agent(A).hang_up(a, now);
    pair.run(SECOND);
    assert!(pair.agent(A).is_idle());
    assert!(pair.agent(B).is_idle());
}

#[test]
fn a_rejected_call_tells_the_caller_why() {
    for (status, transport) in [(486, Transport::Tls), (603, Transport::Udp)] {
        let mut pair = Pair::new(4, transport);
        pair.habits.insert(B, Habit::Ring);
        pair.call();
        pair.run(SECOND);
        let (b, now) = (pair.incoming(B), pair.now);
        pair.agent(B).reject(b, status, "", now);
        pair.finish();
        let rejected = |e: &Event| matches!(e, Event::Rejected { status: seen, .. } if *seen == status);
        assert!(pair.saw(A, rejected));
        assert_eq!(pair.ends(B), [EndCause::LocalHangUp]);
        assert_eq!(pair.spoken(A), ["INVITE", "ACK"]);
    }
}

#[test]
fn a_cancelled_call_rings_no_more() {
    for transport in [Transport::Tls, Transport::Udp] {
        let mut pair = Pair::new(5, transport);
        pair.habits.insert(B, Habit::Ring);
        let a = pair.call();
        pair.run(SECOND);
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.run(SECOND);
        assert_eq!(pair.ends(B), [EndCause::RemoteCancel]);
        assert_eq!(pair.ends(A), [EndCause::LocalHangUp]);
        assert_eq!(pair.spoken(A), ["INVITE", "CANCEL", "ACK"]);
        assert_eq!(pair.spoken(B), ["100", "180", "200", "487"]);
        pair.finish();
    }
}

#[test]
fn a_call_withdrawn_before_any_answer_waits_for_one_before_cancelling() {
    let mut pair = Pair::new(6, Transport::Tls);
    pair.habits.insert(B, Habit::Ring);
    let a = pair.call();
    let now = pair.now;
    pair.agent(A).hang_up(a, now);
    pair.drain();
    assert_eq!(pair.spoken(A), ["INVITE"]);
    pair.finish();
    assert_eq!(pair.spoken(A), ["INVITE", "CANCEL", "ACK"]);
    assert_eq!(pair.ends(B), [EndCause::RemoteCancel]);
}

#[test]
fn a_call_nobody_hears_times_out() {
    let mut pair = Pair::new(7, Transport::Udp);
    pair.link.mute.insert(B);
    pair.habits.insert(B, Habit::Nothing);
    pair.call();
    pair.run(Duration::from_secs(31));
    assert!(pair.ends(A).is_empty());
    pair.run(2 * SECOND);
    assert_eq!(pair.ends(A), [EndCause::Timeout]);
    assert_eq!(pair.spoken(A), ["INVITE"; 7]);
    pair.finish();
}

#[test]
fn a_call_nobody_answers_stops_ringing_by_itself() {
    let mut pair = Pair::new(8, Transport::Tls);
    pair.habits.insert(B, Habit::Ring);
    pair.call();
    pair.finish();
    assert_eq!(pair.ends(A), [EndCause::Timeout]);
    assert_eq!(pair.ends(B).len(), 1);
    // The callee showed twice more that it was still ringing.
    assert_eq!(pair.spoken(B).iter().filter(|s| *s == "180").count(), 3);
}

#[test]
fn hold_is_offered_and_answered_by_either_side() {
    let mut pair = Pair::new(9, Transport::Tls);
    let (a, b) = pair.established();
    for (side, session) in [(A, a), (B, b), (A, a)] {
        let now = pair.now;
        let text = format!("hold at {:?} by {side:?}", pair.events.len());
        pair.agent(side).reoffer(session, offer(&text), now);
        pair.run(SECOND);
        let answer = [b"answer to ", offer(&text).as_slice()].concat();
        assert!(pair.saw(side, |e| *e == Event::ReofferAnswered { session, sdp: answer.clone() }));
    }
    let now = pair.now;
    pair.agent(B).hang_up(b, now);
    pair.finish();
}

#[test]
fn a_refused_offer_leaves_the_call_as_it_was() {
    let mut pair = Pair::new(10, Transport::Tls);
    let (a, b) = pair.established();
    pair.habits.insert(B, Habit::Nothing);
    let now = pair.now;
    pair.agent(A).reoffer(a, offer("video"), now);
    pair.run(SECOND);
    let now = pair.now;
    pair.agent(B).refuse_reoffer(b, 488, "", now);
    pair.run(SECOND);
    assert!(pair.saw(A, |e| matches!(e, Event::ReofferRefused { status: 488, .. })));
    let now = pair.now;
    pair.agent(A).hang_up(a, now);
    pair.finish();
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut pair = Pair::new(seed, Transport::Udp);
        pair.link.loss = 10;
        pair.link.duplication = 10;
        pair.link.reordering = 20;
        let a = pair.call();
        pair.run(20 * SECOND);
        let now = pair.now;
        pair.agent(A).hang_up(a, now);
        pair.finish();
        pair.transcript
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

#[test]
fn messages_carry_only_the_listed_headers_in_constant_order() {
    let mut pair = Pair::new(13, Transport::Tls);
    pair.established();
    let names = |headers: &Headers| headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(&pair.request(A, "INVITE").headers),
        "Via Max-Forwards From To Call-ID CSeq Contact Allow Supported Session-Expires Min-SE Content-Type Content-Length",
    );
    assert_eq!(names(&pair.request(A, "ACK").headers), "Via Max-Forwards From To Call-ID CSeq Content-Length");
    assert_eq!(
        names(&pair.response(B, 200).headers),
        "Via From To Call-ID CSeq Contact Allow Supported Require Session-Expires Content-Type Content-Length",
    );
    assert_eq!(
        names(&pair.response(B, 180).headers),
        "Via From To Call-ID CSeq Contact Allow Supported Content-Length"
    );
    let invite = pair.request(A, "INVITE").headers;
    assert_eq!(invite.call_id().unwrap().len(), 32);
    assert!(invite.call_id().unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
}

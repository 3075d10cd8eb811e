//! What is refused, and what strangers cannot do.

use std::time::Duration;

use undertone_sip::user_agent::{EndCause, Event, MAX_TRANSACTIONS_PER_FLOW, SessionId, Settings, Transport};
use undertone_sip::wire::{HeaderName, Message, Method, NameAddr, Request, Response};

use crate::hand::{Hand, STRANGER, request};
use crate::pair::{FLOW, offer, uri};

fn incoming(hand: &Hand) -> SessionId {
    let found = hand.events.iter().rev().find_map(|event| match event {
        Event::IncomingInvite { session, .. } => Some(*session),
        _ => None,
    });
    found.unwrap()
}

/// A call from the peer that was accepted and acknowledged; returns it and our tag.
fn accepted(hand: &mut Hand) -> (SessionId, String) {
    hand.invited(FLOW, 1, "Supported: timer");
    let session = incoming(hand);
    hand.agent.accept(session, uri("sip:a@a.invalid"), offer("ours"), hand.now);
    hand.drain();
    assert_eq!(hand.take_response().status, 100);
    let response = hand.take_response();
    let tag = response.headers.to().unwrap().tag().unwrap().to_owned();
    hand.hear_text(FLOW, &request("ACK", &tag, 1, "").replace("CSeq: 2 ACK", "CSeq: 1 ACK"), b"");
    assert!(hand.saw(|e| *e == Event::Confirmed { session }));
    (session, tag)
}

fn status_of(hand: &mut Hand, method: &str, more: &str) -> u16 {
    hand.hear_text(FLOW, &request(method, "", 9, more), b"");
    hand.take_response().status
}

#[test]
fn requests_outside_dialogs_are_refused_by_their_kind() {
    let mut hand = Hand::new(Transport::Tls);
    for (method, status) in
        [("BYE", 481), ("UPDATE", 481), ("PRACK", 481), ("INFO", 481), ("SUBSCRIBE", 405), ("DANCE", 501)]
    {
        assert_eq!(status_of(&mut hand, method, ""), status, "{method}");
    }
    assert_eq!(status_of(&mut hand, "CANCEL", ""), 481);
    hand.finish();
}

#[test]
fn unusable_invites_are_refused_and_nobody_is_told() {
    let mut hand = Hand::new(Transport::Tls);
    let cases = [
        (488, "", b"".as_slice()),
        (420, "Require: 100rel", b"x"),
        (422, "Session-Expires: 60", b"x"),
        (415, "Content-Encoding: gzip", b"x"),
    ];
    for (n, (status, more, body)) in cases.into_iter().enumerate() {
        hand.hear_text(FLOW, &request("INVITE", "", n, more), body);
        let response = hand.take_response();
        assert_eq!(response.status, status);
        match status {
            420 => assert_eq!(response.headers.get(&HeaderName::Unsupported), Some("100rel")),
            422 => assert_eq!(response.headers.min_se(), Some(90)),
            _ => {}
        }
    }
    let bare = request("INVITE", "", 8, "").replace("Contact: <sip:peer@peer.invalid>\n", "");
    hand.hear_text(FLOW, &bare, b"x");
    assert_eq!(hand.take_response().status, 400);
    assert!(hand.events.is_empty());
    hand.finish();
}

#[test]
fn the_last_hop_is_refused_only_by_whoever_sends_on() {
    for refuse_last_hop in [true, false] {
        let settings = Settings { refuse_last_hop, ..Settings::default() };
        let mut hand = Hand::with_settings(Transport::Tls, settings);
        let text = request("INVITE", "", 1, "").replace("Max-Forwards: 70", "Max-Forwards: 0");
        hand.hear_text(FLOW, &text, &offer("theirs"));
        assert_eq!(hand.take_response().status, if refuse_last_hop { 483 } else { 100 });
    }
}

#[test]
fn a_second_copy_of_a_request_by_another_path_is_a_loop() {
    let mut hand = Hand::new(Transport::Tls);
    hand.invited(FLOW, 1, "");
    assert_eq!(hand.take_response().status, 100);
    let copy = request("INVITE", "", 1, "").replace("branch=z9hG4bK", "branch=z9hG4bKother");
    hand.hear_text(FLOW, &copy, &offer("theirs"));
    assert_eq!(hand.take_response().status, 482);
    assert_eq!(hand.events.len(), 1);
}

#[test]
fn broken_requests_are_answered_where_they_can_be() {
    let mut hand = Hand::new(Transport::Tls);
    hand.hear_text(FLOW, &request("OPTIONS", "", 1, "Expires: soon"), b"");
    let response = hand.take_response();
    assert_eq!(response.status, 400);
    assert!(response.headers.to().unwrap().tag().is_some());
    hand.hear_text(FLOW, "rubbish", b"");
    hand.hear_text(FLOW, &request("ACK", "", 1, "Expires: soon"), b"");
    assert!(hand.sent.is_empty());
    assert_eq!(hand.agent.counters().unanswerable, 2);
    hand.finish();
}

#[test]
fn nobody_moves_a_call_from_another_flow() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, tag) = accepted(&mut hand);
    for method in ["BYE", "UPDATE", "INVITE", "OPTIONS"] {
        let body = if method == "INVITE" { offer("stolen") } else { Vec::new() };
        hand.hear_text(STRANGER, &request(method, &tag, 1, ""), &body);
        assert_eq!(hand.take_response().status, 481, "{method}");
    }
    assert!(!hand.saw(|e| matches!(e, Event::Ended { .. } | Event::Reoffer { .. })));
    hand.hear_text(FLOW, &request("BYE", &tag, 1, ""), b"");
    assert_eq!(hand.take_response().status, 200);
    assert!(hand.saw(|e| *e == Event::Ended { session, cause: EndCause::RemoteBye }));
    hand.finish();
}

#[test]
fn nobody_cancels_answers_or_acknowledges_from_another_flow() {
    let mut hand = Hand::new(Transport::Tls);
    hand.invited(FLOW, 1, "");
    hand.take_response();
    let cancel = request("CANCEL", "", 1, "").replace("z9hG4bKCANCEL", "z9hG4bKINVITE");
    hand.hear_text(STRANGER, &cancel, b"");
    assert_eq!(hand.take_response().status, 481);
    assert!(!hand.saw(|e| matches!(e, Event::Ended { .. })));
    hand.hear_text(FLOW, &cancel, b"");
    assert_eq!(hand.take_response().status, 200);
    assert_eq!(hand.take_response().status, 487);
    assert!(hand.saw(|e| matches!(e, Event::Ended { cause: EndCause::RemoteCancel, .. })));

    let (_, invite) = hand.call(None);
    let mut response = Response::new(486);
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        response.headers.push(name.clone(), invite.headers.get(&name).unwrap());
    }
    hand.hear(STRANGER, Message::Response(response));
    assert!(!hand.saw(|e| matches!(e, Event::Rejected { .. })));
    assert_eq!(hand.agent.counters().stray_responses, 1);
}

#[test]
fn a_wrong_remote_tag_or_an_old_number_moves_nothing() {
    let mut hand = Hand::new(Transport::Tls);
    let (_, tag) = accepted(&mut hand);
    let foreign = request("BYE", &tag, 1, "").replace("tag=p1", "tag=guess");
    hand.hear_text(FLOW, &foreign, b"");
    assert_eq!(hand.take_response().status, 481);
    let old = request("BYE", &tag, 1, "").replace("CSeq: 2", "CSeq: 1").replace("z9hG4bK", "z9hG4bKold");
    hand.hear_text(FLOW, &old, b"");
    assert_eq!(hand.take_response().status, 500);
    assert!(!hand.saw(|e| matches!(e, Event::Ended { .. })));
}

#[test]
fn in_dialog_requests_outside_our_set_are_405_and_options_is_answered() {
    let mut hand = Hand::new(Transport::Tls);
    let (_, tag) = accepted(&mut hand);
    let cases = [("INFO", 405), ("REFER", 405), ("MESSAGE", 405), ("OPTIONS", 200)];
    for (number, (method, status)) in (2..).zip(cases) {
        let text = request(method, &tag, 1, "").replace("CSeq: 2", &format!("CSeq: {number}"));
        hand.hear_text(FLOW, &text, b"");
        let response = hand.take_response();
        assert_eq!(response.status, status, "{method}");
        assert_eq!(response.headers.get(&HeaderName::Allow), Some("INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"));
    }
}

#[test]
fn a_closed_flow_ends_its_calls_and_requests_and_leaves_the_others() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, _) = accepted(&mut hand);
    let (calling, _) = hand.call(None);
    hand.invited(STRANGER, 2, "");
    let other = incoming(&hand);
    let mut options = Request::new(Method::Options, uri("sip:gw.example"));
    options.headers.push(HeaderName::From, NameAddr::new(uri("sip:a@a.invalid")).to_string());
    options.headers.push(HeaderName::To, "<sip:gw.example>");
    let transaction = hand.agent.request(FLOW, options, hand.now);
    hand.agent.handle_flow_closed(FLOW, hand.now);
    hand.drain();
    for session in [session, calling] {
        assert!(hand.saw(|e| *e == Event::Ended { session, cause: EndCause::FlowClosed }));
    }
    assert!(hand.saw(|e| *e == Event::RequestTimedOut { transaction }));
    assert!(!hand.saw(|e| *e == Event::Ended { session: other, cause: EndCause::FlowClosed }));
    let late = hand.agent.invite(FLOW, crate::pair::invitation(None), hand.now);
    hand.drain();
    assert!(hand.saw(|e| *e == Event::Ended { session: late, cause: EndCause::FlowClosed }));
    hand.agent.reject(other, 486, "", hand.now);
    hand.finish();
}

#[test]
fn one_flow_cannot_fill_the_table_for_the_others() {
    let mut hand = Hand::new(Transport::Tls);
    for n in 0..MAX_TRANSACTIONS_PER_FLOW + 5 {
        hand.invited(STRANGER, n, "");
    }
    let refused = hand
        .sent
        .iter()
        .filter(|(_, message)| matches!(message, Message::Response(response) if response.status == 503))
        .count();
    assert_eq!(refused, 5);
    hand.sent.clear();
    hand.invited(FLOW, 9999, "");
    assert_eq!(hand.take_response().status, 100);
}

#[test]
fn full_tables_refuse_calls_either_way() {
    let settings = Settings { max_sessions: 1, ..Settings::default() };
    let mut hand = Hand::with_settings(Transport::Tls, settings);
    hand.call(None);
    hand.invited(FLOW, 1, "");
    assert_eq!(hand.take_response().status, 503);
    hand.agent.invite(FLOW, crate::pair::invitation(None), hand.now);
    hand.drain();
    assert!(hand.saw(|e| matches!(e, Event::Rejected { status: 503, .. })));

    let settings = Settings { max_transactions: 1, ..Settings::default() };
    let mut hand = Hand::with_settings(Transport::Tls, settings);
    hand.call(None);
    hand.invited(FLOW, 1, "");
    assert_eq!(hand.take_response().status, 503);
    assert_eq!(hand.agent.counters().no_room, 1);
}

#[test]
fn an_owners_request_and_answer_get_what_is_missing_and_lose_what_is_not_listed() {
    let settings = Settings { surfaced: vec![Method::Message], ..Settings::default() };
    let mut hand = Hand::with_settings(Transport::Udp, settings);
    let mut register = Request::new(Method::Register, uri("sip:gw.example"));
    register.headers.push(HeaderName::To, "<sip:a@gw.example>");
    register.headers.push(HeaderName::From, "<sip:a@gw.example>");
    register.headers.push(HeaderName::UserAgent, "Secret/1");
    let transaction = hand.agent.request(FLOW, register, hand.now);
    hand.drain();
    let sent = hand.take_request("REGISTER");
    let names: Vec<String> = sent.headers.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names.join(" "), "Via Max-Forwards From To Call-ID CSeq Content-Length");
    assert!(sent.headers.via_top().unwrap().params.contains("rport"));
    hand.answer(&sent, 100, "", &[]);
    hand.answer(&sent, 200, "gw", &[]);
    assert!(
        matches!(&hand.events[..], [Event::Response { transaction: t, response }] if *t == transaction && response.status == 200)
    );
    hand.events.clear();

    hand.hear_text(FLOW, &request("MESSAGE", "", 1, "Content-Type: text/plain"), b"hi");
    let Event::IncomingRequest { transaction, .. } = &hand.events[0] else { panic!() };
    let mut response = Response::new(202);
    response.headers.push(HeaderName::Server, "Secret/1");
    response.headers.push(HeaderName::Via, "SIP/2.0/UDP forged.invalid;branch=z9hG4bKx");
    hand.agent.respond(*transaction, response, hand.now);
    hand.drain();
    let response = hand.take_response();
    assert_eq!(response.status, 202);
    assert!(response.headers.get(&HeaderName::Server).is_none());
    assert_eq!(response.headers.via_top().unwrap().host, "peer.invalid");
    assert!(response.headers.to().unwrap().tag().is_some());
    hand.run(Duration::from_secs(40));
    hand.finish();
}

#[test]
fn a_request_nobody_answers_times_out() {
    let mut hand = Hand::new(Transport::Udp);
    let mut options = Request::new(Method::Options, uri("sip:gw.example"));
    options.headers.push(HeaderName::From, "<sip:a@a.invalid>");
    options.headers.push(HeaderName::To, "<sip:gw.example>");
    let transaction = hand.agent.request(FLOW, options, hand.now);
    hand.finish();
    assert_eq!(hand.events, [Event::RequestTimedOut { transaction }]);
    // T1 doubling up to T2 within 64·T1.
    assert_eq!(hand.sent.len(), 11);
}

#[test]
fn an_update_offers_refreshes_or_comes_too_early() {
    let mut hand = Hand::new(Transport::Tls);
    hand.invited(FLOW, 1, "Supported: timer");
    let session = incoming(&hand);
    hand.agent.ring(session, 180, None, hand.now);
    hand.drain();
    assert_eq!(hand.take_response().status, 100);
    let tag = hand.take_response().headers.to().unwrap().tag().unwrap().to_owned();
    let update = |number: u32, more: &str| {
        let number = format!("CSeq: {number}");
        request("UPDATE", &tag, 1, more)
            .replace("CSeq: 2", &number)
            .replace("z9hG4bK", &format!("z9hG4bK{number}").replace(": ", ""))
    };
    let sdp = "Content-Type: application/sdp";
    hand.hear_text(FLOW, &update(2, sdp), &offer("early"));
    let early = hand.take_response();
    assert_eq!(early.status, 500);
    assert!(early.headers.retry_after().unwrap() <= 10);
    hand.hear_text(FLOW, &update(3, ""), b"");
    assert_eq!(hand.take_response().status, 200);

    hand.agent.accept(session, uri("sip:a@a.invalid"), offer("ours"), hand.now);
    hand.drain();
    assert_eq!(hand.take_response().status, 200);
    // The ACK is lost: the next request shows that the acceptance arrived.
    hand.hear_text(FLOW, &update(4, sdp), &offer("new"));
    assert!(hand.saw(|e| *e == Event::Confirmed { session }));
    assert!(hand.saw(|e| *e == Event::Reoffer { session, sdp: offer("new") }));
    hand.hear_text(FLOW, &update(5, sdp), &offer("newer"));
    assert_eq!(hand.take_response().status, 500);
    hand.agent.accept_reoffer(session, offer("agreed"), hand.now);
    hand.drain();
    assert_eq!(hand.take_response().body, offer("agreed"));
    // The same offer again is a refresh: answered without asking anybody.
    hand.events.clear();
    hand.hear_text(FLOW, &update(6, sdp), &offer("new"));
    assert_eq!(hand.take_response().body, offer("agreed"));
    hand.hear_text(FLOW, &update(7, "Supported: timer\nSession-Expires: 900;refresher=uac"), b"");
    let refreshed = hand.take_response();
    assert_eq!(refreshed.headers.session_expires(), Some((900, Some("uac"))));
    hand.hear_text(FLOW, &update(8, "Session-Expires: 10"), b"");
    assert_eq!(hand.take_response().status, 422);
    assert!(hand.events.is_empty());
    hand.agent.hang_up(session, hand.now);
    hand.finish();
}

#[test]
fn a_call_through_a_proxy_follows_its_route() {
    let mut hand = Hand::new(Transport::Tls);
    let (session, invite) = hand.call(None);
    hand.answer(&invite, 200, "t", &[(HeaderName::RecordRoute, "<sip:p2.example;lr>, <sip:p1.example;lr>")]);
    hand.agent.hang_up(session, hand.now);
    hand.drain();
    for method in ["ACK", "BYE"] {
        let request = hand.take_request(method);
        let routes: Vec<&str> = request.headers.values(&HeaderName::Route).collect();
        assert_eq!(routes, ["<sip:p1.example;lr>", "<sip:p2.example;lr>"], "{method}");
        assert_eq!(undertone_sip::wire::uri::uri_to_string(&request.uri), "sip:t@peer.invalid");
    }
}

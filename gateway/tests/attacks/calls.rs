//! Attacks on calls: forged and strange requests, bodies and ways round in a circle.

use std::time::Duration;

use undertone_gateway::core::limits::{MAX_CALLS_PER_ACCOUNT, MESSAGES_BURST};
use undertone_gateway::core::{REFUSAL_AFTER, REFUSAL_JITTER};

use crate::forgery::{Dialog, dialog, forged, invite, invite_of, is_invite, joined, last_status};
use crate::world::{self, DOMAIN, PhoneId, World};

/// All that may be sent inside a call, and what people send there in attacks.
const METHODS: [&str; 12] = [
    "BYE",
    "CANCEL",
    "REFER",
    "NOTIFY",
    "INVITE",
    "UPDATE",
    "INFO",
    "PRACK",
    "MESSAGE",
    "SUBSCRIBE",
    "PUBLISH",
    "OPTIONS",
];

#[test]
fn no_request_from_another_flow_touches_a_call_whatever_it_knows_of_it() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, _) = world.talk(alice, bob);
    let legs = [dialog(&world, alice), dialog(&world, bob)];
    let attackers = [world.phone("carol"), world.phone("alice"), world.connect("mallory")];
    let before = heard(&world, &[alice, bob]);
    let mut refused = 0;
    for attacker in attackers {
        for leg in &legs {
            for method in METHODS {
                world.send_raw(attacker, &forged(method, leg, refused));
                world.advance(Duration::from_millis(100));
                let status = last_status(&world, attacker);
                assert!(status == 481 || status == 405, "{method}: {status}");
                refused += 1;
            }
            world.send_raw(attacker, &forged("ACK", leg, refused));
        }
    }
    assert_eq!((heard(&world, &[alice, bob]), world.slots.len()), (before, 1));
    assert!(world.ended(alice).is_empty() && world.ended(bob).is_empty());
    println!("{refused} forged requests by 3 attackers who know both dialogs: all refused, 0 octets to the parties");
    world.hang_up(alice, here);
    assert!(world.slots.is_empty(), "its own parties still end it");
}

#[test]
fn no_cancel_or_answer_from_another_flow_ends_or_takes_a_ringing_call() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let attackers = [world.phone("carol"), world.phone("alice"), world.connect("mallory")];
    world.call(alice, "bob");
    world.ring(bob);
    let (asked, offered) = (invite_of(&world, alice), invite_of(&world, bob));
    let before = heard(&world, &[alice, bob]);
    let mut forgeries = 0;
    for attacker in attackers {
        for invite in [&asked, &offered] {
            world.send_raw(attacker, &invite.request("CANCEL"));
            assert_eq!(last_status(&world, attacker), 481);
            for status in [180, 200, 302, 486, 487, 603] {
                world.send_raw(attacker, &invite.response(status));
                forgeries += 1;
            }
            forgeries += 1;
        }
    }
    assert_eq!((heard(&world, &[alice, bob]), world.slots.len()), (before, 1));
    println!("{forgeries} forged CANCELs and answers that repeat every identifier: 0 octets to the parties");
    world.accept(bob);
    assert_eq!(world.statuses(alice), [180, 200]);
}

#[test]
fn what_a_party_sends_beside_the_call_itself_is_not_carried_to_the_other_party() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    world.talk(alice, bob);
    let leg = dialog(&world, alice);
    let before = heard(&world, &[bob, carol]);
    let methods = ["REFER", "NOTIFY", "MESSAGE", "SUBSCRIBE", "PUBLISH", "INFO", "PRACK", "OPTIONS"];
    for (n, method) in methods.into_iter().enumerate() {
        let to_carol = format!("Refer-To: <sip:carol@{DOMAIN}>\r\nReplaces: {}\r\nEvent: refer", leg.call_id);
        world.send_raw(alice, &forged(method, &leg, n).replace("Max-Forwards", &format!("{to_carol}\r\nMax-Forwards")));
        let status = last_status(&world, alice);
        assert!(status >= 400 || method == "OPTIONS" || method == "INFO", "{method}: {status}");
    }
    assert_eq!(heard(&world, &[bob, carol]), before);
    assert!(world.ringing_at(carol).is_none() && world.slots.len() == 1);
    println!("{} kinds of request inside an own call: 0 octets to anybody else", methods.len());
}

#[test]
fn a_compressed_or_multipart_body_is_refused_and_never_read() {
    let mut world = World::new(1);
    let (alice, bob, dave) = (world.phone("alice"), world.phone("bob"), joined(&mut world, "dave"));
    let sdp = String::from_utf8(world::offer(0)).unwrap();
    let parts = format!("--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b--\r\n");
    let forms = [
        ("Content-Type: application/sdp\r\nContent-Encoding: gzip", sdp.as_str()),
        ("Content-Type: application/sdp\r\ne: deflate", sdp.as_str()),
        ("Content-Type: application/sdp\r\nCONTENT-ENCODING: identity, x-zip", sdp.as_str()),
        ("Content-Type: multipart/mixed;boundary=b", parts.as_str()),
        ("c: multipart/related;type=\"application/sdp\";boundary=b", parts.as_str()),
        ("Content-Type: message/sip", parts.as_str()),
    ];
    for (n, (fields, body)) in forms.iter().enumerate() {
        world.send_raw(alice, &invite("alice", n, fields, body));
        assert_eq!(last_status(&world, alice), 415, "{fields}");
    }
    assert!(world.ringing_at(bob).is_none() && world.slots.is_empty());
    let readable = forged("MESSAGE", &Dialog::of_nobody(), 1).replace("sip:bob@", "sip:").replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: application/undertone-devices\r\nContent-Length: 4\r\n\r\nlist",
    );
    let fields = ["Content-Encoding: gzip\r\n", "e: identity, deflate\r\n"];
    for (n, field) in fields.into_iter().chain([""]).enumerate() {
        let message =
            readable.replace("forged1", &format!("forged{n}")).replace("Content-Type", &format!("{field}Content-Type"));
        world.send_raw(dave, &message);
        let expected = if field.is_empty() { 200 } else { 415 };
        assert_eq!(last_status(&world, dave), expected, "{field}: it is not the text it seems to be");
    }
    println!("{} forms of compressed and multipart bodies: all refused, nobody rang", forms.len() + 2);
}

#[test]
fn an_answer_with_a_compressed_or_multipart_body_is_never_passed_on() {
    for (fields, wrap) in [
        ("Content-Type: application/sdp\r\nContent-Encoding: gzip", ""),
        ("Content-Type: multipart/mixed;boundary=b", "--b\r\nContent-Type: application/sdp\r\n\r\n"),
        ("Content-Type: text/html", ""),
    ] {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.call(alice, "bob");
        world.ring(bob);
        let sdp = String::from_utf8(world::answer(1, &world.offered_to(bob).unwrap())).unwrap();
        let body = format!("{wrap}{sdp}");
        let answer = invite_of(&world, bob).response(200).replace(
            "Content-Length: 0\r\n\r\n",
            &format!("Contact: <sip:b@x.invalid>\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        );
        world.send_raw(bob, &answer);
        world.advance(Duration::from_secs(5));
        assert_eq!(world.statuses(alice), [180, 480], "{fields}");
        assert!(world.slots.is_empty());
    }
}

#[test]
fn the_last_hop_is_refused_and_a_loop_of_forwarding_phones_ends_at_the_calls_an_account_may_have() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    for (n, method) in ["INVITE", "OPTIONS", "MESSAGE", "REGISTER", "REFER"].into_iter().enumerate() {
        let request = invite("alice", n, "Content-Type: application/sdp", "").replace("INVITE", method);
        world.send_raw(alice, &request.replace("Max-Forwards: 70", "Max-Forwards: 0"));
        assert_eq!(last_status(&world, alice), 483, "{method}");
    }
    assert!(world.ringing_at(bob).is_none());
    // Bob's phone forwards every call to carol, carol's every call to bob.
    let sent = world.traffic.len();
    world.call(alice, "bob");
    let mut seen = [0, 0];
    for _ in 0..100 {
        for (n, (phone, next)) in [(bob, "carol"), (carol, "bob")].into_iter().enumerate() {
            let rang = world.received(phone).iter().filter(|message| is_invite(message)).count();
            for _ in seen[n]..rang {
                world.ring(phone);
                world.call(phone, next);
            }
            seen[n] = rang;
        }
    }
    let invites = world.traffic[sent..].iter().filter(|c| c.to_phone && c.bytes.starts_with(b"INVITE ")).count();
    assert!(invites <= 2 * MAX_CALLS_PER_ACCOUNT + 1, "{invites}");
    assert!(invites >= 2, "it went round");
    world.advance(Duration::from_secs(300));
    assert!(world.slots.is_empty(), "and it ends by itself");
    println!("a loop of two forwarding phones: {invites} INVITEs in all");
}

#[test]
fn a_call_or_redirection_through_the_own_domain_goes_round_no_second_time() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    let route = format!("Route: <sip:{DOMAIN};lr>, <sip:carol@{DOMAIN};lr>\r\nContent-Type: application/sdp");
    let sdp = String::from_utf8(world::offer(0)).unwrap();
    let sent = world.traffic.len();
    world.send_raw(alice, &invite("alice", 1, &route, &sdp).replace("Max-Forwards: 70", "Max-Forwards: 1"));
    let moved = invite_of(&world, bob).response(302);
    let back = format!("Contact: <sip:bob@{DOMAIN}>, <sip:carol@{DOMAIN}>\r\nContent-Length");
    world.send_raw(bob, &moved.replace("Content-Length", &back));
    world.advance(REFUSAL_AFTER + REFUSAL_JITTER);
    let invites = world.traffic[sent..].iter().filter(|c| c.to_phone && c.bytes.starts_with(b"INVITE ")).count();
    assert_eq!((invites, world.ringing_at(carol)), (1, None), "no Route and no Contact is followed");
    assert_eq!(world.statuses(alice), [480]);
}

#[test]
fn a_flood_of_one_flow_ends_that_flow_and_is_answered_no_more_than_it_asked() {
    let mut world = World::new(1);
    let (alice, bob, mallory) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    let (sent, flow) = (world.traffic.len(), world.phones[mallory.0].flow);
    for n in 0..1_000 {
        world.send_raw(mallory, &forged("OPTIONS", &Dialog::of_nobody(), n));
    }
    let answers = world.traffic[sent..].iter().filter(|c| c.to_phone && c.flow == flow).count();
    assert!(answers <= MESSAGES_BURST as usize && world.closed.contains(&flow), "{answers}");
    world.talk(alice, bob);
    assert_eq!(world.statuses(alice), [180, 200], "the others call as before");
    println!("1000 requests at once: {answers} answers, then the connection is closed");
}

/// Octets that these phones were sent so far.
fn heard(world: &World, ids: &[PhoneId]) -> usize {
    let flows: Vec<_> = ids.iter().map(|id| world.phones[id.0].flow).collect();
    world.traffic.iter().filter(|c| c.to_phone && flows.contains(&c.flow)).map(|c| c.bytes.len()).sum()
}

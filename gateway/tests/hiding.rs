//! Hiding: what one phone receives holds nothing of the other but its account name (privacy.md §1).
//!
//! Both phones are chatty: whatever they send goes through [`chatty`], which writes a phone's private words into
//! every header that may be there and every SDP line. Then everything the other phone received is searched for
//! them, and for every identifier the first phone used: Call-IDs, tags, branches, ICE credentials, host names.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use undertone_sip::sdp::Direction;
use undertone_sip::wire::{HeaderName, Message, NameAddr, parse};
use world::{DOMAIN, PhoneId, World, answer, description};

/// One way a call can go between a caller and a callee.
type Scenario = fn(&mut World, PhoneId, PhoneId);

const SCENARIOS: [(&str, Scenario); 22] = [
    ("call, caller hangs up", |world, alice, bob| {
        let (here, _) = world.talk(alice, bob);
        world.hang_up(alice, here);
    }),
    ("call, callee hangs up", |world, alice, bob| {
        let (_, there) = world.talk(alice, bob);
        world.hang_up(bob, there);
    }),
    ("answer without ringing", |world, alice, bob| {
        world.call(alice, "bob");
        world.accept(bob);
    }),
    ("early answer", |world, alice, bob| {
        world.call(alice, "bob");
        let session = world.ringing_at(bob).unwrap();
        let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
        world.act(bob, |agent, now| agent.ring(session, 183, Some(body), now));
        world.accept(bob);
    }),
    ("caller gives up", |world, alice, bob| {
        let call = world.call(alice, "bob");
        world.ring(bob);
        world.hang_up(alice, call);
    }),
    ("busy", |world, alice, bob| {
        world.call(alice, "bob");
        world.reject(bob, 486);
    }),
    ("declined", |world, alice, bob| {
        world.call(alice, "bob");
        world.ring(bob);
        world.reject(bob, 603);
    }),
    ("refused with words", |world, alice, bob| {
        world.call(alice, "bob");
        let session = world.ringing_at(bob).unwrap();
        world.act(bob, |agent, now| agent.reject(session, 488, "b0b-private-words", now));
    }),
    ("redirected", |world, alice, bob| {
        world.call(alice, "bob");
        world.reject(bob, 302);
    }),
    ("silent", |world, alice, _| {
        world.call(alice, "bob");
    }),
    ("offline", |world, alice, bob| {
        world.disconnect(bob);
        world.call(alice, "bob");
    }),
    ("unknown", |world, alice, _| {
        world.call(alice, "nobody");
    }),
    ("hold and resume", |world, alice, bob| {
        let (here, there) = world.talk(alice, bob);
        for direction in [Direction::SendOnly, Direction::SendRecv] {
            let mut offer = description(alice.0 as u8);
            offer.direction = direction;
            world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
            let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
            world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
        }
    }),
    ("change refused with words", |world, alice, bob| {
        let (here, there) = world.talk(alice, bob);
        let mut offer = description(alice.0 as u8);
        offer.direction = Direction::Inactive;
        world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
        world.act(bob, |agent, now| agent.refuse_reoffer(there, 488, "b0b-private-words", now));
    }),
    ("ICE restart", |world, alice, bob| {
        let (here, there) = world.talk(alice, bob);
        let mut offer = description(alice.0 as u8);
        offer.ice.as_mut().unwrap().ufrag = "al1ceRestart".to_owned();
        offer.direction = Direction::SendOnly;
        world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
        let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
        world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
    }),
    ("session refreshed for an hour", |world, alice, bob| {
        world.talk(alice, bob);
        for _ in 0..8 {
            world.advance(Duration::from_secs(450));
            for id in [alice, bob] {
                let request = world.register_request(id);
                world.request(id, request);
            }
        }
    }),
    ("connection lost", |world, alice, bob| {
        world.talk(alice, bob);
        world.disconnect(alice);
    }),
    ("plain offer refused", |world, alice, bob| {
        world.call_as(
            alice,
            "sip:alice@gw.example",
            "sip:bob@gw.example",
            b"v=0\r\no=- 1 1 IN IP4 192.0.2.99\r\n\
            s=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.99\r\n"
                .to_vec(),
        );
        assert!(world.ringing_at(bob).is_none());
    }),
    ("OPTIONS and MESSAGE", |world, alice, bob| {
        world.talk(alice, bob);
        for method in ["OPTIONS", "MESSAGE", "REFER", "SUBSCRIBE", "PUBLISH", "NOTIFY", "INFO", "AL1CEMETHOD"] {
            world.send_raw(alice, &stray(method));
        }
    }),
    ("unreadable message", |world, alice, bob| {
        world.talk(alice, bob);
        world.send_raw(alice, &stray("OPTIONS").replace("Max-Forwards: 70", "Max-Forwards: al1ce-garbage"));
    }),
    ("ringing on two devices", |world, alice, bob| {
        let other = world.phone("bob");
        world.talk(alice, bob);
        world.events(other);
    }),
    ("both hang up at once", |world, alice, bob| {
        let (here, there) = world.talk(alice, bob);
        let now = world.now;
        world.phones[alice.0].agent.hang_up(here, now);
        world.phones[bob.0].agent.hang_up(there, now);
        world.settle();
    }),
];

#[test]
fn no_phone_receives_anything_private_of_the_other() {
    for (name, scenario) in SCENARIOS {
        let mut world = World::new(11);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.phones[alice.0].disguise = Some(|message| chatty(message, "al1ce-private-words"));
        world.phones[bob.0].disguise = Some(|message| chatty(message, "b0b-private-words"));
        scenario(&mut world, alice, bob);
        world.advance(Duration::from_secs(60));
        for (from, to, others_name) in [(alice, bob, "bob"), (bob, alice, "alice")] {
            let heard = heard_by(&world, to);
            for secret in secrets_of(&world, from) {
                assert!(!heard.contains(&secret), "{name}: {others_name} received {secret:?} in\n{heard}");
            }
        }
    }
}

#[test]
fn phones_that_say_everything_and_phones_that_say_nothing_look_the_same_to_the_other() {
    let run = |is_chatty: bool| {
        let mut world = World::new(12);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        if is_chatty {
            world.phones[alice.0].disguise = Some(|message| chatty(message, "al1ce-private-words"));
        }
        let (here, _) = world.talk(alice, bob);
        world.hang_up(alice, here);
        world.received(bob)
    };
    assert_eq!(run(true), run(false), "not even the shape of what bob hears depends on it");
}

#[test]
fn an_address_written_into_every_header_and_line_does_not_arrive() {
    const ALICES: &str = "192.0.2.231";
    const BOBS: &str = "192.0.2.232";
    let mut world = World::new(13);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.phones[alice.0].disguise = Some(|message| chatty(message, ALICES));
    world.phones[bob.0].disguise = Some(|message| chatty(message, BOBS));
    let (here, there) = world.talk(alice, bob);
    let mut offer = description(alice.0 as u8);
    offer.direction = Direction::SendOnly;
    world.act(alice, |agent, now| agent.reoffer(here, offer.to_bytes(), now));
    let body = answer(bob.0 as u8, &world.offered_to(bob).unwrap());
    world.act(bob, |agent, now| agent.accept_reoffer(there, body, now));
    world.hang_up(bob, there);
    assert!(!heard_by(&world, bob).contains(ALICES));
    assert!(!heard_by(&world, alice).contains(BOBS));
}

#[test]
fn a_phones_own_words_come_back_only_where_an_answer_must_repeat_them() {
    let mut world = World::new(14);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.phones[alice.0].disguise = Some(|message| chatty(message, "al1ce-private-words"));
    world.talk(alice, bob);
    for line in heard_by(&world, alice).lines().filter(|line| line.contains("private-words")) {
        // RFC 3261 §8.2.6.2: Via, From, To, Call-ID and CSeq are copied from one's own request.
        assert!(["Via: ", "From: ", "To: "].iter().any(|name| line.starts_with(name)), "{line}");
    }
}

/// Writes `word` wherever a phone could write something about itself, without breaking the message.
fn chatty(message: Message, word: &str) -> Message {
    match message {
        Message::Request(mut request) => {
            let headers = std::mem::take(&mut request.headers);
            request.headers = chatty_headers(headers, word);
            request.body = chatty_sdp(request.body, word);
            Message::Request(request)
        }
        Message::Response(mut response) => {
            let headers = std::mem::take(&mut response.headers);
            response.headers = chatty_headers(headers, word);
            response.body = chatty_sdp(response.body, word);
            response.reason = format!("{} {word}", response.reason);
            Message::Response(response)
        }
    }
}

fn chatty_headers(headers: undertone_sip::wire::Headers, word: &str) -> undertone_sip::wire::Headers {
    let mut out: undertone_sip::wire::Headers =
        headers.iter().map(|(name, value)| (name.clone(), chatty_value(name, value, word))).collect();
    for name in [
        "User-Agent",
        "Server",
        "Organization",
        "Subject",
        "Reply-To",
        "Date",
        "Timestamp",
        "Warning",
        "Accept-Language",
        "Call-Info",
        "Alert-Info",
        "Error-Info",
        "In-Reply-To",
        "Priority",
        "History-Info",
        "Diversion",
        "Geolocation",
        "Session-ID",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "X-Phone",
        "User-to-User",
        "Identity",
        "Referred-By",
        "Reason",
        "Content-Disposition",
        "MIME-Version",
        "P-Access-Network-Info",
    ] {
        let value = match name {
            "Date" | "Timestamp" | "MIME-Version" | "Warning" => continue,
            "Reply-To"
            | "P-Asserted-Identity"
            | "P-Preferred-Identity"
            | "Remote-Party-ID"
            | "Referred-By"
            | "History-Info"
            | "Diversion" => format!("<sip:{word}@{word}.example>"),
            "Call-Info" | "Alert-Info" | "Error-Info" => format!("<http://{word}.example/me.png>"),
            "Reason" => format!("SIP;cause=200;text=\"{word}\""),
            "Content-Disposition" => "session".to_owned(),
            "In-Reply-To" => format!("{word}@{word}"),
            _ => word.to_owned(),
        };
        out.push(HeaderName::parse(name), value);
    }
    out
}

fn chatty_value(name: &HeaderName, value: &str, word: &str) -> String {
    match name {
        // What the other side of the dialog said must stay as it is; one's own name may be decorated.
        HeaderName::From | HeaderName::To => match NameAddr::parse(value) {
            Ok(mut address) => {
                address.display = Some(word.to_owned());
                address.to_string()
            }
            Err(_) => value.to_owned(),
        },
        HeaderName::Contact => format!("{value};phone={word}").replacen("<sip:", &format!("\"{word}\" <sip:"), 1),
        HeaderName::Supported => format!("{value}, {word}"),
        HeaderName::Allow => format!("{value}, {}", word.replace('.', "").to_ascii_uppercase()),
        _ => value.to_owned(),
    }
}

fn chatty_sdp(body: Vec<u8>, word: &str) -> Vec<u8> {
    let Ok(text) = String::from_utf8(body) else { return Vec::new() };
    if text.is_empty() {
        return Vec::new();
    }
    let mut out = String::new();
    for line in text.lines() {
        let own = match line.split_at(2) {
            ("o=", rest) => {
                format!("o={word} {} {}", rest.split(' ').nth(1).unwrap(), rest.split(' ').nth(2).unwrap())
                    + " IN IP4 192.0.2.99"
            }
            ("s=", _) => format!(
                "s={word}\r\ni={word}\r\nu=http://{word}.example/\r\ne={word}@{word}.example\r\np=+1 555\r\nc=IN IP4 192.0.2.99"
            ),
            ("m=", rest) => format!(
                "a=tool:{word}\r\na=x-session:{word}\r\nm={}\r\ni={word}",
                rest.replacen("audio 9 ", "audio 4999 ", 1)
            ),
            _ => line.to_owned(),
        };
        out.push_str(&own);
        out.push_str("\r\n");
    }
    for line in [
        "a=rtcp:5000 IN IP4 192.0.2.99".to_owned(),
        "a=candidate:1 1 UDP 2130706431 192.0.2.99 4999 typ host".to_owned(),
        format!("a=candidate:2 1 UDP 2130706430 {}.local 4999 typ host", word.replace('.', "-")),
        format!("a=ssrc:12345 cname:{word}"),
        format!("a=msid:{word} {word}"),
        format!("a=cname:{word}"),
        format!("a=label:{word}"),
        format!("a=extmap:1 urn:{word}"),
        format!("a=ice-options:{word}"),
        format!("a=x-media:{word}"),
        format!("a=fmtp:111 x-name={word}"),
    ] {
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out.into_bytes()
}

/// Everything that identifies this phone and its side of its dialogs.
fn secrets_of(world: &World, id: PhoneId) -> BTreeSet<String> {
    let flow = world.phones[id.0].flow;
    let mut secrets = BTreeSet::from([
        format!("host{}.invalid", id.0),
        format!("00000000-0000-4000-8000-{:012}", id.0),
        format!("phone{:03}", id.0),
        format!("phonepassword{:03}ABCDEFGH", id.0),
        format!("{}", 1_000_000 + id.0),
        if id.0 == 0 { "al1ce" } else { "b0b" }.to_owned(),
        "192.0.2.99".to_owned(),
        "4999".to_owned(),
    ]);
    for crossing in world.traffic.iter().filter(|crossing| crossing.flow == flow) {
        let Ok(message) = parse(&crossing.bytes) else { continue };
        let headers = message.headers();
        secrets.insert(headers.call_id().unwrap().to_owned());
        let tags = [headers.from(), headers.to()].into_iter().flatten().filter_map(|a| a.tag().map(str::to_owned));
        secrets.extend(tags.filter(|tag| tag.len() > 3));
        secrets.extend(headers.via_top().unwrap().branch().map(str::to_owned));
        secrets.extend(headers.get(&HeaderName::Authorization).map(str::to_owned));
        if !crossing.to_phone {
            continue;
        }
        // What the gateway told this leg alone: its ICE credentials, its o= number, its contact token.
        let told = String::from_utf8_lossy(message.body()).into_owned();
        let own = ["a=ice-ufrag:", "a=ice-pwd:", "o=- "];
        let values = told.lines().filter_map(|line| own.iter().find_map(|name| line.strip_prefix(name)));
        secrets.extend(values.map(|value| value.split(' ').next().unwrap().to_owned()));
        if let Ok(contact) = headers.contact() {
            secrets.extend(contact.uri.user().filter(|user| user.len() == 32).map(str::to_owned));
        }
    }
    secrets.retain(|secret| !secret.is_empty());
    secrets
}

fn heard_by(world: &World, id: PhoneId) -> String {
    let flow = world.phones[id.0].flow;
    let heard = world.traffic.iter().filter(|crossing| crossing.flow == flow && crossing.to_phone);
    heard.map(|crossing| String::from_utf8_lossy(&crossing.bytes).into_owned()).collect()
}

fn stray(method: &str) -> String {
    format!(
        "{method} sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS al1ce.example;branch=z9hG4bKal1ce{method}\r\n\
         Max-Forwards: 70\r\nFrom: \"al1ce\" <sip:alice@{DOMAIN}>;tag=al1cetag\r\nTo: <sip:bob@{DOMAIN}>\r\n\
         Call-ID: al1ce{method}\r\nCSeq: 1 {method}\r\nContact: <sip:al1ce@al1ce.example>\r\nSubject: al1ce\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nal1ce"
    )
}

#[test]
fn the_words_are_really_sent() {
    let mut world = World::new(11);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.phones[alice.0].disguise = Some(|message| chatty(message, "al1ce-private-words"));
    world.call_as(alice, "sip:alice@gw.example", "sip:bob@gw.example", world::offer(0));
    assert!(world.ringing_at(bob).is_some());
    let flow = world.phones[alice.0].flow;
    let invite = world.traffic.iter().rev().find(|c| c.flow == flow && !c.to_phone && c.bytes.starts_with(b"INVITE"));
    let text = String::from_utf8(invite.unwrap().bytes.clone()).unwrap();
    assert!(text.matches("al1ce-private-words").count() > 40, "{text}");
}

//! What phones and observers may learn from the wire: nothing but account names, one datagram size and one rhythm.
//!
//! Real cores of phones, gateway and relay in virtual time. Looked at are the bytes each phone received and sent:
//! signalling as it is inside TLS, and datagrams.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use undertone::core::command::Command;
use undertone::core::event::{EndReason, Event, Verification};
use undertone_sip::wire::{HeaderName, Message, parse};
use undertone_tests::world::{Break, DOMAIN, Exchange, FRAME, Kind, Line, RELAY, StationId, World};

/// Shorter words prove nothing by standing in another message.
const SHORTEST_SECRET: usize = 6;
/// Quieter than any speech.
const SILENCE: f32 = 0.002;
/// A phone's host name, as a talkative phone would tell it.
const HOST_NAME: &str = "alices-laptop.home.example";
/// Magic cookie of STUN, with which addresses are masked (RFC 8489 §14.2).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

type Scenario = (&'static str, fn(&mut World, StationId, StationId));

const SCENARIOS: [Scenario; 18] = [
    ("the caller hangs up", |world, alice, bob| {
        talk(world, alice, bob);
        end(world, alice, bob);
    }),
    ("the callee hangs up", |world, alice, bob| {
        talk(world, alice, bob);
        end(world, bob, alice);
    }),
    ("the callee rejects", |world, alice, bob| {
        ring(world, alice, bob);
        world.command(bob, Command::Reject);
        world.wait_ended(&[alice]);
    }),
    ("the caller cancels", |world, alice, bob| {
        ring(world, alice, bob);
        world.command(alice, Command::HangUp);
        world.wait_ended(&[alice, bob]);
    }),
    ("the caller cancels before it rings", |world, alice, _| {
        world.dial(alice, "bob");
        world.command(alice, Command::HangUp);
        world.run_for(Duration::from_secs(1));
    }),
    ("nobody answers", |world, alice, bob| {
        ring(world, alice, bob);
        world.wait_ended(&[alice, bob]);
    }),
    ("the callee is busy", |world, alice, bob| {
        let carol = world.add("carol");
        world.wait_ready(&[carol]);
        world.dial(carol, "bob");
        world.wait_ringing(bob);
        world.dial(alice, "bob");
        world.wait_ended(&[alice]);
    }),
    ("unknown name", |world, alice, _| {
        world.dial(alice, "zaphod");
        world.wait_ended(&[alice]);
    }),
    ("offline callee", |world, alice, bob| {
        world.station_mut(bob).online = false;
        world.break_signalling(bob, Break::Reset);
        world.dial(alice, "bob");
        world.wait_ended(&[alice]);
    }),
    ("hold and resume", |world, alice, bob| {
        talk(world, alice, bob);
        for (holder, on) in [(alice, true), (alice, false), (bob, true), (bob, false)] {
            world.command(holder, Command::Hold(on));
            world.run_for(Duration::from_millis(500));
        }
    }),
    ("mute and keys of the dial pad", |world, alice, bob| {
        talk(world, alice, bob);
        world.command(alice, Command::Mute(true));
        world.command(bob, Command::Dtmf('7'));
        world.run_for(Duration::from_secs(2));
    }),
    ("both dial at once", |world, alice, bob| {
        world.dial(alice, "bob");
        world.dial(bob, "alice");
        world.wait_ended(&[alice, bob]);
    }),
    ("another device answers", |world, alice, bob| {
        let pocket = world.add("bob");
        world.wait_ready(&[pocket]);
        ring(world, alice, bob);
        world.command(pocket, Command::Answer);
        world.wait_sound(&[alice, pocket]);
    }),
    ("the caller's connection breaks", |world, alice, bob| {
        talk(world, alice, bob);
        world.break_signalling(alice, Break::Reset);
        world.wait_ended(&[alice, bob]);
        world.run_for(Duration::from_secs(5));
    }),
    ("the connection breaks while it rings", |world, alice, bob| {
        ring(world, alice, bob);
        world.break_signalling(bob, Break::Reset);
        world.wait_ended(&[alice, bob]);
    }),
    ("the caller's media address changes", |world, alice, bob| {
        talk(world, alice, bob);
        world.rebind(alice);
        world.run_for(Duration::from_secs(8));
    }),
    ("a line that loses, doubles and reorders", |world, alice, bob| {
        world.set_line(alice, Line::bad(0.2));
        talk(world, alice, bob);
        end(world, alice, bob);
    }),
    ("no media path", |world, alice, bob| {
        world.set_line(bob, Line::DEAD);
        ring(world, alice, bob);
        world.command(bob, Command::Answer);
        world.wait_ended(&[alice, bob]);
    }),
];

#[test]
fn no_byte_a_phone_receives_tells_anything_of_the_other_phone() {
    for (n, (name, play)) in SCENARIOS.into_iter().enumerate() {
        let (mut world, alice, bob) = World::alice_and_bob(100 + n as u64);
        play(&mut world, alice, bob);
        for (owner, other) in [(alice, bob), (bob, alice)] {
            let secrets = secrets(&world, owner);
            assert!(secrets.len() >= 8, "{name}: {secrets:?}");
            let own = &world.station(owner).received;
            assert!(own.iter().any(|e| secrets.iter().any(|s| contains(&e.bytes, s.as_bytes()))), "the search finds");
            tells_nothing(name, &secrets, &world.station(other).received);
        }
    }
}

#[test]
fn a_phone_that_writes_its_address_everywhere_is_still_hidden_and_can_call() {
    for (n, talker) in [0, 1].into_iter().enumerate() {
        let (mut world, alice, bob) = World::alice_and_bob(130 + n as u64);
        let talkative = if talker == 0 { alice } else { bob };
        let address = world.station(talkative).media_address;
        world.disguise =
            Some(Box::new(move |id, message| if id == talkative { blab(message, address) } else { message }));
        talk(&mut world, alice, bob);
        end(&mut world, alice, bob);
        let (listener, mut secrets) = (if talker == 0 { bob } else { alice }, secrets(&world, talkative));
        secrets.insert(HOST_NAME.to_owned());
        let sent = &world.station(talkative).sent;
        assert!(sent.iter().filter(|e| text(e).contains(HOST_NAME)).count() >= 3, "it did blab");
        tells_nothing("blabbing", &secrets, &world.station(listener).received);
    }
}

#[test]
fn nothing_a_phone_receives_links_two_calls_of_another() {
    let (mut world, alice, bob) = World::alice_and_bob(140);
    let mut calls = Vec::new();
    for round in 1..=2 {
        let from = world.station(bob).received.len();
        talk(&mut world, alice, bob);
        world.command(alice, Command::HangUp);
        world.run_until("both have ended", |world| world.station(bob).count("ended") == round);
        let received = &world.station(bob).received[from..];
        let texts: Vec<String> = signalling(received).into_iter().map(text).collect();
        let carried = texts.iter().flat_map(|t| t.lines()).filter_map(end_to_end_value).map(str::to_owned);
        let identifiers: BTreeSet<String> =
            signalling(received).into_iter().flat_map(identifiers).chain(carried).collect();
        calls.push(identifiers.into_iter().filter(|value| !is_public(value)).collect::<BTreeSet<_>>());
    }
    assert!(calls[0].len() >= 8, "{:?}", calls[0]);
    let host = via_hosts(&world, bob);
    let common: Vec<&String> = calls[0].intersection(&calls[1]).filter(|value| !host.contains(*value)).collect();
    assert!(common.is_empty(), "{common:?}");
}

#[test]
fn a_phones_own_offer_names_no_address_at_all() {
    let (world, alice, bob) = World::talking(141);
    for id in [alice, bob] {
        let station = world.station(id);
        let ip = station.media_address.ip().to_string();
        for exchange in signalling(&station.sent) {
            let message = text(exchange);
            assert!(!message.contains(&ip) && !message.contains("a=candidate"), "{message}");
            if message.contains("m=audio") {
                assert!(message.contains("m=audio 9 ") && message.contains("c=IN IP4 0.0.0.0"), "{message}");
            }
        }
    }
}

#[test]
fn datagrams_go_to_the_relay_and_come_from_it_and_nowhere_else() {
    let (mut world, alice, bob) = World::talking(142);
    world.run_for(Duration::from_secs(5));
    world.rebind(bob);
    world.run_for(Duration::from_secs(5));
    end(&mut world, bob, alice);
    assert_eq!(world.strays, []);
    for id in [alice, bob] {
        let station = world.station(id);
        let peers: BTreeSet<SocketAddr> =
            station.sent.iter().chain(&station.received).filter_map(|exchange| exchange.peer).collect();
        assert_eq!(peers, BTreeSet::from([RELAY]));
        let kinds: BTreeSet<Kind> = station.sent.iter().map(|exchange| exchange.kind).collect();
        assert!(!kinds.contains(&Kind::Other), "{kinds:?}");
        let shown = station.events.iter().find_map(|(_, event)| match event {
            Event::Statistics(figures) => Some(figures.addresses.clone()),
            _ => None,
        });
        assert_eq!(shown, Some(vec![RELAY]), "and the person can see it");
    }
}

#[test]
fn media_has_one_size_and_one_rhythm_in_speech_silence_mute_and_hold() {
    let (mut world, alice, bob) = World::talking(143);
    world.run_for(Duration::from_secs(6));
    world.station_mut(alice).silent = true;
    world.run_for(Duration::from_secs(3));
    world.command(alice, Command::Mute(true));
    world.run_for(Duration::from_secs(3));
    world.command(alice, Command::Hold(true));
    world.run_for(Duration::from_secs(3));
    world.command(alice, Command::Hold(false));
    world.command(alice, Command::Mute(false));
    world.station_mut(alice).silent = false;
    world.command(alice, Command::Dtmf('1'));
    world.command(bob, Command::Hold(true));
    world.run_for(Duration::from_secs(3));
    for id in [alice, bob] {
        let station = world.station(id);
        let sizes: BTreeSet<usize> = station.sent_of(Kind::Rtp).map(|packet| packet.bytes.len()).collect();
        assert_eq!(sizes.len(), 1, "{sizes:?}");
        let times: Vec<Duration> = station.sent_of(Kind::Rtp).map(|packet| packet.at).collect();
        assert!(times.len() > 850, "{}", times.len());
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= 3 * FRAME, "{longest:?}");
        let reports: BTreeSet<usize> = station.sent_of(Kind::Rtcp).map(|packet| packet.bytes.len()).collect();
        assert!(!reports.is_empty());
        assert_eq!(reports, sizes, "a report looks like sound");
        let first_bytes: BTreeSet<[u8; 2]> =
            station.sent_of(Kind::Rtp).map(|packet| [packet.bytes[0], packet.bytes[1]]).collect();
        assert_eq!(first_bytes.len(), 1, "one payload type, no marker, no extension: {first_bytes:?}");
        assert_eq!(first_bytes.first().map(|[first, second]| (first & 0x1f, second & 0x80)), Some((0, 0)));
    }
}

#[test]
fn sound_never_leaves_before_keys_exist() {
    let (world, alice, bob) = World::talking(144);
    for id in [alice, bob] {
        let station = world.station(id);
        let encrypted = station.last("encrypted").unwrap();
        assert!(station.sent_of(Kind::Rtp).all(|packet| packet.at >= encrypted));
    }
}

#[test]
fn a_gateway_that_swaps_fingerprints_ends_the_call_before_any_sound() {
    for (seed, towards_caller, towards_callee) in [(145, true, true), (146, true, false), (147, false, true)] {
        let (mut world, alice, bob) = World::alice_and_bob(seed);
        world.falsify = Some(Box::new(move |to, message| {
            let lies = if to == alice { towards_caller } else { towards_callee };
            if lies { with_body(message, other_fingerprint) } else { message }
        }));
        ring(&mut world, alice, bob);
        world.command(bob, Command::Answer);
        world.wait_ended(&[alice, bob]);
        let why = [world.station(alice).ended(), world.station(bob).ended()];
        assert!(why.contains(&Some(EndReason::WrongKey)), "{why:?}");
        if towards_caller && towards_callee {
            assert!(!why.contains(&Some(EndReason::HungUpHere)), "{why:?}");
        }
        for id in [alice, bob] {
            assert_eq!(world.station(id).count("sound_started"), 0);
            assert!(world.station(id).heard.iter().all(|sample| *sample == 0.0));
        }
        world.run_for(Duration::from_secs(40));
        assert_eq!(world.open_slots(), 0);
    }
}

#[test]
fn a_gateway_that_strips_the_fingerprint_gets_no_call_at_all() {
    let (mut world, alice, bob) = World::alice_and_bob(148);
    world.falsify = Some(Box::new(|_, message| with_body(message, |sdp| without_line(sdp, "a=fingerprint"))));
    world.dial(alice, "bob");
    world.wait_ended(&[alice]);
    assert_eq!(world.station(bob).count("ringing"), 0);
    assert!(world.station(bob).saw(|event| matches!(event, Event::Refused { .. })));
    for id in [alice, bob] {
        assert_eq!(world.station(id).sent_of(Kind::Rtp).count(), 0);
    }
}

#[test]
fn a_gateway_that_strips_the_verification_is_shown_as_such() {
    let (mut world, alice, bob) = World::alice_and_bob(149);
    world.falsify = Some(Box::new(|_, message| with_body(message, |sdp| without_line(sdp, "a=vfy"))));
    ring(&mut world, alice, bob);
    world.command(bob, Command::Answer);
    world.run_until("sound has started", |world| world.station(alice).count("sound_started") > 0);
    world.run_for(Duration::from_secs(1));
    for id in [alice, bob] {
        let labelled =
            |event: &Event| matches!(event, Event::Encrypted { verification: Verification::CannotBeVerified, .. });
        assert!(world.station(id).saw(labelled));
        assert_eq!(world.station(id).count("safety_words"), 0);
    }
}

#[test]
fn a_gateway_that_strips_the_post_quantum_announcement_gets_no_word_and_is_found_out() {
    for (seed, from_offer, from_answer) in [(150, true, true), (151, true, false), (152, false, true)] {
        let (mut world, alice, bob) = World::alice_and_bob(seed);
        world.falsify = Some(Box::new(move |to, message| {
            let lies = if to == bob { from_offer } else { from_answer };
            if lies { with_body(message, |sdp| without_line(sdp, "a=vfy-pq")) } else { message }
        }));
        ring(&mut world, alice, bob);
        world.command(bob, Command::Answer);
        world.wait_ended(&[alice, bob]);
        found_out(&mut world, alice, bob);
    }
}

#[test]
fn a_gateway_that_adds_the_post_quantum_announcement_to_an_answer_gets_no_word_and_is_found_out() {
    let (mut world, alice, bob) = World::alice_and_bob(153);
    world.falsify = Some(Box::new(move |to, message| {
        with_body(message, |sdp| match (to == bob, sdp.is_empty()) {
            (true, _) => without_line(sdp, "a=vfy-pq"),
            (false, true) => String::new(),
            (false, false) => format!("{sdp}a=vfy-pq:1\r\n"),
        })
    }));
    ring(&mut world, alice, bob);
    world.command(bob, Command::Answer);
    world.wait_ended(&[alice, bob]);
    found_out(&mut world, alice, bob);
}

/// One of the phones says what was done to the call, and neither heard or was shown anything.
fn found_out(world: &mut World, alice: StationId, bob: StationId) {
    let says_why = |event: &Event| {
        matches!(event, Event::Ended { why: EndReason::VerificationFailed, detail, .. }
            if detail == "the protection against future quantum computers was stripped from this call")
    };
    assert!([alice, bob].iter().any(|id| world.station(*id).saw(says_why)), "{:#?}", world.all_events());
    for id in [alice, bob] {
        let station = world.station(id);
        assert_eq!(station.count("safety_words"), 0);
        assert!(!station.saw(|event| matches!(event, Event::Encrypted { post_quantum: true, .. })));
        assert!(station.heard.iter().all(|sample| sample.abs() < SILENCE), "encoded silence at most");
        assert!(station.last("ended").unwrap() < station.last("connecting").unwrap() + Duration::from_secs(2));
    }
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.open_slots(), 0);
}

fn ring(world: &mut World, alice: StationId, bob: StationId) {
    world.dial(alice, "bob");
    world.wait_ringing(bob);
}

fn talk(world: &mut World, alice: StationId, bob: StationId) {
    ring(world, alice, bob);
    world.command(bob, Command::Answer);
    world.wait_sound(&[alice, bob]);
    world.run_for(Duration::from_millis(500));
}

fn end(world: &mut World, who: StationId, other: StationId) {
    world.command(who, Command::HangUp);
    world.wait_ended(&[who, other]);
    world.run_for(Duration::from_secs(1));
}

/// Everything that only this phone and the gateway may know: whatever names its side of its dialogs, its addresses.
fn secrets(world: &World, id: StationId) -> BTreeSet<String> {
    let station = world.station(id);
    let crossed = signalling(&station.sent).into_iter().chain(signalling(&station.received));
    let mut secrets: BTreeSet<String> = crossed.flat_map(identifiers).filter(|value| !is_public(value)).collect();
    secrets.insert(station.instance(id));
    secrets.insert(station.media_address.ip().to_string());
    secrets
}

fn tells_nothing(scenario: &str, secrets: &BTreeSet<String>, received: &[Exchange]) {
    let addresses: Vec<[u8; 4]> = secrets.iter().filter_map(|secret| secret.parse().ok()).flat_map(octets).collect();
    for exchange in received.iter().filter(|exchange| exchange.kind.is_readable()) {
        for secret in secrets {
            assert!(!contains(&exchange.bytes, secret.as_bytes()), "{scenario}: {secret} in\n{}", text(exchange));
        }
        for address in addresses.iter().filter(|_| exchange.kind == Kind::Stun) {
            assert!(!contains(&exchange.bytes, address), "{scenario}: an address in {exchange:?}");
        }
    }
}

/// An address as it stands in STUN: plain and masked.
fn octets(address: IpAddr) -> Vec<[u8; 4]> {
    let IpAddr::V4(v4) = address else { return Vec::new() };
    let plain = v4.octets();
    vec![plain, std::array::from_fn(|n| plain[n] ^ COOKIE[n])]
}

/// What names a dialog, a transaction, a flow or a media leg.
fn identifiers(exchange: &Exchange) -> Vec<String> {
    let Ok(message) = parse(&exchange.bytes) else { return Vec::new() };
    let (headers, body) = match &message {
        Message::Request(request) => (&request.headers, &request.body),
        Message::Response(response) => (&response.headers, &response.body),
    };
    let mut found = vec![headers.call_id().unwrap().to_owned()];
    found.extend([headers.from(), headers.to()].into_iter().flatten().filter_map(|n| n.tag().map(str::to_owned)));
    if let Ok(via) = headers.via_top() {
        found.push(via.host.clone());
        found.extend(via.branch().map(str::to_owned));
    }
    for contact in headers.get_all(&HeaderName::Contact) {
        found.extend(contact.split(['<', '>', ';', ':', '@', '"', '=']).map(str::to_owned));
    }
    for line in String::from_utf8_lossy(body).lines() {
        let value = match line.split_once(['=', ':']) {
            Some(("o", origin)) => origin.split(' ').nth(1),
            _ => ["a=ice-ufrag:", "a=ice-pwd:"].iter().find_map(|key| line.strip_prefix(key)),
        };
        found.extend(value.map(str::to_owned));
    }
    found
}

/// What the gateway carries from phone to phone.
fn end_to_end_value(line: &str) -> Option<&str> {
    ["a=fingerprint:sha-256 ", "a=tls-id:"].iter().find_map(|key| line.strip_prefix(key))
}

/// Words of the protocol, account names and the gateway's own name say nothing.
fn is_public(value: &str) -> bool {
    let words = ["sip", "transport", "tls", "expires", "reg-id", "+sip.instance", "urn", "uuid", "alice", "bob"];
    value.len() < SHORTEST_SECRET || value == DOMAIN || words.contains(&value.trim())
}

fn via_hosts(world: &World, id: StationId) -> BTreeSet<String> {
    // A phone reads in answers what it wrote itself on this connection: its own Via host names the connection.
    let own = signalling(&world.station(id).sent).into_iter().filter_map(|exchange| {
        let Ok(Message::Request(request)) = parse(&exchange.bytes) else { return None };
        request.headers.via_top().ok().map(|via| via.host)
    });
    own.collect()
}

/// A phone that tells where it is wherever there is room for it.
fn blab(message: Message, address: SocketAddr) -> Message {
    let mut message = with_body(message, |sdp| blabbing_sdp(sdp, address));
    let headers = match &mut message {
        Message::Request(request) => &mut request.headers,
        Message::Response(response) => &mut response.headers,
    };
    let said = format!("{HOST_NAME} at {address}");
    for name in ["User-Agent", "Server", "Subject", "Organization", "X-Real-IP", "P-Called-Party-ID", "Call-Info"] {
        headers.push(HeaderName::Other(name.to_owned()), said.clone());
    }
    for name in ["Reply-To", "P-Asserted-Identity", "History-Info", "Diversion", "Referred-By", "Geolocation"] {
        headers.push(HeaderName::Other(name.to_owned()), format!("<sip:alice@{HOST_NAME}>;ip={address}"));
    }
    message
}

fn blabbing_sdp(sdp: &str, address: SocketAddr) -> String {
    let ip = address.ip();
    let named = sdp
        .replace(
            "s=-\r\n",
            &format!("s={HOST_NAME}\r\ni={HOST_NAME} {ip}\r\nu=http://{HOST_NAME}/\r\ne=a@{HOST_NAME}\r\n"),
        )
        .replace("c=IN IP4 0.0.0.0", &format!("c=IN IP4 {ip}"))
        .replace("IN IP4 0.0.0.0\r\ns=", &format!("IN IP4 {ip}\r\ns="));
    if named.is_empty() {
        return named;
    }
    let attributes = [
        format!("a=candidate:1 1 udp 2130706431 {ip} {} typ host", address.port()),
        format!("a=rtcp:{} IN IP4 {ip}", address.port()),
        format!("a=tool:{HOST_NAME}"),
        format!("a=ssrc:1234 cname:{HOST_NAME}"),
        format!("a=msid:{HOST_NAME} {ip}"),
    ];
    named + &attributes.map(|line| line + "\r\n").concat()
}

fn with_body(mut message: Message, change: impl FnOnce(&str) -> String) -> Message {
    let body = match &mut message {
        Message::Request(request) => &mut request.body,
        Message::Response(response) => &mut response.body,
    };
    *body = change(&String::from_utf8_lossy(body)).into_bytes();
    message
}

fn other_fingerprint(sdp: &str) -> String {
    let swap = |line: &str| match line.split_once("a=fingerprint:sha-256 ") {
        Some((_, hex)) => format!("a=fingerprint:sha-256 {}", hex.chars().rev().collect::<String>()),
        None => line.to_owned(),
    };
    sdp.split("\r\n").map(swap).collect::<Vec<_>>().join("\r\n")
}

fn without_line(sdp: &str, start: &str) -> String {
    sdp.split("\r\n").filter(|line| !line.starts_with(start)).collect::<Vec<_>>().join("\r\n")
}

fn signalling(exchanges: &[Exchange]) -> Vec<&Exchange> {
    exchanges.iter().filter(|exchange| exchange.kind == Kind::Signalling).collect()
}

fn text(exchange: &Exchange) -> String {
    String::from_utf8_lossy(&exchange.bytes).into_owned()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

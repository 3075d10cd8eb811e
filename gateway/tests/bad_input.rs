//! Bad input: whatever arrives, the gateway neither fails nor forgets how to answer, and passes nothing on.
#![allow(clippy::unwrap_used)]

mod world;

use std::path::Path;

use proptest::prelude::*;
use undertone_sip::wire::{HeaderName, Method, Request};
use world::{DOMAIN, PhoneId, World};

#[test]
fn after_every_message_of_rfc_4475_the_gateway_still_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sip/tests/torture");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let messages: Vec<Vec<u8>> = files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "dat"))
        .map(|f| std::fs::read(f).unwrap())
        .collect();
    assert!(messages.len() > 40, "the corpus is there");
    for signed_in in [false, true] {
        for message in &messages {
            let mut world = World::new(1);
            let (bob, attacker) =
                (world.phone("bob"), if signed_in { world.phone("alice") } else { world.connect("x") });
            world.send_bytes(attacker, message.clone());
            assert!(answers_options(&mut world, attacker));
            assert!(world.ringing_at(bob).is_none() && world.slots.is_empty());
        }
    }
}

#[test]
fn a_dialog_survives_every_message_of_rfc_4475_on_its_own_flow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sip/tests/torture");
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let (here, _) = world.talk(alice, bob);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "dat")) {
        world.send_bytes(alice, std::fs::read(file).unwrap());
        world.advance(std::time::Duration::from_millis(100));
    }
    assert_eq!(world.slots.len(), 1);
    assert!(world.ended(bob).is_empty());
    world.hang_up(alice, here);
    assert!(world.slots.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_message_harms_nobody(
        seed in 0_u64..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.talk(alice, bob);
        let flow = world.phones[alice.0].flow;
        let sent: Vec<Vec<u8>> =
            world.traffic.iter().filter(|c| c.flow == flow && !c.to_phone).map(|c| c.bytes.clone()).collect();
        for mut message in sent {
            for (at, byte) in &damage {
                let at = at.index(message.len());
                message[at] = *byte;
            }
            if is_cut {
                message.truncate(cut.index(message.len()));
            }
            world.send_bytes(alice, message);
        }
        prop_assert!(answers_options(&mut world, bob));
        let heard_of: Vec<String> = world.texts(bob);
        prop_assert!(heard_of.iter().all(|text| !text.contains("host0.invalid")));
    }

    #[test]
    fn an_address_in_any_header_of_a_call_does_not_reach_the_callee(
        headers in prop::collection::vec(("[A-Za-z][A-Za-z-]{0,20}", "[ -~]{0,40}", "[ -~]{0,40}"), 1..12),
    ) {
        let mut world = World::new(5);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        let sdp = String::from_utf8(world::offer(0)).unwrap();
        let extra: String = headers
            .iter()
            .filter(|(name, _, _)| !must_be_single(name))
            .map(|(name, before, after)| format!("{name}: {before}192.0.2.231{after}\r\n"))
            .collect();
        world.send_bytes(alice, format!(
            "INVITE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.231:5061;branch=z9hG4bK192.0.2.231\r\n\
             Max-Forwards: 70\r\nFrom: \"192.0.2.231\" <sip:alice@{DOMAIN}>;tag=t192.0.2.231\r\n\
             To: \"192.0.2.231\" <sip:bob@{DOMAIN}>\r\nCall-ID: c192.0.2.231\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:alice@192.0.2.231>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len(),
        ).into_bytes());
        prop_assert!(world.texts(bob).iter().all(|text| !text.contains("192.0.2.231")));
        prop_assert!(answers_options(&mut world, alice));
    }
}

/// Headers of which the message already has one: a second makes it unreadable, which would test nothing.
fn must_be_single(name: &str) -> bool {
    let taken = ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Content-Length", "Contact"];
    taken.iter().any(|taken| HeaderName::parse(name) == HeaderName::parse(taken))
}

fn answers_options(world: &mut World, id: PhoneId) -> bool {
    let mut request = Request::new(Method::Options, world::uri(&format!("sip:{DOMAIN}")));
    request.headers.push(HeaderName::From, format!("<sip:x@{DOMAIN}>;tag=1"));
    request.headers.push(HeaderName::To, format!("<sip:{DOMAIN}>"));
    world.request(id, request).status == 200
}

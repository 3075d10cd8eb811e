//! Attacks by words: line breaks that want to become headers, and names that are somebody else's.

use std::time::Duration;

use crate::forgery::{fresh_nonce, invite, last_status};
use crate::world::{self, DOMAIN, PhoneId, World, password, proof};

#[test]
fn no_line_break_in_any_form_and_place_becomes_a_header_of_anybodys_message() {
    let breaks = [
        "\r\n",
        "\n",
        "\r",
        "\r\n ",
        "\n\t",
        "\\\r\n",
        "\\\n",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{b}",
        "%0d%0a",
        "%0D%0A%20",
        "%250d%250a",
        "&#13;&#10;",
    ];
    let marks = [
        "@from-display",
        "@from-user",
        "@from-tag",
        "@to-display",
        "@to-user",
        "@call-id",
        "@branch",
        "@contact-user",
        "@contact-parameter",
        "@subject",
        "@request-user",
        "@sdp-session",
        "@sdp-fingerprint",
    ];
    let mut injections = 0;
    for mark in marks {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.send_raw(alice, &marked_invite(99, mark, ""));
        assert!(world.ringing_at(bob).is_some(), "without the line break it rings");
        world.reject(bob, 486);
        world.events(bob);
        world.advance(Duration::from_secs(5));
        for (n, line_break) in breaks.into_iter().enumerate() {
            world.send_raw(alice, &marked_invite(n, mark, &format!("{line_break}X-Injected: yes")));
            if world.ringing_at(bob).is_some() {
                world.reject(bob, 486);
                world.events(bob);
            }
            world.advance(Duration::from_secs(5));
            injections += 1;
        }
        for text in world.texts(bob) {
            let text = text.to_ascii_lowercase();
            assert!(!text.contains("injected") && !text.contains("%0d%0a"), "{mark}: {text}");
        }
        assert!(no_line_is_injected(&world, alice), "{mark}");
    }
    println!("{injections} line breaks in 13 places of an INVITE: 0 in what anybody received");
}

#[test]
fn no_line_break_in_a_sign_in_becomes_a_header_or_another_account() {
    let mut injections = 0;
    for line_break in ["\r\n", "\n", "\r", "\r\n ", "\\\r\n", "%0d%0a", "\0", "\u{2028}"] {
        let mut world = World::new(1);
        let alice = world.connect("alice");
        let nonce = fresh_nonce(&mut world, alice);
        let evil = format!("{line_break}X-Injected: yes");
        let good = proof("alice", &password("alice"), &nonce, 1);
        let fields = [
            good.replace("username=\"alice", &format!("username=\"alice{evil}")),
            good.replace("cnonce=\"", &format!("cnonce=\"{evil}")),
            good.replace("nonce=\"", &format!("nonce=\"{evil}")),
            good.replace("realm=\"", &format!("realm=\"{evil}")),
            good.replace("uri=\"sip:", &format!("uri=\"sip:{evil}")),
            format!("Undertone-Token token=\"{evil}\""),
            format!("{evil} token=\"AAAA\""),
        ];
        for (n, field) in fields.into_iter().enumerate() {
            let address = format!("<sip:alice@{DOMAIN}>");
            world.send_raw(
                alice,
                &format!(
                    "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKr{n}\r\n\
                     Max-Forwards: 70\r\nFrom: {address};tag=1\r\nTo: {address}\r\nCall-ID: r{n}\r\n\
                     CSeq: 1 REGISTER\r\nContact: <sip:x@x.invalid>\r\nAuthorization: {field}\r\n\
                     Content-Length: 0\r\n\r\n"
                ),
            );
            assert!(!matches!(last_status(&world, alice), 200), "{field:?}");
            world.advance(Duration::from_secs(1));
            injections += 1;
        }
        assert!(no_line_is_injected(&world, alice));
    }
    println!("{injections} line breaks in names, nonces and tokens of a REGISTER: 0 in an answer, 0 signed in");
}

#[test]
fn a_spoofed_identity_in_any_of_its_headers_shows_the_callee_the_account_or_nobody() {
    let spoofed = "\"Carol\" <sip:carol@gw.example>";
    let names = [
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "P-Called-Party-ID",
        "P-Associated-URI",
        "P-Charging-Vector",
        "P-Access-Network-Info",
        "P-Visited-Network-ID",
        "P-Served-User",
        "Diversion",
        "History-Info",
        "Identity",
        "Identity-Info",
        "Referred-By",
        "Reply-To",
        "Call-Info",
        "Alert-Info",
        "Contact",
        "Organization",
        "Session-ID",
        "User-to-User",
        "Geolocation",
        "Reason",
        "Replaces",
        "Join",
        "Target-Dialog",
    ];
    let sdp = String::from_utf8(world::offer(0)).unwrap();
    let mut rang = 0;
    for (n, name) in names.into_iter().enumerate() {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world
            .send_raw(alice, &invite("alice", n, &format!("{name}: {spoofed}\r\nContent-Type: application/sdp"), &sdp));
        let rings = world.ringing_at(bob).is_some();
        assert!(rings || last_status(&world, alice) >= 400, "{name}");
        rang += usize::from(rings);
        for text in world.texts(bob) {
            assert!(!text.to_ascii_lowercase().contains("carol"), "{name}: {text}");
            assert!(!text.starts_with("INVITE") || text.contains("\r\nFrom: <sip:alice@gw.example>;tag="), "{text}");
        }
    }
    let mut refused = 0;
    for from in
        ["carol", "nobody", "root", "gw.example", "", "anonymous", "alice%40gw.example", "%61lice.", "alice;x=y"]
    {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.send_raw(
            alice,
            &invite(from, 0, "P-Asserted-Identity: <sip:carol@gw.example>\r\nContent-Type: application/sdp", &sdp),
        );
        assert!(world.ringing_at(bob).is_none(), "{from}");
        refused += 1;
    }
    println!("{} headers that claim an identity: {rang} rang, 0 shown; {refused} spoofed From: 0 rang", names.len());
}

/// An INVITE with this text at one of its marks, and nothing at the others.
fn marked_invite(n: usize, mark: &str, evil: &str) -> String {
    let sdp = String::from_utf8(world::offer(0)).unwrap();
    let sdp = sdp.replace("s=-", "s=-@sdp-session").replace("a=fingerprint:", "a=fingerprint:@sdp-fingerprint");
    let head = format!(
        "INVITE sip:bob@request-user@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKm{n}@branch\r\n\
         Max-Forwards: 70\r\nFrom: \"a@from-display\" <sip:alice@from-user@{DOMAIN}>;tag=m{n}@from-tag\r\n\
         To: \"b@to-display\" <sip:bob@to-user@{DOMAIN}>\r\nCall-ID: m{n}@call-id\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@contact-user@x.invalid>;p=q@contact-parameter\r\nSubject: s@subject\r\n\
         Content-Type: application/sdp\r\n"
    );
    let filled = |text: String| text.split('@').fold(String::new(), |out, part| filled_in(out, part, mark, evil));
    let (head, sdp) = (filled(head), filled(sdp));
    format!("{head}Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// Puts the text in for the mark at the start of `part`, nothing for another mark, and an `@` for none.
fn filled_in(mut out: String, part: &str, mark: &str, evil: &str) -> String {
    let known = [
        "from-display",
        "from-user",
        "from-tag",
        "to-display",
        "to-user",
        "call-id",
        "branch",
        "contact-user",
        "contact-parameter",
        "subject",
        "request-user",
        "sdp-session",
        "sdp-fingerprint",
    ];
    match known.iter().find_map(|known| Some((known, part.strip_prefix(known)?))) {
        Some((known, rest)) => {
            out.push_str(if mark[1..] == **known { evil } else { "" });
            out + rest
        }
        None if out.is_empty() => part.to_owned(),
        None => out + "@" + part,
    }
}

fn no_line_is_injected(world: &World, id: PhoneId) -> bool {
    let texts = world.texts(id);
    let mut lines = texts.iter().flat_map(|text| text.split(['\r', '\n']));
    lines.all(|line| !line.trim_start().to_ascii_lowercase().starts_with("x-injected"))
}

//! Attacks on accounts: who may be reached as whom, and by what proof.

use std::time::Duration;

use undertone_gateway::core::MAX_DEVICES_PER_ACCOUNT;
use undertone_sip::wire::HeaderName;

use crate::forgery::{account, device, device_command, fresh_nonce, joined};
use crate::world::{DOMAIN, World, contact, password, proof};

#[test]
fn a_register_for_somebody_elses_account_binds_nothing_and_takes_nothing_away() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    let stranger = world.connect("alice");
    let (own, hers) = (format!("<sip:carol@{DOMAIN}>"), format!("<sip:alice@{DOMAIN}>"));
    let forms = [(&hers, &hers), (&own, &hers), (&hers, &own)];
    let mut attempts = 0;
    for attacker in [carol, stranger] {
        for (from, to) in forms {
            for contacts in [contact("alice", 77, 1), contact("alice", alice.0, 1), "*".to_owned()] {
                for signs_as in [None, Some("carol"), Some("alice")] {
                    let mut request = world.register_request(attacker);
                    request.headers.set(HeaderName::From, format!("{from};tag=1"));
                    request.headers.set(HeaderName::To, to.clone());
                    request.headers.set(HeaderName::Expires, if contacts == "*" { "0" } else { "600" });
                    request.headers.set(HeaderName::Contact, contacts.clone());
                    if let Some(name) = signs_as {
                        // Whoever he says he is, his password is carol's.
                        let nonce = fresh_nonce(&mut world, attacker);
                        request.headers.push(HeaderName::Authorization, proof(name, &password("carol"), &nonce, 1));
                    }
                    let status = world.request(attacker, request).status;
                    assert!(matches!(status, 401 | 403), "{status}");
                    attempts += 1;
                    world.advance(Duration::from_millis(500));
                }
            }
        }
    }
    world.call(bob, "alice");
    assert!(world.ringing_at(alice).is_some(), "her phone is still reached");
    assert!(world.ringing_at(carol).is_none() && world.ringing_at(stranger).is_none());
    println!("{attempts} REGISTERs for another account: 0 taken");
}

#[test]
fn another_accounts_phone_that_takes_over_the_instance_of_mine_does_not_replace_it() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    let mut request = world.register_request(carol);
    request.headers.set(HeaderName::Contact, contact("alice", alice.0, 1));
    assert_eq!(world.request(carol, request).status, 200, "it is her own account's business what she calls her phone");
    world.call(bob, "alice");
    assert!(world.ringing_at(alice).is_some() && world.ringing_at(carol).is_none());
}

#[test]
fn stuffing_contacts_into_an_account_makes_one_invite_per_flow_at_most() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let many: Vec<String> = (0..60).map(|n| contact("alice", 1_000 + n, 1)).collect();
    let mut at_once = world.register_request(alice);
    at_once.headers.set(HeaderName::Contact, many.join(", "));
    assert_eq!(world.request(alice, at_once).status, 400, "one Contact per REGISTER");
    let mut taken = 0;
    for one in &many {
        let mut request = world.register_request(alice);
        request.headers.set(HeaderName::Contact, one.clone());
        taken += usize::from(world.request(alice, request).status == 200);
        world.advance(Duration::from_millis(100));
    }
    assert_eq!(taken, MAX_DEVICES_PER_ACCOUNT - 1, "one place is taken already");
    let sent = world.traffic.len();
    world.call(bob, "alice");
    let invites = world.traffic[sent..].iter().filter(|c| c.to_phone && c.bytes.starts_with(b"INVITE ")).count();
    assert_eq!((invites, world.slots.len()), (1, 1));
    println!("{} contacts offered, {} bound, 1 INVITE sent", 2 * many.len(), taken + 1);
}

#[test]
fn what_a_contact_route_or_via_names_is_never_sent_to() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.phone("alice"), world.phone("bob"), world.phone("carol"));
    let mut request = world.register_request(bob);
    // A proxy would call carol through this binding, or send to itself for ever.
    request.headers.set(HeaderName::Contact, format!("<sip:carol@{DOMAIN};transport=tls;maddr=192.0.2.66>"));
    for name in ["Route", "Record-Route", "Path", "Service-Route"] {
        request.headers.push(HeaderName::parse(name), format!("<sip:carol@{DOMAIN};lr>, <sip:192.0.2.66;lr>"));
    }
    assert_eq!(world.request(bob, request).status, 200);
    let sent = world.traffic.len();
    world.call(alice, "bob");
    let receivers: Vec<_> = world.traffic[sent..].iter().filter(|c| c.to_phone).map(|c| c.flow).collect();
    assert!(receivers.iter().all(|flow| *flow == world.phones[alice.0].flow || *flow == world.phones[bob.0].flow));
    assert!(world.ringing_at(carol).is_none(), "the call went down bob's flow and nowhere else");
    assert!(world.ringing_at(bob).is_some());
    assert!(world.texts(bob).iter().filter(|text| text.starts_with("INVITE")).all(|text| !text.contains("192.0.2.66")));
}

#[test]
fn a_proof_that_was_overheard_opens_nothing_however_often_and_from_wherever_it_is_repeated() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let nonce = fresh_nonce(&mut world, alice);
    let overheard = proof("alice", &password("alice"), &nonce, 1);
    let mut genuine = world.register_request(alice);
    genuine.headers.push(HeaderName::Authorization, overheard.clone());
    assert_eq!(world.request(alice, genuine.clone()).status, 200);
    let mut replays = 0;
    for _ in 0..20 {
        let thief = world.connect("alice");
        for nc in [1, 2, 3] {
            let mut request = genuine.clone();
            let again = overheard.replace("nc=00000001", &format!("nc={nc:08x}"));
            request.headers.set(HeaderName::Authorization, again);
            let status = world.request(thief, request).status;
            assert!(matches!(status, 401 | 403 | 503), "{status}");
            replays += 1;
        }
        world.call(thief, "bob");
        assert_eq!(world.statuses(thief), [403], "nobody is signed in there");
        world.advance(Duration::from_secs(1));
    }
    println!("{replays} replays of one proof on 20 flows: 0 signed in");
}

#[test]
fn a_device_reaches_no_other_account_by_device_commands() {
    let mut world = World::new(1);
    let [dave, erin] = ["dave", "erin"].map(|name| joined(&mut world, name));
    let victim = device("erin").to_hex();
    let mut attempts = 0;
    for (from, to) in [("dave", "erin"), ("erin", "erin"), ("erin", "dave")] {
        for line in [format!("revoke {victim}"), format!("revoke {victim}\r\nlist"), "list erin".to_owned()] {
            let command = device_command(&format!("<sip:{from}@{DOMAIN}>"), &format!("<sip:{to}@{DOMAIN}>"), &line);
            let status = world.request(dave, command).status;
            assert!(matches!(status, 400 | 404), "{status}");
            attempts += 1;
        }
        world.advance(Duration::from_secs(1));
    }
    let list = world.request(dave, device_command("<sip:erin@gw.example>", "<sip:erin@gw.example>", "list"));
    assert!(!String::from_utf8(list.body).unwrap().contains(&victim), "he is told of his own devices only");
    // The hash of a key is no secret; who shows another key is another device.
    let thief = world.connect_with("erin", Some(device("mallory")));
    let request = world.register_request(thief);
    assert_eq!(world.request(thief, request).status, 403);
    assert_eq!(world.store().devices(&account("erin")).unwrap().len(), 1);
    let request = world.register_request(erin);
    assert_eq!(world.request(erin, request).status, 200, "erin's phone is still hers");
    println!("{attempts} device commands for another account: 0 carried out");
}

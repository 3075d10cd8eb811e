//! Signing in: digest, nonces, bindings and their limits, against the gateway's core in virtual time.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod world;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use undertone_gateway::core::limits::{GUESSES_PER_S, MAX_STRANGERS_INVITES, MESSAGES_BURST};
use undertone_gateway::core::{MAX_DEVICES_PER_ACCOUNT, MAX_EXPIRES_S, MIN_EXPIRES_S, NONCE_LIFE, SIGN_IN_WITHIN};
use undertone_sip::digest::Challenge;
use undertone_sip::registration::{self, Registration};
use undertone_sip::user_agent::{Event, Login};
use undertone_sip::wire::{HeaderName, Method, NameAddr, Request, Response};
use world::{DOMAIN, PhoneId, World, accounts, challenge, contact, password, proof};

#[test]
fn a_phone_signs_in_and_is_told_its_binding_and_how_to_keep_the_connection() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let response = world.sign_in(alice, &password("alice"));
    assert_eq!(response.status, 200);
    let own = response.headers.contact().unwrap();
    assert_eq!(own.params.get("expires"), Some("600"));
    assert!(response.headers.lists(&HeaderName::Require, "outbound"));
    assert!(response.headers.lists(&HeaderName::Supported, "outbound"));
    assert_eq!(response.headers.get(&HeaderName::FlowTimer), Some("120"));
}

#[test]
fn our_own_phones_registration_keeps_its_account_signed_in_for_hours() {
    let mut world = World::new(1);
    let (alice, id) = (world.phone("alice"), world.connect("bob"));
    let settings = registration::Settings {
        registrar: world::uri(&format!("sip:{DOMAIN}")),
        address: NameAddr::new(world::uri(&format!("sip:bob@{DOMAIN}"))),
        instance: "urn:uuid:0d5b1f0e-0000-4000-8000-000000000001".to_owned(),
        reg_id: 1,
        expires_s: 600,
        credentials: Some(Login::new("bob", password("bob"))),
    };
    let mut registration = Registration::new(settings, ChaCha20Rng::seed_from_u64(9));
    registration.start(world.now);
    let mut told = Vec::new();
    for _ in 0..4 * 3_600 {
        registration.handle_timeout(world.now);
        while let Some(output) = registration.poll_output() {
            match output {
                registration::Output::OpenFlow => {
                    let contact = world::uri("sip:bob@host1.invalid;transport=tls");
                    registration.handle_flow_opened(world.phones[id.0].flow, contact, world.now);
                }
                registration::Output::Request { request, .. } => {
                    let response = world.request(id, *request);
                    registration.handle_response(&response, world.now);
                }
                registration::Output::Event(event) => told.push(event),
            }
        }
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(told, [registration::Event::Registered { expires_s: 600, keep_alive_s: Some(120) }]);
    let again = world.register_request(alice);
    assert_eq!(world.request(alice, again).status, 401, "alice let hers expire");
    let carol = world.phone("carol");
    world.call(carol, "bob");
    assert!(world.ringing_at(id).is_some());
}

#[test]
fn a_phone_learns_nothing_of_the_accounts_other_devices() {
    let mut world = World::new(1);
    world.phone("alice");
    let second = world.connect("alice");
    let response = world.sign_in(second, &password("alice"));
    assert_eq!(response.headers.contacts().unwrap().len(), 1);
    assert!(response.headers.get(&HeaderName::Contact).unwrap().contains("host1.invalid"));
    let query = without_contact(world.register_request(second));
    let response = world.request(second, query);
    let contacts = response.headers.contacts().unwrap();
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].params.get("expires"), Some("600"));
}

#[test]
fn a_wrong_password_and_an_unknown_account_get_the_same_answer() {
    let mut world = World::new(1);
    let (alice, mallory) = (world.connect("alice"), world.connect("mallory"));
    let wrong = world.sign_in(alice, "guess");
    let unknown = world.sign_in(mallory, "guess");
    assert_eq!(wrong.status, 403);
    assert_eq!((wrong.status, &wrong.reason, &wrong.body), (unknown.status, &unknown.reason, &unknown.body));
    let names = |r: &Response| r.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
}

#[test]
fn a_nonce_is_good_for_one_attempt() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let nonce = challenge(&bare_register(&mut world, alice));
    let wrong = with_proof(&mut world, alice, proof("alice", "guess", &nonce, 1));
    assert_eq!(wrong.status, 403);
    let again = with_proof(&mut world, alice, proof("alice", &password("alice"), &nonce, 1));
    assert_eq!(again.status, 401);
    assert!(challenge(&again).stale, "the password was right: the phone need not ask its owner");
    let fresh = with_proof(&mut world, alice, proof("alice", &password("alice"), &challenge(&again), 1));
    assert_eq!(fresh.status, 200);
}

#[test]
fn a_nonce_of_another_connection_is_refused() {
    let mut world = World::new(1);
    let (alice, elsewhere) = (world.connect("alice"), world.connect("alice"));
    let nonce = challenge(&bare_register(&mut world, alice));
    let stolen = with_proof(&mut world, elsewhere, proof("alice", &password("alice"), &nonce, 1));
    assert_eq!(stolen.status, 401);
}

#[test]
fn a_nonce_is_too_old_after_its_time() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    let unknown = Challenge { realm: DOMAIN.to_owned(), nonce: "unknown".to_owned(), opaque: None, stale: false };
    let challenged = with_proof(&mut world, alice, proof("alice", "guess", &unknown, 1));
    assert!(!challenge(&challenged).stale, "the password was wrong too");
    world.advance(NONCE_LIFE);
    let late = with_proof(&mut world, alice, proof("alice", &password("alice"), &challenge(&challenged), 1));
    assert_eq!((late.status, challenge(&late).stale), (401, true));
}

#[test]
fn a_proof_overheard_and_sent_again_elsewhere_is_refused() {
    let mut world = World::new(1);
    let (alice, thief) = (world.connect("alice"), world.connect("alice"));
    let nonce = challenge(&bare_register(&mut world, alice));
    let overheard = proof("alice", &password("alice"), &nonce, 1);
    assert_eq!(with_proof(&mut world, alice, overheard.clone()).status, 200);
    assert_eq!(with_proof(&mut world, alice, overheard.clone()).status, 401);
    assert_eq!(with_proof(&mut world, thief, overheard).status, 401);
}

#[test]
fn a_nonce_count_other_than_one_is_refused() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let nonce = challenge(&bare_register(&mut world, alice));
    assert_eq!(with_proof(&mut world, alice, proof("alice", &password("alice"), &nonce, 2)).status, 400);
}

#[test]
fn a_proof_made_for_another_place_is_refused() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let nonce = challenge(&bare_register(&mut world, alice));
    let ha1 = undertone_sip::digest::ha1("alice", DOMAIN, &password("alice"));
    let elsewhere = nonce.answer("alice", &ha1, &Method::Register, "sip:other.example", 1, "0a4f113b");
    assert_eq!(with_proof(&mut world, alice, elsewhere.to_string()).status, 403);
    let nonce = challenge(&bare_register(&mut world, alice));
    let other_method = nonce.answer("alice", &ha1, &Method::Invite, &format!("sip:{DOMAIN}"), 1, "0a4f113b");
    assert_eq!(with_proof(&mut world, alice, other_method.to_string()).status, 403);
    let nonce = Challenge { realm: "other.example".to_owned(), ..challenge(&bare_register(&mut world, alice)) };
    assert_eq!(with_proof(&mut world, alice, proof("alice", &password("alice"), &nonce, 1)).status, 401);
}

#[test]
fn md5_and_missing_qop_are_refused_in_words() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    let nonce = challenge(&bare_register(&mut world, alice));
    let good = proof("alice", &password("alice"), &nonce, 1);
    for bad in [good.replace("SHA-256", "MD5"), good.replace("algorithm=SHA-256, ", ""), good.replace("qop=auth, ", "")]
    {
        let response = with_proof(&mut world, alice, bad);
        assert_eq!(response.status, 403);
        assert!(response.reason.contains("SHA-256"), "{}", response.reason);
    }
}

#[test]
fn nobody_signs_in_for_somebody_else() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    for (header, value) in [(HeaderName::To, "bob"), (HeaderName::From, "bob")] {
        let nonce = challenge(&bare_register(&mut world, alice));
        let mut request = world.register_request(alice);
        let tag = if header == HeaderName::From { ";tag=1" } else { "" };
        request.headers.set(header, format!("<sip:{value}@{DOMAIN}>{tag}"));
        request.headers.push(HeaderName::Authorization, proof("alice", &password("alice"), &nonce, 1));
        assert_eq!(world.request(alice, request).status, 403);
    }
    assert_eq!(world.sign_in(alice, &password("alice")).status, 200);
    let unknown = Challenge { realm: DOMAIN.to_owned(), nonce: "unknown".to_owned(), opaque: None, stale: false };
    let nonce = challenge(&with_proof(&mut world, alice, proof("bob", &password("bob"), &unknown, 1)));
    let other = with_proof(&mut world, alice, proof("bob", &password("bob"), &nonce, 1));
    assert_eq!(other.status, 403, "one account per connection");
}

#[test]
fn another_registrar_is_not_ours() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    let mut request = world.register_request(alice);
    request.uri = world::uri("sip:other.example");
    assert_eq!(world.request(alice, request).status, 404);
}

#[test]
fn an_expiry_is_raised_to_nothing_refused_below_and_cut_above() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    let response = world.request(alice, with_expires(&world, alice, MIN_EXPIRES_S - 1));
    assert_eq!(response.status, 423);
    assert_eq!(response.headers.min_expires(), Some(MIN_EXPIRES_S));
    let response = world.request(alice, with_expires(&world, alice, u32::MAX));
    assert_eq!(response.headers.expires(), Some(MAX_EXPIRES_S));
    let response = world.request(alice, with_expires(&world, alice, MIN_EXPIRES_S));
    assert_eq!(response.headers.expires(), Some(MIN_EXPIRES_S));
}

#[test]
fn a_phone_that_lets_its_binding_expire_is_signed_out() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world.advance(Duration::from_secs(599));
    world.call(alice, "bob");
    assert!(world.ringing_at(bob).is_some());
    world.advance(Duration::from_secs(30));
    world.events(bob);
    world.call(alice, "bob");
    assert!(world.ringing_at(bob).is_none());
    assert_eq!(world.statuses(alice).last(), Some(&403));
}

#[test]
fn a_phone_that_signs_out_is_not_called_any_more() {
    for everything in [false, true] {
        let mut world = World::new(1);
        let (alice, bob, other) = (world.phone("alice"), world.phone("bob"), world.phone("bob"));
        let mut request = world.register_request(bob);
        let star = if everything { "*".to_owned() } else { contact("bob", bob.0, 1).replace("600", "0") };
        request.headers.set(HeaderName::Contact, star);
        request.headers.set(HeaderName::Expires, "0");
        let response = world.request(bob, request);
        assert_eq!(response.status, 200);
        assert!(response.headers.get(&HeaderName::Contact).is_none());
        world.call(alice, "bob");
        assert!(world.ringing_at(bob).is_none());
        assert_eq!(world.ringing_at(other).is_none(), everything);
    }
}

#[test]
fn a_star_with_an_expiry_or_two_contacts_are_refused() {
    let mut world = World::new(1);
    let alice = world.phone("alice");
    let mut star = world.register_request(alice);
    star.headers.set(HeaderName::Contact, "*");
    assert_eq!(world.request(alice, star).status, 400);
    let mut two = world.register_request(alice);
    two.headers.push(HeaderName::Contact, contact("alice", 5, 2));
    assert_eq!(world.request(alice, two).status, 400);
}

#[test]
fn the_eleventh_device_of_an_account_is_refused_in_words() {
    let mut world = World::new(1);
    for _ in 0..MAX_DEVICES_PER_ACCOUNT {
        world.phone("alice");
    }
    let eleventh = world.connect("alice");
    let response = world.sign_in(eleventh, &password("alice"));
    assert_eq!(response.status, 403);
    assert!(response.reason.contains("phones"), "{}", response.reason);
    world.disconnect(PhoneId(0));
    assert_eq!(world.sign_in(eleventh, &password("alice")).status, 200);
}

#[test]
fn a_phone_that_reconnects_is_still_one_device() {
    let mut world = World::new(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let again = world.connect("bob");
    let nonce = challenge(&bare_register(&mut world, again));
    let mut request = world.register_request(again);
    request.headers.set(HeaderName::Contact, contact("bob", bob.0, 1));
    request.headers.push(HeaderName::Authorization, proof("bob", &password("bob"), &nonce, 1));
    assert_eq!(world.request(again, request).status, 200);
    world.call(alice, "bob");
    assert!(world.ringing_at(bob).is_none());
    assert!(world.ringing_at(again).is_some());
}

#[test]
fn guessing_is_slowed_down_and_the_owner_still_gets_in() {
    let mut world = World::new(1);
    let thief = world.connect("alice");
    let mut limited = None;
    for guess in 0..=GUESSES_PER_S {
        let response = world.sign_in(thief, &format!("guess {guess}"));
        limited = (response.status == 503).then_some(response);
    }
    let limited = limited.expect("the sixth guess within a second is one too many");
    assert_eq!(limited.headers.retry_after(), Some(1));
    assert_eq!(world.sign_in(thief, &password("alice")).status, 503);
    world.phone("bob");
    world.advance(Duration::from_secs(1));
    assert_eq!(world.sign_in(thief, &password("alice")).status, 200);
}

#[test]
fn a_connection_on_which_nobody_signs_in_is_closed() {
    let mut world = World::new(1);
    let (alice, stranger) = (world.phone("alice"), world.connect("stranger"));
    world.advance(SIGN_IN_WITHIN);
    assert!(world.closed.contains(&world.phones[stranger.0].flow));
    assert!(!world.closed.contains(&world.phones[alice.0].flow));
}

#[test]
fn a_flood_of_messages_closes_the_connection() {
    let mut world = World::new(1);
    let stranger = world.connect("stranger");
    for n in 0..=MESSAGES_BURST {
        world.send_raw(stranger, &options(n));
    }
    assert!(world.closed.contains(&world.phones[stranger.0].flow));
}

#[test]
fn a_stranger_who_invites_and_never_acknowledges_is_cut_off_and_leaves_nothing() {
    let mut world = World::new(1);
    let stranger = world.connect("stranger");
    let flow = world.phones[stranger.0].flow;
    for n in 0..MAX_STRANGERS_INVITES {
        world.send_raw(stranger, &unsigned_invite(n));
        assert!(!world.closed.contains(&flow), "after {n}");
    }
    world.send_raw(stranger, &unsigned_invite(MAX_STRANGERS_INVITES));
    assert!(world.closed.contains(&flow));
    assert!(world.gateway.is_idle(), "its transactions are gone with it");
}

#[test]
fn a_removed_account_or_a_new_password_ends_connections_and_calls() {
    for changed in [false, true] {
        let mut world = World::new(1);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world.talk(alice, bob);
        let mut snapshot = accounts(&["alice", "carol"]);
        if changed {
            let name = undertone_gateway::core::AccountName::parse("bob").unwrap();
            snapshot.insert(name, world::verifier("bob", "another"));
        }
        let now = world.now;
        world.gateway.handle_accounts(snapshot, now);
        world.settle();
        assert!(world.closed.contains(&world.phones[bob.0].flow));
        assert!(!world.closed.contains(&world.phones[alice.0].flow));
        assert!(world.events(alice).iter().any(|event| matches!(event, Event::Ended { .. })));
        assert!(world.slots.is_empty());
    }
}

#[test]
fn options_get_the_same_answer_signed_in_or_not_whoever_is_asked_about() {
    let mut world = World::new(1);
    let (alice, stranger) = (world.phone("alice"), world.connect("stranger"));
    world.phone("bob");
    let mut answers = Vec::new();
    for (from, about) in [(alice, "bob"), (alice, "nobody"), (stranger, "bob"), (stranger, "nobody")] {
        let mut request = Request::new(Method::Options, world::uri(&format!("sip:{about}@{DOMAIN}")));
        request.headers.push(HeaderName::From, format!("<sip:x@{DOMAIN}>;tag=1"));
        request.headers.push(HeaderName::To, format!("<sip:{DOMAIN}>"));
        let mut response = world.request(from, request);
        for own in [HeaderName::Via, HeaderName::CallId, HeaderName::CSeq, HeaderName::To] {
            response.headers.remove(&own);
        }
        answers.push(response);
    }
    assert_eq!(answers[0].status, 200);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

fn bare_register(world: &mut World, id: PhoneId) -> Response {
    let request = world.register_request(id);
    world.request(id, request)
}

fn with_proof(world: &mut World, id: PhoneId, proof: String) -> Response {
    let mut request = world.register_request(id);
    request.headers.push(HeaderName::Authorization, proof);
    world.request(id, request)
}

fn with_expires(world: &World, id: PhoneId, seconds: u32) -> Request {
    let mut request = world.register_request(id);
    let contact = contact("alice", id.0, 1).replace("600", &seconds.to_string());
    request.headers.set(HeaderName::Contact, contact);
    request
}

fn without_contact(mut request: Request) -> Request {
    request.headers.remove(&HeaderName::Contact);
    request
}

fn options(n: u32) -> String {
    format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKx{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{DOMAIN}>;tag=1\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn unsigned_invite(n: u8) -> String {
    format!(
        "INVITE sip:alice@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKi{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:x@x.invalid>;tag=1\r\nTo: <sip:alice@{DOMAIN}>\r\nCall-ID: i{n}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@x.invalid>\r\nContent-Length: 0\r\n\r\n"
    )
}

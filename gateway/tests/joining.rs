//! Joining by a link: device keys, invite tokens, device commands and revocation, against the gateway's core and a
//! real store in virtual time.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod world;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use undertone_config::{LinkToken, OperatorKey, Pin};
use undertone_gateway::core::errand::MAX_WAITING_ERRANDS;
use undertone_gateway::core::limits::GUESSES_PER_S;
use undertone_gateway::core::{AccountName, Announcement, DeviceHash, TokenHash};
use undertone_gateway::store::{MAX_DEVICES, MAX_OPEN_INVITES};
use undertone_sip::user_agent::{Event, TransactionId};
use undertone_sip::wire::{HeaderName, Method, Request, Response};
use world::{DOMAIN, PhoneId, World, password, proof};

/// Days an invite in these tests is good for.
const DAYS: u32 = 7;

#[test]
fn a_phone_joins_by_a_token_and_signs_in_by_its_key_from_then_on() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let phone = world.connect_with("dave", Some(device(1)));
    let joined = register(&mut world, phone, Some(1));
    assert_eq!(joined.status, 200, "{}", joined.reason);
    assert_eq!(joined.headers.get(&HeaderName::FlowTimer), Some("120"));
    let alice = world.phone("alice");
    world.call(alice, "dave");
    assert!(world.ringing_at(phone).is_some());
    world.disconnect(phone);
    let again = world.connect_with("dave", Some(device(1)));
    assert_eq!(register(&mut world, again, None).status, 200);
    let in_use = world.request(again, world.register_request(again));
    assert_eq!(in_use.status, 200, "it refreshes its binding without a challenge");
}

#[test]
fn a_lost_answer_is_repeated_for_the_same_key_and_no_other() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let phone = world.connect_with("dave", Some(device(1)));
    assert_eq!(register(&mut world, phone, Some(1)).status, 200);
    let again = world.connect_with("dave", Some(device(1)));
    assert_eq!(register(&mut world, again, Some(1)).status, 200);
    let thief = world.connect_with("dave", Some(device(2)));
    assert_refused(&register(&mut world, thief, Some(1)), "This invite has been used");
    assert_refused(&register(&mut world, thief, None), "This device is not known for this account");
    assert_eq!(world.store().devices(&name("dave")).unwrap().len(), 1);
}

#[test]
fn each_token_that_opens_nothing_is_refused_in_words() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    invite(&mut world, "erin", 2);
    let phone = world.connect_with("dave", Some(device(1)));
    for unknown in [2, 3] {
        assert_refused(&register(&mut world, phone, Some(unknown)), "This invite is not known here");
    }
    world.today = world.today.plus(DAYS + 1);
    assert_refused(&register(&mut world, phone, Some(1)), "This invite has expired");
    let nameless = world.connect_with("nobody", Some(device(1)));
    assert_refused(&register_as(&mut world, nameless, "anonymous", Some(1)), "This invite is not known here");
    let mut request = world.register_request(phone);
    request.headers.push(HeaderName::Authorization, "Undertone-Token token=\"short\"");
    assert_eq!(world.request(phone, request).status, 400);
}

#[test]
fn an_account_takes_ten_devices_and_the_eleventh_is_told() {
    let mut world = World::new(1);
    for n in 0..MAX_DEVICES as u8 {
        invite(&mut world, "dave", n);
        let phone = world.connect_with("dave", Some(device(n)));
        assert_eq!(register(&mut world, phone, Some(n)).status, 200);
        world.disconnect(phone);
    }
    invite(&mut world, "dave", 100);
    let eleventh = world.connect_with("dave", Some(device(100)));
    assert_refused(&register(&mut world, eleventh, Some(100)), "This account has too many devices");
    assert_eq!(world.store().overview(world.today).unwrap()[3].open_invites, 1, "it is not spent");
    assert!(world.store().revoke(&name("dave"), &device(0)).unwrap());
    assert_refused(&register(&mut world, eleventh, Some(100)), "This invite is not known here");
    invite(&mut world, "dave", 101);
    assert_eq!(register(&mut world, eleventh, Some(101)).status, 200);
}

#[test]
fn an_unknown_device_gets_the_same_bytes_whether_the_account_exists_or_not() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let mut answers = Vec::new();
    // With a password, without one, without an account, with a name that none can have.
    for who in ["alice", "dave", "nobody", "anonymous"] {
        let phone = world.connect_with(who, Some(device(9)));
        let before = world.elapsed();
        let mut refused = register(&mut world, phone, None);
        assert_refused(&refused, "This device is not known for this account");
        assert_eq!(world.elapsed(), before);
        for own in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            refused.headers.remove(&own);
        }
        answers.push(refused);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert!(world.errands.is_empty(), "the store is not asked about any of them");
}

#[test]
fn a_device_of_one_account_is_unknown_to_every_other() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    assert_refused(&register_as(&mut world, phone, "alice", None), "This device is not known for this account");
    invite(&mut world, "erin", 2);
    let second = register_as(&mut world, phone, "erin", Some(2));
    assert_refused(&second, "You can only sign in as yourself, one account per connection");
    let elsewhere = world.connect_with("erin", Some(device(1)));
    assert_eq!(register(&mut world, elsewhere, Some(2)).status, 200, "the token was not spent");
}

#[test]
fn no_password_is_taken_on_a_devices_flow_and_none_is_right_for_an_account_without_one() {
    let mut world = World::new(1);
    let phone = world.connect_with("alice", Some(device(1)));
    assert_refused(&world.sign_in(phone, &password("alice")), "This device is not known for this account");
    let asked = world.connect("alice");
    let challenge = {
        let request = world.register_request(asked);
        world::challenge(&world.request(asked, request))
    };
    let mut request = world.register_request(phone);
    request.headers.push(HeaderName::Authorization, proof("alice", &password("alice"), &challenge, 1));
    assert_refused(&world.request(phone, request), "This device is not known for this account");

    joined(&mut world, "dave", 2);
    let (foreign, mallory) = (world.connect("dave"), world.connect("mallory"));
    let (wrong, unknown) = (world.sign_in(foreign, "guess"), world.sign_in(mallory, "guess"));
    assert_eq!((wrong.status, &wrong.reason), (403, &unknown.reason));
    invite(&mut world, "dave", 3);
    assert_eq!(register(&mut world, foreign, Some(3)).status, 401, "a token is nothing without a key");
}

#[test]
fn a_revoked_device_is_cut_off_with_its_calls_and_stays_out() {
    let mut world = World::new(1);
    let (phone, alice) = (joined(&mut world, "dave", 1), world.phone("alice"));
    world.talk(alice, phone);
    world.events(alice);
    assert!(world.store().revoke(&name("dave"), &device(1)).unwrap());
    world.look_at_store();
    assert!(world.closed.contains(&world.phones[phone.0].flow));
    assert!(!world.closed.contains(&world.phones[alice.0].flow));
    assert!(world.events(alice).iter().any(|event| matches!(event, Event::Ended { .. })));
    assert!(world.slots.is_empty());
    let back = world.connect_with("dave", Some(device(1)));
    assert_refused(&register(&mut world, back, None), "This device is not known for this account");
    assert_eq!(register(&mut world, back, Some(1)).status, 403, "its old invite does not bring it back");
}

#[test]
fn a_revoked_device_that_signed_out_in_time_keeps_no_call() {
    for way_out in ["sign out", "let it expire", "come back on another connection"] {
        let mut world = World::new(1);
        let (phone, alice) = (joined(&mut world, "dave", 1), world.phone("alice"));
        world.talk(phone, alice);
        match way_out {
            "sign out" => {
                let mut request = world.register_request(phone);
                request.headers.set(HeaderName::Contact, "*");
                request.headers.set(HeaderName::Expires, "0");
                assert_eq!(world.request(phone, request).status, 200);
            }
            "let it expire" => world.advance(Duration::from_secs(601)),
            _ => {
                let again = world.connect_with("dave", Some(device(1)));
                let mut request = world.register_request(again);
                request.headers.set(HeaderName::Contact, world::contact("dave", phone.0, 1));
                assert_eq!(world.request(again, request).status, 200);
            }
        }
        assert_eq!(world.slots.len(), 1, "{way_out}: the call goes on");
        assert!(world.store().revoke(&name("dave"), &device(1)).unwrap());
        world.look_at_store();
        assert!(world.closed.contains(&world.phones[phone.0].flow), "{way_out}");
        assert!(world.slots.is_empty(), "{way_out}");
    }
}

#[test]
fn a_connection_that_was_one_accounts_is_never_anothers() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    let mut request = world.register_request(phone);
    request.headers.set(HeaderName::Contact, "*");
    request.headers.set(HeaderName::Expires, "0");
    assert_eq!(world.request(phone, request).status, 200);
    invite(&mut world, "erin", 2);
    let refused = register_as(&mut world, phone, "erin", Some(2));
    assert_refused(&refused, "You can only sign in as yourself, one account per connection");
    assert_eq!(register(&mut world, phone, None).status, 200, "its own may come back");
}

#[test]
fn a_removed_account_ends_its_devices_connections() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    world.store().remove(&name("dave")).unwrap();
    world.look_at_store();
    assert!(world.closed.contains(&world.phones[phone.0].flow));
}

#[test]
fn guesses_at_tokens_are_slowed_down_as_those_at_passwords() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let phone = world.connect_with("dave", Some(device(1)));
    for guess in 0..GUESSES_PER_S as u8 {
        assert_refused(&register(&mut world, phone, Some(100 + guess)), "This invite is not known here");
    }
    let limited = register(&mut world, phone, Some(1));
    assert_eq!((limited.status, limited.headers.retry_after()), (503, Some(1)));
    world.advance(Duration::from_secs(1));
    assert_eq!(register(&mut world, phone, Some(1)).status, 200);
    for _ in 0..3 * GUESSES_PER_S {
        assert_eq!(register(&mut world, phone, Some(1)).status, 200, "a right one counts as no guess");
    }
}

#[test]
fn a_second_device_joins_by_an_invite_that_the_first_one_made() {
    let mut world = World::new(1);
    let first = joined(&mut world, "dave", 1);
    let told = command(&mut world, first, "add");
    assert_eq!(told.status, 200, "{}", told.reason);
    assert_eq!(told.headers.content_type().as_deref(), Some("application/undertone-devices"));
    let lines = lines(&told);
    let values: Vec<&str> = ["token ", "expires ", "operator "]
        .iter()
        .zip(&lines)
        .map(|(key, line)| line.strip_prefix(key).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(values[1].parse::<u64>().unwrap(), world.today.plus(2).start_unix_s());
    assert_eq!(values[2], operator().to_string());

    let stranger = world.connect_with("alice", Some(device(2)));
    assert_refused(&register_with(&mut world, stranger, values[0]), "This invite is not known here");
    let second = world.connect_with("dave", Some(device(2)));
    assert_eq!(register_with(&mut world, second, values[0]).status, 200);
    let alice = world.phone("alice");
    world.call(alice, "dave");
    assert!(world.ringing_at(first).is_some() && world.ringing_at(second).is_some());
}

#[test]
fn a_device_lists_its_account_and_revokes_the_other_one_within_the_moment() {
    let mut world = World::new(1);
    let (first, second, other) =
        (joined(&mut world, "dave", 1), joined(&mut world, "dave", 2), joined(&mut world, "erin", 3));
    let listed = command(&mut world, first, "list\r\n");
    let mut expected: Vec<String> =
        [(1, "this"), (2, "other")].map(|(n, which)| format!("{} {} {which}", device(n).to_hex(), world.today)).into();
    expected.sort();
    assert_eq!(lines(&listed), expected);
    assert_eq!(world.today.to_string(), "2024-10-04");

    let (alice, line) = (world.phone("alice"), format!("revoke {}", device(2).to_hex()));
    world.talk(alice, second);
    let revoked = command(&mut world, first, &line);
    assert_eq!((revoked.status, revoked.body.len()), (200, 0));
    assert!(world.closed.contains(&world.phones[second.0].flow));
    assert!(world.slots.is_empty());
    assert_eq!((command(&mut world, first, &line).status, lines(&listed).len()), (404, 2));
    let anothers = command(&mut world, first, &format!("revoke {}", device(3).to_hex()));
    assert_eq!((anothers.status, anothers.reason.as_str()), (404, "No such device"));
    assert!(!world.closed.contains(&world.phones[other.0].flow));
}

#[test]
fn a_device_that_was_revoked_a_moment_ago_makes_no_way_back_in() {
    let mut world = World::new(1);
    let (thief, owner) = (joined(&mut world, "dave", 1), joined(&mut world, "dave", 2));
    let before = lines(&command(&mut world, thief, "add"))[0].strip_prefix("token ").unwrap().to_owned();
    assert!(world.store().revoke(&name("dave"), &device(1)).unwrap());
    let invited = command(&mut world, thief, "add");
    assert_refused(&invited, "Only a phone that joined by a link can manage devices");
    assert_eq!(command(&mut world, thief, &format!("revoke {}", device(2).to_hex())).status, 403);
    world.look_at_store();
    assert!(world.closed.contains(&world.phones[thief.0].flow));
    assert!(!world.closed.contains(&world.phones[owner.0].flow));
    let back = world.connect_with("dave", Some(device(3)));
    assert_refused(&register_with(&mut world, back, &before), "This invite is not known here");
    assert_eq!(world.store().devices(&name("dave")).unwrap().len(), 1);
}

#[test]
fn a_device_that_revokes_itself_is_told_and_then_cut_off() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    let told = command(&mut world, phone, &format!("revoke {}", device(1).to_hex()));
    assert_eq!(told.status, 200);
    assert!(world.closed.contains(&world.phones[phone.0].flow));
    assert!(world.store().devices(&name("dave")).unwrap().is_empty());
}

#[test]
fn device_commands_are_taken_from_signed_in_devices_only() {
    let mut world = World::new(1);
    joined(&mut world, "dave", 1);
    let (by_password, unsigned, stranger) =
        (world.phone("alice"), world.connect_with("dave", Some(device(1))), world.connect("dave"));
    for phone in [by_password, unsigned, stranger] {
        for line in ["add", "list", &format!("revoke {}", device(1).to_hex())] {
            assert_eq!(command(&mut world, phone, line).status, 403);
        }
    }
    assert_eq!(world.store().devices(&name("dave")).unwrap().len(), 1);
}

#[test]
fn what_is_no_device_command_is_refused_and_changes_nothing() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    for line in ["", "remove all", "revoke 12"] {
        assert_eq!(command(&mut world, phone, line).status, 400, "{line}");
    }
    world.advance(Duration::from_secs(1));
    let mut to_alice = message(&world, phone, "list");
    to_alice.uri = world::uri(&format!("sip:alice@{DOMAIN}"));
    assert_eq!(world.request(phone, to_alice).status, 405);
    let mut chat = message(&world, phone, "list");
    chat.headers.set(HeaderName::ContentType, "text/plain");
    assert_eq!(world.request(phone, chat).status, 405);
    assert_eq!(command(&mut world, phone, "list").status, 200);
}

#[test]
fn invites_that_a_device_makes_are_bounded_in_rate_and_number() {
    let mut world = World::new(1);
    let phone = joined(&mut world, "dave", 1);
    let first: Vec<u16> = (0..=GUESSES_PER_S).map(|_| command(&mut world, phone, "add").status).collect();
    assert_eq!(first.last(), Some(&503), "{first:?}");
    let mut made = first.iter().filter(|status| **status == 200).count();
    loop {
        world.advance(Duration::from_secs(1));
        let told = command(&mut world, phone, "add");
        if told.status != 200 {
            assert!(told.status == 403 && told.reason.contains("too many open invites"), "{}", told.reason);
            break;
        }
        made += 1;
    }
    assert_eq!(made, MAX_OPEN_INVITES as usize);
}

#[test]
fn without_an_operators_key_no_device_is_added() {
    let mut world = World::new(1);
    let phone = joined_without_operator(&mut world, "dave", 1);
    let told = command(&mut world, phone, "add");
    assert!(told.status == 403 && told.reason.contains("operator key"), "{}", told.reason);
}

#[test]
fn requests_that_wait_for_the_store_are_bounded_and_answered_when_it_is_done() {
    let mut world = World::new(1);
    world.store_is_slow = true;
    let mut waiting = Vec::new();
    for n in 0..MAX_WAITING_ERRANDS as u8 {
        let account = format!("name{n}");
        invite(&mut world, &account, n);
        let phone = world.connect_with(&account, Some(device(n)));
        waiting.push((phone, send_register(&mut world, phone, n)));
    }
    assert_eq!(world.errands.len(), MAX_WAITING_ERRANDS);
    let late = world.connect_with("late", Some(device(99)));
    let busy = register(&mut world, late, Some(99));
    assert_eq!((busy.status, busy.headers.retry_after()), (503, Some(1)));
    let again = register(&mut world, waiting[0].0, Some(0));
    assert_eq!(again.status, 503, "one per connection");
    assert!(waiting.iter().all(|(phone, sent)| world.answer_to(*phone, *sent).is_none()));
    world.catch_up();
    for (phone, sent) in waiting {
        assert_eq!(world.answer_to(phone, sent).unwrap().status, 200);
    }
    assert_eq!(register(&mut world, late, Some(99)).status, 403, "there is room again");
}

#[test]
fn a_phone_that_goes_while_the_store_works_has_joined_and_hears_it_when_it_comes_back() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let phone = world.connect_with("dave", Some(device(1)));
    world.store_is_slow = true;
    send_register(&mut world, phone, 1);
    world.disconnect(phone);
    world.catch_up();
    assert_eq!(world.store().devices(&name("dave")).unwrap().len(), 1);
    let again = world.connect_with("dave", Some(device(1)));
    assert_eq!(register(&mut world, again, Some(1)).status, 200);
}

#[test]
fn a_device_revoked_while_its_token_is_looked_at_is_not_let_in() {
    let mut world = World::new(1);
    invite(&mut world, "dave", 1);
    let phone = world.connect_with("dave", Some(device(1)));
    assert_eq!(register(&mut world, phone, Some(1)).status, 200);
    let again = world.connect_with("dave", Some(device(1)));
    world.store_is_slow = true;
    let sent = send_register(&mut world, again, 1);
    assert!(world.store().revoke(&name("dave"), &device(1)).unwrap());
    world.catch_up();
    assert_eq!(world.answer_to(again, sent).unwrap().status, 403);
    world.look_at_store();
    assert!(world.closed.contains(&world.phones[phone.0].flow));
}

#[test]
fn the_next_pin_is_told_to_who_signs_in_and_to_nobody_else() {
    let mut world = World::new(1);
    let (phone, alice, stranger) = (joined(&mut world, "dave", 1), world.phone("alice"), world.connect("bob"));
    let header = HeaderName::UndertoneNextPin;
    assert_eq!(register(&mut world, phone, None).headers.get(&header), None);
    let announcement = Announcement { pin: Pin::from_sha256([7; 32]), serial: 3, signature: [8; 64] };
    world.store().announce(&announcement).unwrap();
    world.look_at_store();
    for signed_in in [phone, alice] {
        let request = world.register_request(signed_in);
        let told = world.request(signed_in, request);
        assert_eq!((told.status, told.headers.get(&header)), (200, Some(announcement.to_string().as_str())));
    }
    let request = world.register_request(stranger);
    let challenged = world.request(stranger, request);
    assert_eq!((challenged.status, challenged.headers.get(&header)), (401, None));
    world.store().end_announcement().unwrap();
    world.look_at_store();
    assert_eq!(register(&mut world, phone, None).headers.get(&header), None);
}

/// A phone that joined with a key and a token of this number.
fn joined(world: &mut World, account: &str, n: u8) -> PhoneId {
    world.store().set_operator(&operator()).unwrap();
    joined_without_operator(world, account, n)
}

fn joined_without_operator(world: &mut World, account: &str, n: u8) -> PhoneId {
    invite(world, account, n);
    let phone = world.connect_with(account, Some(device(n)));
    assert_eq!(register(world, phone, Some(n)).status, 200);
    phone
}

/// As the operator's command does it, seen by the running gateway.
fn invite(world: &mut World, account: &str, n: u8) {
    let token = TokenHash::of(&LinkToken::new([n; 32]));
    world.store().invite_to_new(&name(account), &token, DAYS, world.today).unwrap().unwrap();
    world.look_at_store();
}

fn register(world: &mut World, id: PhoneId, token: Option<u8>) -> Response {
    let account = world.phones[id.0].account.clone();
    register_as(world, id, &account, token)
}

fn register_as(world: &mut World, id: PhoneId, account: &str, token: Option<u8>) -> Response {
    let mut request = world.register_request(id);
    let address = format!("<sip:{account}@{DOMAIN}>");
    request.headers.set(HeaderName::From, format!("{address};tag=1"));
    request.headers.set(HeaderName::To, address);
    request.headers.set(HeaderName::Contact, world::contact("x", id.0, 1));
    if let Some(n) = token {
        request.headers.push(HeaderName::Authorization, authorization(&text(n)));
    }
    world.request(id, request)
}

fn register_with(world: &mut World, id: PhoneId, token: &str) -> Response {
    let mut request = world.register_request(id);
    request.headers.push(HeaderName::Authorization, authorization(token));
    world.request(id, request)
}

fn send_register(world: &mut World, id: PhoneId, n: u8) -> TransactionId {
    let mut request = world.register_request(id);
    request.headers.push(HeaderName::Authorization, authorization(&text(n)));
    world.send(id, request)
}

fn authorization(token: &str) -> String {
    format!("Undertone-Token token=\"{token}\"")
}

fn text(n: u8) -> String {
    URL_SAFE_NO_PAD.encode([n; 32])
}

fn command(world: &mut World, id: PhoneId, line: &str) -> Response {
    let request = message(world, id, line);
    world.request(id, request)
}

fn message(world: &World, id: PhoneId, line: &str) -> Request {
    let account = &world.phones[id.0].account;
    let mut request = Request::new(Method::Message, world::uri(&format!("sip:{DOMAIN}")));
    request.headers.push(HeaderName::From, format!("<sip:{account}@{DOMAIN}>;tag=1"));
    request.headers.push(HeaderName::To, format!("<sip:{DOMAIN}>"));
    request.headers.push(HeaderName::ContentType, "application/undertone-devices");
    request.body = line.as_bytes().to_vec();
    request
}

fn lines(response: &Response) -> Vec<String> {
    let text = String::from_utf8(response.body.clone()).unwrap();
    assert!(text.is_empty() || text.ends_with("\r\n"));
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

fn assert_refused(response: &Response, reason: &str) {
    assert_eq!((response.status, response.reason.as_str()), (403, reason));
}

fn device(n: u8) -> DeviceHash {
    DeviceHash::of_key(&[n])
}

fn operator() -> OperatorKey {
    OperatorKey::from_bytes([4; 32])
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).unwrap()
}

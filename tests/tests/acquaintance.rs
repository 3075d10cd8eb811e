//! Two people who get to know each other, with the dishonest and the curious around them: the whole product in virtual
//! time. Who rings, who is verified, what is said loudly, and whose sound goes out.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::ceremony::Question;
use undertone::core::command::Command;
use undertone::core::contacts::{ContactChange, Key, LinkId};
use undertone::core::event::{EndReason, Event, NotDone, Side, Unverified, Verification};
use undertone_sip::sdp::Description;
use undertone_sip::wire::{HeaderName, Message, Method};
use undertone_tests::world::{Kind, Line, StationId, TODAY, World};

/// Quieter than anything but encoded silence.
const SILENCE: f32 = 0.001;

#[test]
fn a_contact_link_verifies_both_at_the_first_call_and_nothing_is_read_aloud() {
    let (mut world, alice, bob) = World::acquaintances(1);
    let link = world.give_link(bob, "Alice A");
    world.add_by_link(alice, link, "Bob B");
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    assert_eq!(ringing(&world, bob), "Alice A", "the name that bob gave when he made the link");
    world.command(bob, Command::Answer);
    world.wait_verified(&[alice, bob]);
    assert_eq!(verified(&world, alice), ("Bob B".into(), "verified by link on 1970-01-01".into()));
    assert_eq!(verified(&world, bob), ("Alice A".into(), "verified by link of 1970-01-01".into()));
    for id in [alice, bob] {
        assert_eq!(world.station(id).count("compare") + world.station(id).count("safety_words"), 0);
        assert!(key_of(&world, id, other(id)).is_verified());
        assert!(world.listen(id) > 0.01);
    }
    world.hang_up(alice, bob);
    // From here on in either direction, without a link.
    world.meet(bob, alice);
    assert_eq!(ringing(&world, alice), "Bob B");
}

#[test]
fn people_who_know_only_an_address_pick_words_once_and_are_verified_from_then_on() {
    let (mut world, alice, bob) = strangers(2);
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    for round in 1..=2 {
        let [asked, answered] = [alice, bob].map(|id| question(&world, id));
        assert_eq!((asked.round, answered.round), (round, round));
        assert!(!key_of(&world, alice, bob).is_verified() && !key_of(&world, bob, alice).is_verified());
        let picks = [heard(&asked, &answered), heard(&answered, &asked)];
        world.command(alice, Command::Pick(picks[0]));
        world.command(bob, Command::Pick(picks[1]));
    }
    world.wait_verified(&[alice, bob]);
    assert_eq!(verified(&world, alice), ("bob".into(), "verified by safety words on 1970-01-01".into()));
    assert_eq!(verified(&world, bob).0, "alice");
    world.hang_up(alice, bob);
    world.meet(alice, bob);
    assert_eq!(world.station(alice).count("compare"), 2, "nothing is compared again");
    assert_eq!(ringing(&world, bob), "alice");
}

#[test]
fn nothing_is_kept_before_both_picks_are_right_on_this_phone() {
    let (mut world, alice, bob) = strangers(3);
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    pick_right(&mut world, alice, bob);
    pick_right(&mut world, bob, alice);
    pick_right(&mut world, alice, bob);
    assert!(key_of(&world, alice, bob).is_verified());
    assert!(!key_of(&world, bob, alice).is_verified(), "bob has picked one half of two");
    world.command(bob, Command::SkipCheck);
    let skipped = |event: &Event| matches!(event, Event::NotVerified { why: Unverified::Skipped, .. });
    assert!(world.station(bob).saw(skipped));
    assert!(!world.station(bob).sees_in_this_call("verified"));
    world.command(bob, Command::Pick(1));
    assert!(world.station(bob).saw(|event| matches!(event, Event::NotDone { why: NotDone::NothingToCompare })));
}

#[test]
fn a_wrong_pick_and_none_of_these_stop_the_sound_at_once_and_keep_nothing() {
    for none in [false, true] {
        let (mut world, alice, bob) = strangers(4);
        let address = world.address(bob);
        world.change_contacts(alice, ContactChange::Add { address: address.clone(), name: "Bob".into() }).unwrap();
        world.call(alice, bob);
        world.wait_sound_of_strangers(&[alice, bob]);
        assert!(world.listen(bob) > 0.01);
        let right = heard(&question(&world, alice), &question(&world, bob));
        world.command(alice, if none { Command::PickNone } else { Command::Pick(right % 4 + 1) });
        assert_eq!(world.station(alice).count("wrong_pick"), 1);
        world.run_for(Duration::from_secs(1));
        assert!(world.listen(bob) < SILENCE, "nothing is heard of alice any more");
        assert!(world.listen(alice) > 0.01, "bob has found nothing yet");
        assert_eq!(world.station(alice).count("ended"), 0, "the person hangs up");
        let contact = world.station(alice).contacts.at(&address).unwrap();
        assert_eq!((contact.key, contact.failed_checks), (Key::Unknown, 1));
        world.command(alice, Command::Check);
        assert!(world.station(alice).saw(|event| matches!(event, Event::NotDone { why: NotDone::NothingToCompare })));
        world.command(alice, Command::Mute(false));
        world.command(alice, Command::Dtmf('1'));
        assert!(world.listen(bob) < SILENCE);
        assert_eq!(world.station(bob).digits(), "", "keys can be secrets");
    }
}

#[test]
fn digits_are_the_same_question_for_people_who_share_no_language() {
    let (mut world, alice, bob) = strangers(5);
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    let words = question(&world, alice);
    world.command(alice, Command::Digits);
    assert_eq!(question(&world, alice), Question { digits: true, ..words });
    let (asked, answered) = (question(&world, alice), question(&world, bob));
    let by_digits = asked.choices_digits.iter().position(|digits| *digits == answered.read_digits).unwrap();
    assert_eq!(by_digits + 1, usize::from(heard(&asked, &answered)));
}

#[test]
fn a_contact_whose_key_has_changed_hears_nothing_and_the_caller_is_told_loudly() {
    let (mut world, alice, bob) = World::friends(6);
    world.keep_identity(bob, 666);
    world.change_contacts(bob, ContactChange::StrangersMayRing(true)).unwrap();
    let before = world.station(bob).heard.len();
    world.call(alice, bob);
    world.run_until("alice is warned", |world| world.station(alice).count("key_changed") > 0);
    world.run_until("it ends", |world| world.station(alice).count("ended") > 1);
    assert_eq!(world.station(alice).ended(), Some(EndReason::VerificationFailed));
    let heard = &world.station(bob).heard[before.min(world.station(bob).heard.len())..];
    assert!(heard.iter().all(|sample| sample.abs() < SILENCE), "only silence was ever sent");
    let address = world.address(bob);
    let contact = world.station(alice).contacts.at(&address).unwrap();
    assert!(contact.key.is_verified() && contact.failed_checks == 1, "the known key stays");
    assert!(warning(&world, alice, "key_changed").contains("--anew"));
}

#[test]
fn after_a_change_of_key_two_people_check_anew_and_are_verified_again() {
    let (mut world, alice, bob) = World::friends(7);
    let address = world.address(bob);
    world.keep_identity(bob, 777);
    world.change_contacts(alice, ContactChange::CheckAnew { address }).unwrap();
    // Bob still knows alice; she lets him ring because she wants to check him.
    world.call(bob, alice);
    world.run_until("alice compares", |world| world.station(alice).sees_in_this_call("compare"));
    assert_eq!(ringing(&world, alice), "Bob B");
    world.run_until("bob sees the key he knows", |world| world.station(bob).sees_in_this_call("verified"));
    world.command(bob, Command::Check);
    for _ in 0..2 {
        pick_right(&mut world, alice, bob);
        pick_right(&mut world, bob, alice);
    }
    assert_eq!(key_of(&world, alice, bob).pinned(), Some(&world.key(bob)));
    assert_eq!(verified(&world, alice).1, "verified by safety words on 1970-01-01");
}

#[test]
fn to_a_stranger_a_phone_that_is_on_is_the_same_as_one_that_is_off() {
    let mut said = Vec::new();
    for is_on in [true, false] {
        let (mut world, alice, bob) = World::acquaintances(8);
        if !is_on {
            world.station_mut(bob).frozen = true;
        }
        let sent_before = world.station(bob).sent.len();
        let events_before = world.station(bob).events.len();
        world.dial(alice, "bob");
        let from = world.elapsed();
        world.wait_ended(&[alice]);
        let took = world.elapsed() - from;
        assert!((2_400..3_600).contains(&took.as_millis()), "{took:?}");
        assert_eq!(world.station(alice).ended(), Some(EndReason::CannotBeReached));
        said.push(world.station(alice).events.iter().map(|(_, event)| event.json_line()).collect::<Vec<_>>());
        if is_on {
            world.run_for(Duration::from_secs(5));
            let sent = &world.station(bob).sent[sent_before..];
            let lines: Vec<_> = sent.iter().map(|sent| first_line(&sent.bytes)).collect();
            let only = ["SIP/2.0 100 Trying", "SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"];
            assert_eq!(lines, only, "what the gateway needs to withdraw the call, and nothing else");
            assert!(
                sent.iter().all(|sent| sent.kind == Kind::Signalling && !sent.bytes.windows(4).any(|w| w == b"a=fi"))
            );
            assert_eq!(world.station(bob).events.len(), events_before, "nobody is told");
            assert_eq!(world.silent_calls(bob), 1);
        }
    }
    assert_eq!(said[0], said[1]);
}

#[test]
fn a_ticket_for_another_offer_another_name_or_a_second_time_stays_silent() {
    // The gateway puts in its own certificate.
    let (mut world, alice, bob) = World::friends(9);
    world.falsify = Some(Box::new(move |to, message| {
        change_offer(message, to == bob, |offer| {
            offer.fingerprint.sha256 = [9; 32];
        })
    }));
    assert_silent(&mut world, alice, bob);
    // It says that somebody else calls.
    let (mut world, alice, bob) = World::friends(9);
    world.falsify = Some(Box::new(move |to, mut message| {
        if let Message::Request(request) = &mut message
            && to == bob
            && request.method == Method::Invite
        {
            let from = request.headers.from().unwrap().to_string().replace("alice@", "carol@");
            request.headers.set(HeaderName::From, from);
        }
        message
    }));
    assert_silent(&mut world, alice, bob);
    // It plays a call again.
    let (mut world, alice, bob) = World::friends(9);
    let mut recorded = None;
    world.falsify = Some(Box::new(move |to, mut message| {
        if let Message::Request(request) = &mut message
            && to == bob
            && request.method == Method::Invite
        {
            let recorded = recorded.get_or_insert_with(|| request.body.clone());
            request.body.clone_from(recorded);
        }
        message
    }));
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    world.hang_up(alice, bob);
    assert_silent(&mut world, alice, bob);
}

#[test]
fn a_hidden_contact_is_shown_by_name_and_the_gateway_passes_on_nobody() {
    for wish in ["for this call", "for this contact", "for all calls"] {
        let (mut world, alice, bob) = World::friends(10);
        let before = world.station(bob).received.len();
        let (uri, address) = ("Bob B".to_owned(), world.address(bob));
        match wish {
            "for this call" => world.command(alice, Command::DialHidden { uri }),
            "for this contact" => {
                world.change_contacts(alice, ContactChange::HideFrom { address, on: true }).unwrap();
                world.command(alice, Command::Dial { uri });
            }
            _ => {
                world.hide_from(alice);
                world.command(alice, Command::Dial { uri });
            }
        }
        world.wait_ringing(bob);
        assert_eq!(ringing(&world, bob), "Alice A", "{wish}");
        world.command(bob, Command::Answer);
        world.wait_verified(&[alice, bob]);
        let invite = world.station(bob).received[before..].iter().find(|got| got.bytes.starts_with(b"INVITE")).unwrap();
        let invite = String::from_utf8(invite.bytes.clone()).unwrap();
        assert!(invite.contains("sip:anonymous@anonymous.invalid") && !invite.contains("alice"), "{wish}: {invite}");
    }
}

#[test]
fn a_hidden_stranger_stays_a_stranger() {
    let (mut world, alice, bob) = strangers(11);
    world.command(alice, Command::DialHidden { uri: "bob".into() });
    world.wait_ringing(bob);
    assert_eq!(ringing(&world, bob), "an unknown caller");
    world.command(bob, Command::Answer);
    world.wait_sound_of_strangers(&[alice, bob]);
    for _ in 0..2 {
        pick_right(&mut world, alice, bob);
        pick_right(&mut world, bob, alice);
    }
    world.wait_verified(&[alice, bob]);
    assert!(world.station(bob).saw(|event| matches!(event, Event::Verified { kept: false, .. })));
    assert_eq!(world.station(bob).contacts.people().count(), 0, "there is no address to keep");
    assert!(key_of(&world, alice, bob).is_verified());
}

#[test]
fn the_first_call_by_a_link_is_not_hidden_and_says_so() {
    let (mut world, alice, bob) = World::acquaintances(12);
    let link = world.give_link(bob, "Alice A");
    world.add_by_link(alice, link, "Bob B");
    world.command(alice, Command::DialHidden { uri: "bob".into() });
    assert!(world.station(alice).saw(|event| matches!(event, Event::NotDone { why: NotDone::CannotHide })));
    assert_eq!(world.station(alice).count("calling"), 0);
}

#[test]
fn a_link_that_another_phone_used_rings_with_a_warning_on_both_phones_and_keeps_nothing() {
    let (mut world, alice, bob) = World::acquaintances(13);
    let carol = world.add("carol");
    world.keep_identity(carol, 99);
    world.wait_ready(&[carol]);
    let link = world.give_link(bob, "Alice A");
    let stolen = undertone_config::ContactLink {
        address: link.address.clone(),
        key: link.key,
        token: link.token.as_ref().map(|token| undertone_config::LinkToken::new(*token.expose())),
    };
    world.add_by_link(alice, link, "Bob B");
    world.add_by_link(carol, stolen, "Bob B");
    world.meet(carol, bob);
    world.hang_up(carol, bob);
    world.call(alice, bob);
    world.run_until("both are warned", |world| {
        [alice, bob].iter().all(|id| world.station(*id).sees_in_this_call("link_used"))
    });
    let by = |side| move |event: &Event| matches!(event, Event::LinkUsed { by, .. } if *by == side);
    assert!(world.station(alice).saw(by(Side::Here)) && world.station(bob).saw(by(Side::There)));
    assert!(ringing(&world, bob).contains("Alice A's link"));
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.station(bob).count("link_used"), 1, "said once");
    assert_eq!(world.station(alice).count("link_used"), 1, "said once");
    let alices = world.address(alice);
    assert!(world.station(bob).contacts.at(&alices).is_none(), "nothing is kept of her");
    assert!(world.station(bob).contacts.known_by(&world.key(carol)).is_some());
    assert!(!world.station(bob).sees_in_this_call("verified"));
}

#[test]
fn two_devices_that_race_for_one_link_have_one_winner_and_the_loser_is_warned() {
    let (mut world, alice, bob) = World::acquaintances(14);
    let link = world.give_link(bob, "Alice A");
    world.add_by_link(alice, link, "Bob B");
    world.dial(alice, "bob");
    world.wait_ringing(bob);
    // Another device of bob's was faster: the disk knows it, this phone does not yet.
    let (address, key) = ("carol@gw.example".parse().unwrap(), world.key(bob));
    let used = ContactChange::UseLink { link: LinkId(1), key, address, today: TODAY };
    world.station_mut(bob).contacts.apply(used).unwrap();
    world.command(bob, Command::Answer);
    world.run_until("both are warned", |world| {
        [alice, bob].iter().all(|id| world.station(*id).sees_in_this_call("link_used"))
    });
    assert!(!world.station(bob).sees_in_this_call("verified"));
}

#[test]
fn an_expired_and_a_withdrawn_link_stay_silent_and_the_caller_is_told_to_ask_for_another() {
    for expired in [true, false] {
        let (mut world, alice, bob) = World::acquaintances(15);
        let made = if expired { TODAY.saturating_sub(time::Duration::days(8)) } else { TODAY };
        let link = world.give_link_of(bob, "Alice A", made);
        world.add_by_link(alice, link, "Bob B");
        if !expired {
            world.change_contacts(bob, ContactChange::Withdraw(LinkId(1))).unwrap();
        }
        assert_silent(&mut world, alice, bob);
        let ended = world.station(alice).events.last().unwrap().1.sentence();
        assert!(ended.contains("Bob B cannot be reached") && ended.contains("ask them for a new one"), "{ended}");
    }
}

#[test]
fn a_public_link_lets_strangers_ring_who_verify_in_one_direction() {
    let (mut world, alice, bob) = World::acquaintances(16);
    let link = undertone_config::ContactLink { token: None, ..world.give_link(bob, "nobody") };
    world.add_by_link(alice, link, "The tip line");
    assert_silent(&mut world, alice, bob);
    world.change_contacts(bob, ContactChange::PublicLink(true)).unwrap();
    world.command(alice, Command::DialHidden { uri: "The tip line".into() });
    world.wait_ringing(bob);
    assert_eq!(ringing(&world, bob), "an unknown caller (by your public link)");
    world.command(bob, Command::Answer);
    world.wait_verified(&[alice]);
    assert_eq!(verified(&world, alice).0, "The tip line");
    let stranger = |event: &Event| matches!(event, Event::NotVerified { why: Unverified::PublicLink, .. });
    world.run_until("bob knows that he does not know", |world| world.station(bob).saw(stranger));
    assert_eq!(world.station(bob).contacts.people().count(), 0);
}

#[test]
fn a_contact_added_by_address_rings_by_name_if_the_caller_knows_the_key() {
    let (mut world, alice, bob) = World::acquaintances(17);
    let link = undertone_config::ContactLink { token: None, ..world.give_link(bob, "nobody") };
    world.add_by_link(alice, link, "Bob B");
    let address = world.address(alice);
    world.change_contacts(bob, ContactChange::Add { address, name: "Alice by hand".into() }).unwrap();
    world.call(alice, bob);
    assert_eq!(ringing(&world, bob), "Alice by hand");
    world.run_until("bob compares", |world| world.station(bob).sees_in_this_call("compare"));
}

#[test]
fn a_busy_phone_says_so_to_contacts_only() {
    let (mut world, alice, bob) = World::friends(18);
    let carol = world.add("carol");
    world.keep_identity(carol, 5);
    let dave = world.add("dave");
    world.keep_identity(dave, 6);
    world.wait_ready(&[carol, dave]);
    let link = world.give_link(bob, "Carol C");
    world.add_by_link(carol, link, "Bob B");
    world.meet(alice, bob);
    world.dial(carol, "bob");
    world.dial(dave, "bob");
    world.wait_ended(&[carol, dave]);
    let missed = |(_, event): &(Duration, Event)| match event {
        Event::Missed { from } => Some(from.clone()),
        _ => None,
    };
    let missed: Vec<_> = world.station(bob).events.iter().filter_map(missed).collect();
    assert_eq!(missed, ["Carol C"]);
    let busy =
        |id: StationId| world.station(id).sent.iter().filter(|sent| sent.bytes.starts_with(b"SIP/2.0 486")).count();
    assert_eq!(busy(bob), 1);
}

#[test]
fn without_the_announcement_of_a_proof_a_known_contact_is_refused_and_a_stranger_labelled() {
    let strip = |world: &mut World| {
        world.falsify = Some(Box::new(|_, message| change_offer(message, true, |offer| offer.vfy = false)));
    };
    let (mut world, alice, bob) = World::friends(19);
    strip(&mut world);
    world.dial(alice, "bob");
    world.wait_ended(&[alice]);
    world.run_until("bob refuses", |world| world.station(bob).count("refused") == 1);
    assert_eq!(world.station(bob).count("connecting"), 1, "only in the call before");

    let (mut world, alice, bob) = World::friends(19);
    world.falsify = Some(Box::new(move |to, message| change_offer(message, to == alice, |offer| offer.vfy = false)));
    world.call(alice, bob);
    world.run_until("alice refuses", |world| world.station(alice).count("ended") == 2);
    assert_eq!(world.station(alice).ended(), Some(EndReason::ProofMissing));
    assert_eq!(world.station(alice).count("connecting"), 1, "no media was ever begun");

    let (mut world, alice, bob) = strangers(20);
    strip(&mut world);
    world.call(alice, bob);
    let labelled =
        |event: &Event| matches!(event, Event::Encrypted { verification: Verification::CannotBeVerified, .. });
    world.run_until("both are labelled", |world| [alice, bob].iter().all(|id| world.station(*id).saw(labelled)));
    world.run_for(Duration::from_secs(12));
    assert_eq!(world.station(alice).count("verified") + world.station(bob).count("verified"), 0);
}

#[test]
fn a_stranger_whose_phone_has_proved_a_key_must_prove_one_from_then_on() {
    let (mut world, alice, bob) = strangers(21);
    let address = world.address(bob);
    world.change_contacts(alice, ContactChange::Add { address: address.clone(), name: "Bob".into() }).unwrap();
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    world.command(alice, Command::SkipCheck);
    assert!(world.station(alice).contacts.at(&address).unwrap().proves);
    world.hang_up(alice, bob);
    world.falsify = Some(Box::new(|_, message| change_offer(message, true, |offer| offer.vfy = false)));
    world.call(alice, bob);
    world.run_until("alice refuses", |world| world.station(alice).count("ended") == 2);
    assert_eq!(world.station(alice).ended(), Some(EndReason::ProofMissing));
}

#[test]
fn no_word_is_heard_before_the_proof_however_long_it_takes() {
    let (mut world, alice, bob) = World::friends(22);
    for id in [alice, bob] {
        world.set_line(id, Line { delay: Duration::from_millis(300), ..Line::GOOD });
    }
    world.call(alice, bob);
    let keys = |world: &World| [alice, bob].iter().all(|id| world.station(*id).sees_in_this_call("encrypted"));
    world.run_until("there are keys", keys);
    let mut waited = 0;
    while !world.station(alice).sees_in_this_call("verified") {
        world.command(alice, Command::Dtmf('1'));
        world.run_for(Duration::from_millis(20));
        assert!(world.station(bob).heard.iter().all(|sample| sample.abs() < SILENCE));
        waited += 1;
    }
    assert!(waited > 20, "{waited}");
    world.run_for(Duration::from_secs(2));
    assert!(world.listen(bob) > 0.01);
    assert_eq!(world.station(bob).digits(), "");
}

#[test]
fn a_proof_that_does_not_come_within_ten_seconds_ends_the_call_and_says_why() {
    let (mut world, alice, bob) = World::friends(23);
    let set = |world: &mut World, line: Line| [alice, bob].iter().for_each(|id| world.set_line(*id, line));
    set(&mut world, Line { delay: Duration::from_millis(300), ..Line::GOOD });
    world.call(alice, bob);
    world.run_until("both have keys", |world| {
        [alice, bob].iter().all(|id| world.station(*id).sees_in_this_call("encrypted"))
    });
    // Alice's first message gets through, nothing after it does.
    world.run_for(Duration::from_millis(400));
    set(&mut world, Line { loss: 1.0, ..Line::GOOD });
    world.run_until("bob, who has had keys for longer, ends it", |world| world.station(bob).count("ended") == 2);
    let took = world.station(bob).last("ended").unwrap() - world.station(bob).last("encrypted").unwrap();
    assert_eq!(took, Duration::from_secs(10));
    assert_eq!(world.station(bob).ended(), Some(EndReason::VerificationFailed));
    let is_ended = |(_, event): &&(Duration, Event)| event.name() == "ended";
    let ended = world.station(bob).events.iter().rev().find(is_ended).unwrap().1.sentence();
    assert!(ended.contains("did not finish the verification"), "{ended}");
    assert!([alice, bob].iter().all(|id| world.station(*id).heard.iter().all(|sample| sample.abs() < SILENCE)));
}

/// Two phones with kept identities that let strangers ring.
fn strangers(seed: u64) -> (World, StationId, StationId) {
    let (mut world, alice, bob) = World::acquaintances(seed);
    for id in [alice, bob] {
        world.change_contacts(id, ContactChange::StrangersMayRing(true)).unwrap();
    }
    (world, alice, bob)
}

fn other(id: StationId) -> StationId {
    StationId(1 - id.0)
}

fn ringing(world: &World, id: StationId) -> String {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Ringing { other, at: Side::Here, .. } => Some(other.clone()),
        _ => None,
    });
    newest.expect("it has rung")
}

fn verified(world: &World, id: StationId) -> (String, String) {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Verified { name, how, .. } => Some((name.clone(), how.clone())),
        _ => None,
    });
    newest.expect("somebody is verified")
}

fn question(world: &World, id: StationId) -> Question {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Compare { question, .. } => Some(Question::clone(question)),
        _ => None,
    });
    newest.expect("something is to be compared")
}

/// The number of the choice that the other person reads.
fn heard(asked: &Question, reads: &Question) -> u8 {
    asked.choices.iter().position(|words| *words == reads.read).expect("an honest line") as u8 + 1
}

/// Picks what the other phone would have its person read in the same round.
fn pick_right(world: &mut World, id: StationId, other: StationId) {
    let asked = question(world, id);
    let reads = world.station(other).events.iter().rev().find_map(|(_, event)| match event {
        Event::Compare { question, .. } if question.round == asked.round => Some(Question::clone(question)),
        _ => None,
    });
    let choice = match reads {
        Some(reads) => heard(&asked, &reads),
        // The other one is behind: in the second round it reads what it has to pick in the first.
        None => {
            let first = question(world, other);
            asked.choices.iter().position(|words| first.choices.contains(words)).unwrap() as u8 + 1
        }
    };
    world.command(id, Command::Pick(choice));
}

fn warning(world: &World, id: StationId, name: &str) -> String {
    let events = world.station(id).events.iter();
    let found = events.rev().find(|(_, event)| event.name() == name).map(|(_, event)| event);
    assert!(found.unwrap().is_loud());
    found.unwrap().sentence()
}

fn key_of(world: &World, id: StationId, of: StationId) -> Key {
    world.station(id).contacts.at(&world.address(of)).map_or(Key::Unknown, |contact| contact.key)
}

fn assert_silent(world: &mut World, caller: StationId, callee: StationId) {
    let rung = world.station(callee).count("ringing");
    let ended = world.station(caller).count("ended");
    let silent = world.silent_calls(callee);
    let account = world.station(callee).account.clone();
    world.dial(caller, &account);
    world.run_until("the caller gives up", |world| world.station(caller).count("ended") > ended);
    assert_eq!(world.station(caller).ended(), Some(EndReason::CannotBeReached));
    assert_eq!(world.station(callee).count("ringing"), rung);
    assert_eq!(world.silent_calls(callee), silent + 1);
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}

/// The message with another session description, if it has one and `wanted`.
fn change_offer(mut message: Message, wanted: bool, change: impl FnOnce(&mut Description)) -> Message {
    let body = match &mut message {
        Message::Request(request) => &mut request.body,
        Message::Response(response) => &mut response.body,
    };
    if wanted && let Ok(mut description) = Description::parse(body) {
        change(&mut description);
        *body = description.to_bytes();
    }
    message
}

//! Whoever knows a key, a link or an address, and uses it for what it is not: the whole product in virtual time.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::ceremony::Question;
use undertone::core::command::Command;
use undertone::core::contacts::{Checked, ContactChange, How, Key};
use undertone::core::event::{EndReason, Event, NotDone, Side, Unverified};
use undertone_tests::world::{StationId, TODAY, World};

/// Quieter than anything but encoded silence.
const SILENCE: f32 = 0.001;

#[test]
fn under_the_address_of_a_contact_no_link_lets_another_key_hear_a_word() {
    for public in [true, false] {
        let (mut world, alice, bob) = World::friends(22);
        let address = world.address(bob);
        world.keep_identity(alice, 666);
        if public {
            world.change_contacts(bob, ContactChange::PublicLink(true)).unwrap();
        } else {
            let link = world.give_link(bob, "Carol C");
            world.change_contacts(alice, ContactChange::Remove { address }).unwrap();
            world.add_by_link(alice, link, "Bob B");
        }
        let before = world.station(alice).heard.len();
        world.call(alice, bob);
        world.run_until("bob's call ends", |world| world.station(bob).count("ended") > 1);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.station(bob).ended(), Some(EndReason::VerificationFailed));
        let heard = &world.station(alice).heard[before.min(world.station(alice).heard.len())..];
        assert!(heard.iter().all(|sample| sample.abs() < SILENCE), "{public}");
        assert_ne!(key_of(&world, bob, alice).pinned(), Some(&world.key(alice)));
        let told = sentence(&world, bob, "key_changed");
        assert!(told.contains("alice@gw.example") && !told.contains("link"), "{told}");
    }
}

#[test]
fn a_link_made_for_somebody_else_does_not_verify_a_contact() {
    let (mut world, alice, bob) = World::acquaintances(23);
    let address = world.address(alice);
    world.change_contacts(bob, ContactChange::Add { address, name: "Alice A".into() }).unwrap();
    let link = world.give_link(bob, "Carol C");
    world.add_by_link(alice, link, "Bob B");
    world.call(alice, bob);
    assert_eq!(ringing(&world, bob), "Carol C");
    let for_another = |event: &Event| matches!(event, Event::NotVerified { why: Unverified::LinkForAnother, .. });
    world.run_until("bob is told", |world| world.station(bob).saw(for_another));
    world.run_for(Duration::from_secs(2));
    assert!(!world.station(bob).sees_in_this_call("verified"));
    assert_eq!(key_of(&world, bob, alice), Key::Unknown);
    assert!(world.station(bob).contacts.links()[0].used_by.is_none(), "whom it was made for may still use it");
    world.command(bob, Command::Check);
    assert!(world.station(bob).sees_in_this_call("compare"), "words can be compared instead");
}

#[test]
fn a_link_made_for_a_contact_known_by_address_verifies_that_contact() {
    let (mut world, alice, bob) = World::acquaintances(24);
    let address = world.address(alice);
    world.change_contacts(bob, ContactChange::Add { address, name: "Alice A".into() }).unwrap();
    let link = world.give_link(bob, "alice a");
    world.add_by_link(alice, link, "Bob B");
    world.meet(alice, bob);
    assert!(sentence(&world, bob, "verified").starts_with("Alice A: verified by link"));
}

#[test]
fn a_contact_confirmed_by_key_code_before_the_first_call_is_still_called_by_its_link() {
    let (mut world, alice, bob) = World::acquaintances(25);
    let link = world.give_link(bob, "Alice A");
    world.add_by_link(alice, link, "Bob B");
    let checked = Checked { how: How::KeyCode, day: TODAY };
    let (address, key) = (world.address(bob), world.key(bob));
    world.change_contacts(alice, ContactChange::Verify { address: address.clone(), key, checked }).unwrap();
    world.meet(alice, bob);
    assert!(sentence(&world, alice, "verified").contains("verified by key code on 1970-01-01"));
    assert_eq!(ringing(&world, bob), "Alice A");
    assert!(key_of(&world, bob, alice).is_verified());
    assert!(world.station(alice).contacts.at(&address).unwrap().token.is_none(), "it has done its service");
    world.hang_up(alice, bob);
    world.meet(alice, bob);
}

#[test]
fn one_key_under_two_addresses_rings_from_either() {
    let (mut world, alice, bob) = World::friends(27);
    let before = ContactChange::Verify {
        address: "aaron@gw.example".parse().unwrap(),
        key: world.key(alice),
        checked: Checked { how: How::Words, day: TODAY },
    };
    world.change_contacts(bob, before).unwrap();
    world.meet(alice, bob);
    assert_eq!(ringing(&world, bob), "Alice A");
}

#[test]
fn words_that_were_left_come_again_as_they_were() {
    let (mut world, alice, bob) = World::acquaintances(28);
    world.change_contacts(bob, ContactChange::StrangersMayRing(true)).unwrap();
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    // Whoever compares two drawings finds the right half: it is in both.
    let first = question(&world, alice);
    world.command(alice, Command::SkipCheck);
    world.command(alice, Command::Check);
    assert_eq!(question(&world, alice), first);
    let reads = question(&world, bob).read;
    let right = first.choices.iter().position(|words| *words == reads).unwrap() as u8 + 1;
    world.command(alice, Command::Pick(right));
    assert_eq!(question(&world, alice).round, 2);
    world.command(alice, Command::Check);
    assert_eq!(question(&world, alice), first);
}

#[test]
fn a_key_that_another_window_pinned_meanwhile_is_told_without_a_false_comfort() {
    let (mut world, alice, bob) = World::acquaintances(29);
    world.change_contacts(bob, ContactChange::StrangersMayRing(true)).unwrap();
    world.call(alice, bob);
    world.wait_sound_of_strangers(&[alice, bob]);
    let checked = Checked { how: How::Words, day: TODAY };
    let (address, key) = (world.address(bob), world.key(alice));
    world.change_contacts(alice, ContactChange::Verify { address, key, checked }).unwrap();
    let (asked, heard) = (question(&world, alice), question(&world, bob));
    for read in [heard.read, asked.read] {
        let choices = question(&world, alice).choices;
        let right = choices.iter().position(|words| *words == read).unwrap() as u8 + 1;
        world.command(alice, Command::Pick(right));
    }
    assert!(world.station(alice).saw(|event| matches!(event, Event::KeyChanged { heard: true, .. })));
    assert!(!sentence(&world, alice, "key_changed").contains("Nothing you said"));
    assert_eq!(world.station(alice).ended(), Some(EndReason::VerificationFailed));
}

#[test]
fn a_key_of_the_dial_pad_that_is_not_sent_is_told() {
    let (mut world, alice, bob) = World::acquaintances(30);
    world.change_contacts(bob, ContactChange::StrangersMayRing(true)).unwrap();
    world.call(alice, bob);
    world.run_until("keys exist", |world| world.station(alice).sees_in_this_call("encrypted"));
    let withheld = |(_, event): &&(Duration, Event)| matches!(event, Event::NotDone { why: NotDone::SoundWithheld });
    world.command(alice, Command::Dtmf('1'));
    world.wait_sound_of_strangers(&[alice, bob]);
    world.command(alice, Command::Dtmf('2'));
    world.run_for(Duration::from_secs(1));
    world.command(alice, Command::PickNone);
    world.command(alice, Command::Dtmf('3'));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.station(alice).events.iter().filter(withheld).count(), 2);
    assert_eq!(world.station(bob).digits(), "2");
}

fn ringing(world: &World, id: StationId) -> String {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Ringing { other, at: Side::Here, .. } => Some(other.clone()),
        _ => None,
    });
    newest.expect("it has rung")
}

fn question(world: &World, id: StationId) -> Question {
    let newest = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Compare { question, .. } => Some(Question::clone(question)),
        _ => None,
    });
    newest.expect("something is to be compared")
}

fn sentence(world: &World, id: StationId, name: &str) -> String {
    let found = world.station(id).events.iter().rev().find(|(_, event)| event.name() == name);
    found.expect("it was said").1.sentence()
}

fn key_of(world: &World, id: StationId, of: StationId) -> Key {
    world.station(id).contacts.at(&world.address(of)).map_or(Key::Unknown, |contact| contact.key)
}

//! Whoever knows a key, a link or an address, and uses it for what it is not: the whole product in virtual time.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use undertone::core::contacts::{ContactChange, Key};
use undertone::core::event::EndReason;
use undertone_tests::world::{StationId, World};

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

fn sentence(world: &World, id: StationId, name: &str) -> String {
    let found = world.station(id).events.iter().rev().find(|(_, event)| event.name() == name);
    found.expect("it was said").1.sentence()
}

fn key_of(world: &World, id: StationId, of: StationId) -> Key {
    world.station(id).contacts.at(&world.address(of)).map_or(Key::Unknown, |contact| contact.key)
}

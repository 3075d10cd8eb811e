//! Calls through the gateway, with the real cores of phones, gateway and relay, in virtual time.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use undertone::core::command::Command;
use undertone::core::event::EndReason;
use undertone_tests::world::World;

/// What counts as heard after alignment.
const ALIKE: f32 = 0.9;

#[test]
fn two_phones_call_answer_talk_and_hang_up() {
    let (mut world, alice, bob) = World::talking(1);
    for (speaker, listener) in [(alice, bob), (bob, alice)] {
        let likeness = world.likeness(speaker, listener, 3);
        assert!(likeness.correlation >= ALIKE && likeness.compared > 0.7, "{likeness:?}");
    }
    world.command(alice, Command::HangUp);
    world.wait_ended(&[alice, bob]);
    assert_eq!(world.station(alice).ended(), Some(EndReason::HungUpHere));
    assert_eq!(world.station(bob).ended(), Some(EndReason::HungUpThere));
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.open_slots(), 0);
}

//! Attacks on a call's sound, end to end: real phones' cores, a real relay, somebody on the path. In virtual time.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout)]

use std::time::Duration;

use undertone::core::event::Event;
use undertone_tests::world::{FRAME, Kind, StationId, World};

/// How long the sound may be gone when the network gives a phone another address.
const REBINDING_GAP: Duration = Duration::from_millis(500);

#[test]
fn replayed_and_flipped_sound_reaches_a_phone_once_at_most_each_and_changes_no_sample_it_plays() {
    let (quiet, _) = heard_by_bob(false);
    let (attacked, Forged { sent, forwarded, dropped }) = heard_by_bob(true);
    assert!(quiet == attacked, "bob hears exactly what he hears without the attack");
    assert!(quiet.iter().any(|sample| sample.abs() > 0.01), "which is sound");
    assert!(forwarded <= sent && forwarded > 0);
    assert_eq!(dropped, forwarded as u64, "his phone has dropped each of them");
    println!("{sent} replays and bit flips from alice's address: {forwarded} forwarded, {dropped} dropped, 0 heard");
}

#[test]
fn sound_from_anywhere_but_an_admitted_address_is_never_forwarded() {
    let (mut world, alice, bob) = World::talking(702);
    let own = world.station(alice).media_address;
    let mut sent = 0;
    for n in 0..200_u16 {
        world.run_for(FRAME);
        let packet = newest(&world, alice, 0);
        let mut elsewhere = own;
        elsewhere.set_port(own.port() + 1 + n);
        for from in [elsewhere, "203.0.113.66:666".parse().unwrap()] {
            assert_eq!(world.inject(from, &packet), 0);
            sent += 1;
        }
    }
    assert!(world.listen(alice) > 0.01 && world.listen(bob) > 0.01);
    println!("{sent} stolen packets from other addresses and ports: 0 forwarded");
}

#[test]
fn a_new_address_from_the_network_interrupts_the_sound_for_half_a_second_at_most() {
    for seed in 710..716 {
        let (mut world, alice, bob) = World::talking(seed);
        // Right after the start and far from any check for consent.
        world.run_for(Duration::from_millis(500) * (seed - 709) as u32);
        let moved = world.elapsed();
        world.rebind(if seed % 2 == 0 { alice } else { bob });
        world.run_for(Duration::from_secs(8));
        for id in [alice, bob] {
            let station = world.station(id);
            let times =
                station.received.iter().filter(|exchange| exchange.kind == Kind::Rtp).map(|exchange| exchange.at);
            let times: Vec<Duration> = times.filter(|at| *at + Duration::from_secs(1) >= moved).collect();
            let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(gap <= REBINDING_GAP && times.len() > 400, "seed {seed}: {gap:?}, {} packets", times.len());
            println!("seed {seed}, {id:?}: sound was gone for {gap:?}");
        }
        assert_eq!((world.station(alice).ended(), world.station(bob).ended()), (None, None));
    }
}

/// What an attacker did, and what became of it.
struct Forged {
    sent: usize,
    forwarded: usize,
    dropped: u64,
}

/// What bob's speaker plays in the same ten seconds, with or without an attacker who can forge alice's address.
fn heard_by_bob(attacked: bool) -> (Vec<f32>, Forged) {
    let (mut world, alice, bob) = World::talking(701);
    world.run_for(Duration::from_secs(2));
    let (from, before) = (world.station(alice).media_address, dropped_by(&world, bob));
    let (mut sent, mut forwarded) = (0, 0);
    for n in 0..400 {
        world.run_for(FRAME);
        if !attacked {
            continue;
        }
        // The flipped one overtakes the genuine one, the others come after theirs.
        let mut flipped = newest(&world, alice, 0);
        let bit = 8 + (n * 37) % (flipped.len() * 8 - 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        for datagram in [&flipped, &newest(&world, alice, 1), &newest(&world, alice, 50)] {
            let count = world.inject(from, datagram);
            assert!(count <= 1);
            sent += 1;
            forwarded += count;
        }
    }
    // Until the next figures are told.
    world.run_for(Duration::from_secs(6));
    let heard = world.station(bob).heard.clone();
    (heard, Forged { sent, forwarded, dropped: dropped_by(&world, bob) - before })
}

/// The packet of sound that this phone sent last, or some before it.
fn newest(world: &World, id: StationId, before: usize) -> Vec<u8> {
    let packets: Vec<_> = world.station(id).sent_of(Kind::Rtp).collect();
    packets[packets.len() - 1 - before].bytes.clone()
}

/// Datagrams this phone has dropped by its newest figures.
fn dropped_by(world: &World, id: StationId) -> u64 {
    let figures = world.station(id).events.iter().rev().find_map(|(_, event)| match event {
        Event::Statistics(figures) => Some(figures.datagrams_dropped),
        _ => None,
    });
    figures.unwrap_or(0)
}

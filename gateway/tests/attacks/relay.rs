//! Attacks on the relay: by strangers, by thieves on the path, and by a leg that means harm.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use undertone_gateway::core::relay::{DropCause, LEG_BYTES_PER_S, MAX_HELD_PER_LEG, RelayCommand, Side};

use crate::relay_world::{ALICE, BOB, DTLS, RTP, STRANGER, World, addr, check};

/// Tries at a leg's password. It has 24 characters: any number of tries that fits into a call is as good as none.
const GUESSES: u32 = 100_000;

/// One of our phones' sound packets.
const PACKET: Duration = Duration::from_millis(20);

#[test]
fn whoever_sends_first_gets_nothing_then_or_later_and_nothing_of_his_arrives() {
    let mut world = World::new();
    let mut sent = 0;
    for host in 1..=250 {
        let from = format!("203.0.113.{host}:4000");
        for datagram in [&RTP[..], &DTLS, &[0x80; 200], &[22; 200]] {
            world.send(&from, datagram);
            sent += 1;
        }
    }
    assert!(world.taken().is_empty());
    world.admit_both();
    assert_eq!(world.relay.counters().dropped(DropCause::Stranger), sent);
    world.send(ALICE, &RTP);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(BOB), RTP.to_vec()), (addr(ALICE), RTP.to_vec())], "sound goes between the legs");
    println!("{sent} datagrams from 250 hosts that were first: 0 octets back, 0 forwarded");
}

#[test]
fn no_other_port_of_an_admitted_address_can_send_or_receive() {
    let mut world = World::new();
    world.admit_both();
    let mut sent = 0;
    for port in (1..=u16::MAX).filter(|port| *port != addr(ALICE).port()) {
        let from = SocketAddr::new(addr(ALICE).ip(), port).to_string();
        world.send(&from, &RTP);
        world.send(&from, &DTLS);
        sent += 2;
    }
    assert!(world.taken().is_empty());
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(ALICE), RTP.to_vec())], "the leg has not moved");
    println!("{sent} datagrams from 65534 other ports of an admitted address: 0 forwarded, 0 octets back");
}

#[test]
fn a_client_hello_that_comes_before_the_genuine_one_never_reaches_the_other_phone() {
    let mut world = World::new();
    let (evil, genuine) = ([22, 0xfe, 0xfd, 0xee], [22, 0xfe, 0xfd, 0x01]);
    let thieves = [STRANGER, "192.0.2.1:4001", "198.51.100.2:5001"];
    let race = |world: &mut World| {
        for _ in 0..100 {
            thieves.iter().for_each(|thief| world.send(thief, &evil));
        }
        300
    };
    let mut sent = race(&mut world);
    world.admit(Side::Caller, ALICE, 1);
    sent += race(&mut world);
    world.send(ALICE, &genuine);
    sent += race(&mut world);
    world.send(BOB, &check(world.callee.ufrag(), world.callee.password(), 2));
    let arrived = world.taken();
    assert_eq!(arrived.len(), 2, "the answer, and the genuine ClientHello that was held");
    assert_eq!(arrived[1], (addr(BOB), genuine.to_vec()));
    sent += race(&mut world);
    assert!(world.taken().is_empty());
    println!("{sent} forged ClientHellos before, between and after the genuine one: 0 arrived, the genuine one once");
}

#[test]
fn garbage_from_strangers_is_dropped_and_from_a_leg_reaches_its_peer_once_at_most() {
    let mut world = World::new();
    world.admit_both();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let (mut sent, mut forwarded) = (0_u32, 0_u32);
    for n in 0..5_000_u32 {
        let mut datagram = vec![0; (rng.next_u32() % 1_600) as usize];
        rng.fill_bytes(&mut datagram);
        let from = [STRANGER, ALICE][(n % 2) as usize];
        world.now += PACKET;
        world.send(from, &datagram);
        let out = world.taken();
        assert!(out.is_empty() || from == ALICE && out == [(addr(BOB), datagram)], "unchanged, to its peer");
        sent += 1;
        forwarded += u32::try_from(out.len()).unwrap();
    }
    assert!(forwarded > 0 && forwarded < sent / 2, "{forwarded}");
    println!("{sent} random datagrams, half by a stranger: 0 of his and {forwarded} of the leg's own went on");
}

#[test]
fn a_repeated_or_flipped_packet_passes_once_at_most_and_only_from_the_legs_own_address() {
    let mut world = World::new();
    world.admit_both();
    let packet: Vec<u8> = (0..200_u8).map(|n| if n == 0 { 0x80 } else { n }).collect();
    let (mut stolen, mut own) = (0, 0);
    for bit in 0..packet.len() * 8 {
        let mut flipped = packet.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for datagram in [&flipped, &packet] {
            world.now += PACKET;
            for thief in [STRANGER, "192.0.2.1:4001"] {
                world.send(thief, datagram);
                assert!(world.taken().is_empty());
                stolen += 1;
            }
            world.send(ALICE, datagram);
            let out = world.taken();
            assert!(out.len() <= 1 && out.iter().all(|(to, bytes)| *to == addr(BOB) && bytes == datagram));
            own += out.len();
        }
    }
    println!("{stolen} replays and bit flips by thieves: 0 forwarded; {own} from the leg's address: each once at most");
}

#[test]
fn guessing_a_legs_password_admits_nobody_and_is_answered_with_nothing() {
    let mut world = World::new();
    world.admit_both();
    let answered = world.relay.counters().answered;
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    // The user name of a genuine leg: whoever guesses only passwords knows more than a stranger can.
    let mut guess = without_fingerprint(check(world.caller.ufrag(), world.caller.password(), 1));
    let code = guess.len() - 20;
    for n in 0..GUESSES {
        rng.fill_bytes(&mut guess[8..20]);
        rng.fill_bytes(&mut guess[code..]);
        world.now += Duration::from_millis(1);
        let from = SocketAddr::new([203, 0, 113, (n % 250) as u8 + 1].into(), 1_024 + (n / 250) as u16);
        let mut buffer = guess.clone();
        let action = world.relay.handle_datagram(from, &mut buffer, world.now);
        assert_eq!(action, undertone_gateway::core::relay::RelayAction::Drop, "guess {n}");
    }
    assert_eq!(world.relay.counters().dropped(DropCause::UnauthenticCheck), u64::from(GUESSES));
    assert_eq!(world.relay.counters().answered, answered);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(ALICE), RTP.to_vec())], "the leg is where it was");
    // The same form with the right code is let in, so it was the code that was wrong.
    let right = without_fingerprint(check(world.caller.ufrag(), world.caller.password(), 77));
    world.send("192.0.2.9:9", &right);
    assert_eq!(world.taken().len(), 1);
    println!("{GUESSES} guesses at a known leg's integrity code: 0 admitted, 0 octets answered");
}

#[test]
fn guessing_names_of_legs_finds_none_and_is_answered_with_nothing() {
    let mut world = World::new();
    world.admit_both();
    let mut rng = ChaCha20Rng::seed_from_u64(10);
    let mut guess = without_fingerprint(check(world.caller.ufrag(), world.caller.password(), 1));
    let at = guess.windows(8).position(|window| window == world.caller.ufrag().as_bytes()).unwrap();
    for _ in 0..GUESSES {
        for octet in &mut guess[at..at + 8] {
            *octet =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(rng.next_u32() % 64) as usize];
        }
        world.send(STRANGER, &guess);
    }
    assert!(world.taken().is_empty());
    assert_eq!(world.relay.counters().dropped(DropCause::UnknownLeg), u64::from(GUESSES));
    println!("{GUESSES} guesses at the names of legs: 0 found, 0 octets answered");
}

#[test]
fn a_new_address_by_an_authentic_check_moves_the_sound_with_the_next_packet() {
    for moves in [Side::Caller, Side::Callee] {
        let mut world = World::new();
        world.admit_both();
        let (old, elsewhere, peer) = match moves {
            Side::Caller => (ALICE, "192.0.2.1:4999", BOB),
            Side::Callee => (BOB, "198.51.100.2:5999", ALICE),
        };
        let (mut gap, mut lost) = (Duration::ZERO, 0);
        let mut heard = world.now;
        // A packet each way every 20 ms; at 1 s the NAT changes the port, at 1.1 s the phone's check arrives.
        for n in 0..200_u128 {
            world.now += PACKET;
            let from = if n < 50 { old } else { elsewhere };
            if n == 55 {
                world.admit(moves, elsewhere, 1_000 + n);
            }
            world.send(from, &RTP);
            world.send(peer, &RTP);
            let out = world.taken();
            let both = out.contains(&(addr(peer), RTP.to_vec())) && out.contains(&(addr(from), RTP.to_vec()));
            if both {
                gap = gap.max(world.now - heard);
                heard = world.now;
            } else {
                lost += 1;
            }
        }
        assert!(gap <= Duration::from_millis(500) && lost == 5, "{gap:?}, {lost}");
        println!("rebinding of the {moves:?}: gap {gap:?}, of which the relay adds 0 ms after the check");
    }
}

#[test]
fn after_the_hang_up_not_one_datagram_passes() {
    let mut world = World::new();
    world.admit_both();
    world.send(ALICE, &RTP);
    assert_eq!(world.taken().len(), 1);
    world.relay.handle_command(RelayCommand::Close { slot: world.slot }, world.now);
    let mut sent = 0;
    for n in 0..500 {
        world.now += PACKET;
        for from in [ALICE, BOB] {
            world.send(from, &RTP);
            world.send(from, &DTLS);
            world.send(from, &check(world.caller.ufrag(), world.caller.password(), 500 + n));
            sent += 3;
        }
    }
    assert!(world.taken().is_empty());
    println!("{sent} datagrams in the 10 s after the order to close: 0 forwarded, 0 octets back");
}

#[test]
fn a_leg_that_forges_its_address_makes_the_relay_send_nobody_more_than_it_sends_itself() {
    // Both legs are the attacker's, and the callee's address is forged: all that he sends goes to a victim.
    let victim = "198.51.100.77:53";
    let mut world = World::new();
    let check_by = |world: &World, side, n| match side {
        Side::Caller => check(world.caller.ufrag(), world.caller.password(), n),
        Side::Callee => check(world.callee.ufrag(), world.callee.password(), n),
    };
    let mut datagrams = vec![(ALICE, check_by(&world, Side::Caller, 1))];
    datagrams.extend((0..4 * MAX_HELD_PER_LEG).map(|_| (ALICE, vec![22; 1_200])));
    for n in 0..2_000 {
        datagrams.push((victim, check_by(&world, Side::Callee, 10 + n)));
        datagrams.push((ALICE, vec![0x80; 1_200]));
    }
    let (mut sent, mut received) = (0, 0);
    for (from, datagram) in datagrams {
        world.now += Duration::from_micros(500);
        world.send(from, &datagram);
        sent += datagram.len();
        received += world.taken().iter().filter(|(to, _)| *to == addr(victim)).map(|(_, out)| out.len()).sum::<usize>();
    }
    let factor = received as f64 / sent as f64;
    assert!(received > 0 && factor <= 1.0, "{received} of {sent}");
    let seconds = 2.0 + 1.0;
    assert!(received as f64 <= 2.0 * LEG_BYTES_PER_S as f64 * seconds, "and no faster than two legs may send");
    println!("a forged address: {received} octets for {sent} sent, factor {factor:.3}");
}

#[test]
fn nothing_a_stranger_can_send_is_answered_with_an_octet() {
    let mut world = World::new();
    world.admit_both();
    let genuine = check(world.caller.ufrag(), world.caller.password(), 1);
    let (mut datagrams, mut octets) = (0_u64, 0_u64);
    let mut post = |datagram: &[u8]| {
        world.send(STRANGER, datagram);
        assert!(world.taken().is_empty());
        datagrams += 1;
        octets += datagram.len() as u64;
    };
    for first in 0..=u8::MAX {
        for len in (0..=1_500).step_by(50).chain([1, 2, 3, 19, 20, 21, 1_501, 2_000]) {
            let mut datagram = vec![0x5a; len];
            datagram.first_mut().into_iter().for_each(|octet| *octet = first);
            post(&datagram);
        }
    }
    // Every type of STUN message, every shorter form of a genuine check, every octet of it changed.
    for kind in 0..0x4000_u16 {
        let mut stun = genuine.clone();
        stun[..2].copy_from_slice(&kind.to_be_bytes());
        stun[8] ^= 1;
        post(&stun);
    }
    (0..genuine.len()).for_each(|len| post(&genuine[..len]));
    for at in 0..genuine.len() {
        for change in 1..=u8::MAX {
            let mut changed = genuine.clone();
            changed[at] ^= change;
            post(&changed);
        }
    }
    post(&genuine);
    println!("{datagrams} unauthenticated datagrams of {octets} octets in all: 0 octets out, amplification 0");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_legs_and_strangers_send_the_relay_sends_no_more_octets_than_it_took(
        steps in proptest::collection::vec((0_u8..6, 0_usize..3, 0_usize..1_600), 1..200),
    ) {
        let mut world = World::new();
        let (mut taken, mut sent) = (0, 0);
        for (n, (what, from, len)) in steps.into_iter().enumerate() {
            let leg = if what % 2 == 0 { &world.caller } else { &world.callee };
            let datagram = match what {
                0 | 1 => check(leg.ufrag(), leg.password(), n as u128),
                2 => vec![22; len],
                _ => vec![0x80; len],
            };
            world.now += Duration::from_millis(5);
            world.relay.handle_timeout(world.now);
            taken += datagram.len();
            world.send([ALICE, BOB, STRANGER][from], &datagram);
            sent += world.taken().iter().map(|(_, out)| out.len()).sum::<usize>();
            prop_assert!(sent <= taken, "{sent} for {taken}");
        }
    }
}

/// A check as it is without its last attribute, which anybody can compute.
fn without_fingerprint(mut check: Vec<u8>) -> Vec<u8> {
    check.truncate(check.len() - 8);
    let length = u16::try_from(check.len() - 20).unwrap();
    check[2..4].copy_from_slice(&length.to_be_bytes());
    check
}

//! The blind relay from outside: who is let in, what passes, what never does (RFC 8445, RFC 7983).

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)]

mod relay_world;

use proptest::prelude::*;
use relay_world::{ALICE, BOB, DTLS, RELAY, RTP, STRANGER, World, addr, check};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use stun_types::attribute::{AttributeType, XorMappedAddress};
use stun_types::message::{BINDING, Message, MessageClass, ShortTermCredentials, TransactionId};
use undertone_gateway::core::relay::{
    ADDRESS_KEPT, DropCause, HOLD_TIME, LEG_BYTES_PER_S, LegCredentials, MAX_DATAGRAM_LEN, MAX_HELD_PER_LEG,
    RelayAction, RelayCommand, RelayEvent, SILENCE, Side,
};

#[test]
fn whoever_sends_first_without_a_check_is_a_stranger_and_gets_nothing() {
    let mut world = World::new();
    world.send(STRANGER, &RTP);
    world.send(STRANGER, &DTLS);
    assert!(world.sent.is_empty());
    assert_eq!(world.relay.counters().dropped(DropCause::Stranger), 2);
    world.admit_both();
    world.send(STRANGER, &RTP);
    assert!(world.sent.is_empty(), "a stranger's datagram is not forwarded either");
    world.send(ALICE, &RTP);
    assert_eq!(world.taken(), [(addr(BOB), RTP.to_vec())], "and he learned nothing of the call");
}

#[test]
fn another_port_of_an_admitted_address_is_a_stranger() {
    let mut world = World::new();
    world.admit_both();
    world.send("192.0.2.1:4001", &RTP);
    assert!(world.sent.is_empty());
}

#[test]
fn a_check_with_a_wrong_password_a_wrong_name_or_another_legs_password_gets_nothing() {
    let mut world = World::new();
    let (alice, bob) = (world.caller.duplicate(), world.callee.duplicate());
    for (ufrag, password) in [
        (alice.ufrag(), "wrong wrong wrong wrong."),
        ("XXXXXXXX", alice.password()),
        (alice.ufrag(), bob.password()),
        (&alice.ufrag()[..7], alice.password()),
        ("", alice.password()),
    ] {
        world.send(STRANGER, &check(ufrag, password, 7));
        assert!(world.taken().is_empty(), "{ufrag}");
    }
    world.send(ALICE, &RTP);
    assert!(world.taken().is_empty());
}

#[test]
fn an_admitted_leg_is_answered_with_its_own_address_and_without_a_name_of_the_software() {
    for from in [ALICE, "[2001:db8::1]:4000"] {
        let mut world = World::new();
        let request = check(world.caller.ufrag(), world.caller.password(), 5);
        world.send(from, &request);
        let [(to, answer)] = &world.taken()[..] else { panic!("one answer") };
        assert_eq!(*to, addr(from));
        assert!(answer.len() <= request.len(), "no amplification");
        let answer = Message::from_bytes(answer).unwrap();
        assert_eq!((answer.class(), answer.method()), (MessageClass::Success, BINDING));
        assert_eq!(answer.transaction_id(), TransactionId::from(5));
        let mapped = answer.attribute::<XorMappedAddress>().unwrap();
        assert_eq!(mapped.addr(answer.transaction_id()), addr(from));
        let key = ShortTermCredentials::new(world.caller.password().to_owned()).make_key();
        answer.validate_integrity_with_key(&key).unwrap();
        assert!(answer.has_attribute(AttributeType::new(0x8028)), "FINGERPRINT");
        assert!(!answer.has_attribute(AttributeType::new(0x8022)), "SOFTWARE");
    }
}

#[test]
fn zrtp_dtls_rtp_and_rtcp_pass_unchanged_and_every_other_first_byte_is_dropped() {
    let mut world = World::new();
    world.admit_both();
    for first in 0..=u8::MAX {
        let datagram = [first, 1, 2, 3, first];
        world.send(BOB, &datagram);
        let passes = matches!(first, 16..=63 | 128..=191);
        let expected = if passes { vec![(addr(ALICE), datagram.to_vec())] } else { vec![] };
        assert_eq!(world.taken(), expected, "first byte {first}");
    }
    world.send(BOB, &[]);
    assert!(world.sent.is_empty());
}

#[test]
fn a_datagram_longer_than_allowed_is_dropped() {
    let mut world = World::new();
    world.admit_both();
    world.send(ALICE, &[0x80; MAX_DATAGRAM_LEN]);
    assert_eq!(world.taken().len(), 1);
    world.send(ALICE, &[0x80; MAX_DATAGRAM_LEN + 1]);
    assert!(world.sent.is_empty());
    assert_eq!(world.relay.counters().dropped(DropCause::TooLong), 1);
}

#[test]
fn media_flows_between_ipv4_and_ipv6() {
    let mut world = World::new();
    let six = "[2001:db8::1]:4000";
    world.admit(Side::Caller, six, 1);
    world.admit(Side::Callee, BOB, 2);
    world.send(six, &RTP);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(BOB), RTP.to_vec()), (addr(six), RTP.to_vec())]);
}

#[test]
fn a_leg_whose_nat_gave_it_another_port_is_followed_by_its_next_check() {
    let mut world = World::new();
    world.admit_both();
    let elsewhere = "192.0.2.1:4999";
    world.admit(Side::Caller, elsewhere, 3);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(elsewhere), RTP.to_vec())]);
    world.send(ALICE, &RTP);
    assert!(world.sent.is_empty(), "the old address is a stranger's");
}

#[test]
fn a_genuine_check_repeated_by_a_listener_does_not_move_the_leg() {
    let mut world = World::new();
    world.admit_both();
    let genuine = check(world.caller.ufrag(), world.caller.password(), 3);
    world.send(ALICE, &genuine);
    world.taken();
    world.send(STRANGER, &genuine);
    assert!(world.taken().is_empty(), "not a byte");
    assert_eq!(world.relay.counters().dropped(DropCause::ReplayedCheck), 1);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(ALICE), RTP.to_vec())]);
    world.send(ALICE, &genuine);
    assert_eq!(world.taken().len(), 1, "its owner may repeat it: the answer may have been lost");
}

#[test]
fn a_living_legs_address_cannot_be_taken_and_a_dead_ones_can() {
    let mut world = World::new();
    world.admit_both();
    let (slot, legs) = world.open();
    world.send(ALICE, &check(legs[0].ufrag(), legs[0].password(), 9));
    assert!(world.taken().is_empty());
    assert_eq!(world.relay.counters().dropped(DropCause::AddressTaken), 1);
    world.now += ADDRESS_KEPT;
    world.send(ALICE, &check(legs[0].ufrag(), legs[0].password(), 10));
    assert_eq!(world.taken().len(), 1, "nothing was heard of its holder for a while");
    world.send(BOB, &RTP);
    assert!(world.taken().is_empty(), "the holder has no address now");
    world.close(slot);
}

#[test]
fn a_check_from_the_relays_own_address_or_from_no_host_is_refused() {
    let mut world = World::new();
    for from in [RELAY, "[::ffff:203.0.113.5]:40000", "192.0.2.1:0", "0.0.0.0:9", "224.0.0.1:9", "[ff02::1]:9"] {
        world.send(from, &check(world.caller.ufrag(), world.caller.password(), 1));
        assert!(world.taken().is_empty(), "{from}");
    }
}

#[test]
fn dtls_is_held_until_the_other_leg_is_admitted_and_sound_is_not() {
    let mut world = World::new();
    world.admit(Side::Caller, ALICE, 1);
    for number in 0..6 {
        world.send(ALICE, &[22, number]);
        world.send(ALICE, &[0x80, number]);
    }
    assert!(world.sent.is_empty());
    world.send(BOB, &check(world.callee.ufrag(), world.callee.password(), 2));
    let sent = world.taken();
    assert_eq!(sent[0].0, addr(BOB), "the answer comes first");
    let held: Vec<_> = sent[1..].to_vec();
    let expected: Vec<_> = (0..MAX_HELD_PER_LEG as u8).map(|number| (addr(BOB), vec![22, number])).collect();
    assert_eq!(held, expected);
    assert_eq!(world.relay.counters().dropped(DropCause::NoPeer), 6);
    world.send(BOB, &check(world.callee.ufrag(), world.callee.password(), 3));
    assert_eq!(world.taken().len(), 1, "nothing is sent twice");
}

#[test]
fn what_was_held_is_forgotten_after_a_second_or_with_the_call() {
    let mut world = World::new();
    world.admit(Side::Caller, ALICE, 1);
    world.send(ALICE, &DTLS);
    assert_eq!(world.relay.poll_timeout(), Some(world.now + HOLD_TIME).min(world.relay.poll_timeout()));
    world.now += HOLD_TIME;
    world.relay.handle_timeout(world.now);
    world.admit(Side::Callee, BOB, 2);
    assert_eq!(world.relay.counters().dropped(DropCause::HeldTooLong), 1);

    let mut world = World::new();
    world.admit(Side::Caller, ALICE, 1);
    world.send(ALICE, &DTLS);
    world.close(world.slot);
    let (_, legs) = world.open();
    world.send(BOB, &check(legs[1].ufrag(), legs[1].password(), 2));
    assert_eq!(world.taken().len(), 1, "only the answer");
}

#[test]
fn after_close_nothing_passes_and_nobody_is_admitted() {
    let mut world = World::new();
    world.admit_both();
    world.close(world.slot);
    world.send(ALICE, &RTP);
    world.send(BOB, &DTLS);
    world.send(ALICE, &check(world.caller.ufrag(), world.caller.password(), 9));
    assert!(world.sent.is_empty());
    assert_eq!(world.relay.poll_timeout(), None);
}

#[test]
fn a_reused_slot_never_delivers_to_the_call_that_had_it_before() {
    let mut world = World::with_calls(1);
    world.admit_both();
    let old = world.slot;
    world.numbers.release(old);
    // The close was lost: opening the next generation must end the old call by itself.
    let (new, legs) = world.open();
    assert_ne!(new, old);
    world.send(ALICE, &RTP);
    assert!(world.taken().is_empty());
    world.send(STRANGER, &check(legs[0].ufrag(), legs[0].password(), 1));
    world.taken();
    world.send(STRANGER, &DTLS);
    assert!(world.taken().is_empty(), "the old callee is not the new one");
    world.relay.handle_command(RelayCommand::Close { slot: old }, world.now);
    world.send("198.51.100.9:9", &check(legs[1].ufrag(), legs[1].password(), 2));
    assert_eq!(world.taken().len(), 2, "a late close of the old generation does not end the new call");
}

#[test]
fn after_an_ice_restart_only_the_new_password_admits_and_sound_goes_on_meanwhile() {
    let mut world = World::new();
    world.admit_both();
    let fresh = LegCredentials::draw(&mut world.rng);
    let credentials = fresh.duplicate();
    world.relay.handle_command(RelayCommand::Restart { slot: world.slot, side: Side::Caller, credentials }, world.now);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr(ALICE), RTP.to_vec())]);
    world.send("192.0.2.77:7", &check(world.caller.ufrag(), world.caller.password(), 8));
    assert!(world.taken().is_empty());
    world.send("192.0.2.77:7", &check(fresh.ufrag(), fresh.password(), 8));
    assert_eq!(world.taken().len(), 1);
    world.send(BOB, &RTP);
    assert_eq!(world.taken(), [(addr("192.0.2.77:7"), RTP.to_vec())]);
}

#[test]
fn a_leg_that_sends_too_much_is_cut_to_its_rate_and_the_other_is_not() {
    let mut world = World::new();
    world.admit_both();
    let start = world.now;
    let mut passed = 0;
    for _ in 0..10_000 {
        world.now += Duration::from_millis(1);
        world.send(ALICE, &[0x80; 1_000]);
        passed += world.taken().len() as u64 * 1_048;
        if world.now - start >= Duration::from_secs(9) {
            break;
        }
    }
    let allowed = LEG_BYTES_PER_S * 10;
    assert!(passed <= allowed && passed > allowed / 2, "{passed} of {allowed}");
    world.send(BOB, &RTP);
    assert_eq!(world.taken().len(), 1);
}

#[test]
fn our_phones_densest_media_passes_at_four_times_its_rate() {
    let mut world = World::new();
    world.admit_both();
    for _ in 0..1_000 {
        world.now += Duration::from_micros(2_500);
        world.send(ALICE, &[0x80; 250]);
        assert_eq!(world.taken().len(), 1);
    }
}

#[test]
fn a_leg_that_falls_silent_is_reported_once_and_a_ringing_one_never() {
    let mut world = World::new();
    let ringing = world.open().0;
    world.admit_both();
    let mut events = Vec::new();
    for _ in 0..100 {
        world.now += Duration::from_secs(1);
        world.send(ALICE, &RTP);
        world.relay.handle_timeout(world.now);
        while let Some(event) = world.relay.poll_event() {
            events.push((event, world.now));
        }
    }
    let [(RelayEvent::Silent { slot }, at)] = events[..] else { panic!("{events:?}") };
    assert!(slot == world.slot && slot != ringing);
    assert_eq!(at, world.start + SILENCE);
}

#[test]
fn handling_a_datagram_allocates_nothing() {
    let mut world = World::new();
    world.admit(Side::Caller, ALICE, 1);
    let request = check(world.callee.ufrag(), world.callee.password(), 2);
    let stranger = check("XXXXXXXX", "x", 2);
    let mut buffer = [0; 2_048];
    let (alice, bob, nobody) = (addr(ALICE), addr(BOB), addr(STRANGER));
    let mut feed = |from: SocketAddr, bytes: &[u8]| {
        buffer[..bytes.len()].copy_from_slice(bytes);
        let action = world.relay.handle_datagram(from, &mut buffer[..bytes.len()], world.now);
        while world.relay.take_held(&mut buffer).is_some() {}
        world.relay.handle_timeout(world.now);
        action
    };
    let before = allocations();
    for _ in 0..100 {
        feed(alice, &DTLS);
        feed(bob, &request);
        feed(alice, &RTP);
        feed(bob, &DTLS);
        feed(nobody, &RTP);
        feed(nobody, &stranger);
        feed(nobody, &request);
    }
    assert_eq!(allocations() - before, 0);
    assert!(matches!(feed(alice, &RTP), RelayAction::Forward { .. }));
}

proptest! {
    #[test]
    fn no_datagram_makes_it_panic_or_speak_to_a_stranger(datagrams in proptest::collection::vec(
        (0usize..3, prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), stun_like()]), 1..20)) {
        let mut world = World::new();
        world.admit(Side::Caller, ALICE, 1);
        for (from, bytes) in datagrams {
            world.now += Duration::from_millis(100);
            world.send([ALICE, BOB, STRANGER][from], &bytes);
            world.relay.handle_timeout(world.now);
            prop_assert!(world.taken().is_empty(), "only one leg is admitted: there is nobody to send to");
        }
    }

    #[test]
    fn a_check_with_any_octet_changed_admits_nobody(at in 0usize..92, change in 1u8..) {
        let mut world = World::new();
        let mut bytes = check(world.caller.ufrag(), world.caller.password(), 1);
        prop_assume!(at < bytes.len());
        bytes[at] ^= change;
        world.send(STRANGER, &bytes);
        prop_assert!(world.taken().is_empty());
    }
}

/// Datagrams that begin like a binding request, so that random ones reach the attributes.
fn stun_like() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6).prop_map(
        |attributes| {
            let mut body = Vec::new();
            for (kind, value) in attributes {
                let kind = [0x0006, 0x0008, 0x001c, 0x8028, kind][usize::from(kind % 5)];
                body.extend_from_slice(&u16::to_be_bytes(kind));
                body.extend_from_slice(&(value.len() as u16).to_be_bytes());
                body.extend_from_slice(&value);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            let mut bytes = vec![0, 1];
            bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            bytes.extend_from_slice(&[7; 12]);
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn allocations() -> usize {
    ALLOCATIONS.with(Cell::get)
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches no memory it gives out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

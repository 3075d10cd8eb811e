//! The post-quantum exchange inside calls: what it protects, what it costs, and what happens without it.
// The figures printed are what a report on delay quotes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use str0m_netem::{Netem, NetemConfig, Probability, RandomLoss};

use super::call_pair::{MS, OURS, PLAIN_PAYLOADS, Pair, Setup, Side};
use crate::dtls::{self, Connected, Peer, Version};
use crate::keys::ExporterBlock;
use crate::post_quantum;
use crate::session::key_mix::{self, KeyMix};
use crate::session::{Event, Failure};
use crate::srtp::{Context, Profile, SsrcPolicy};
use crate::synthetic_speech::{align, speech};
use crate::verify::{self, AddressHash, Capabilities, ChannelBinding, Exchange, IdentityKey, Role};

const SECOND: usize = 48_000;
const WITHOUT: [Option<Role>; 2] = [None; 2];

#[test]
fn both_phones_use_mixed_keys_and_hear_each_other() {
    let mut pair = Pair::encrypted(OURS, NetemConfig::new().latency(20 * MS));
    pair.a.say(speech(31, 4 * SECOND));
    pair.run(5_000 * MS);
    assert!(align(&pair.a.voice[..3 * SECOND], &pair.b.heard, SECOND / 5).1 >= 0.9);
    for side in [&pair.a, &pair.b] {
        assert!(side.session.is_post_quantum());
        assert!(side.events.iter().any(|event| matches!(event, Event::Encrypted { post_quantum: true, .. })));
    }
    assert_eq!(keys(&pair.a), keys(&pair.b));
}

#[test]
fn where_nobody_announced_it_nothing_is_mixed_and_nothing_is_missing() {
    let foreign = Setup { peer: Peer::Foreign, payload: PLAIN_PAYLOADS, ..OURS };
    for setup in [OURS, foreign] {
        let pair = Pair::encrypted(Setup { post_quantum: WITHOUT, ..setup }, NetemConfig::new());
        for side in [&pair.a, &pair.b] {
            assert!(!side.session.is_post_quantum());
            assert!(side.events.iter().any(|event| matches!(event, Event::Encrypted { post_quantum: false, .. })));
        }
        assert_eq!(keys(&pair.a), keys(&pair.b));
    }
}

#[test]
fn a_frame_of_the_exchange_from_a_foreign_phone_means_nothing() {
    let foreign = Setup { peer: Peer::Foreign, payload: PLAIN_PAYLOADS, post_quantum: WITHOUT, ..OURS };
    let mut pair = Pair::encrypted(foreign, NetemConfig::new());
    pair.a.session.send_channel_data(b"VFPQ\x03\x00\x00\x00", pair.now).unwrap();
    pair.run(100 * MS);
    assert!(pair.b.events.iter().any(|event| matches!(event, Event::ChannelData(data) if data.starts_with(b"VFPQ"))));
    assert!(pair.b.session.connected().is_some());
}

#[test]
fn the_first_packet_goes_out_at_most_one_round_trip_later() {
    const ONE_WAY: Duration = Duration::from_millis(40);
    let with = [Some(Role::Responder), Some(Role::Initiator)];
    for post_quantum in [with, [with[1], with[0]]] {
        let first = |post_quantum| {
            let mut pair = Pair::new(Setup { post_quantum, ..OURS });
            for side in [&mut pair.a, &mut pair.b] {
                side.link = Netem::new(NetemConfig::new().latency(ONE_WAY));
            }
            pair.run(1_000 * MS);
            [&pair.a, &pair.b].map(|side| {
                let (at, _) = side.sent.iter().find(|(_, datagram)| datagram[0] >= 128).unwrap();
                *at - pair.start
            })
        };
        let (without, with) = (first(WITHOUT), first(post_quantum));
        for side in 0..2 {
            let (role, later) = (post_quantum[side].unwrap(), with[side] - without[side]);
            println!(
                "DTLS {}, {role:?}: first packet after {:?}, without the exchange {:?}, {later:?} later",
                ["client", "server"][side],
                with[side],
                without[side],
            );
            // A frame of sound lasts 20 ms, the simulation's ticks 2 ms.
            assert!(later <= 2 * ONE_WAY + 22 * MS, "{role:?}: {later:?}");
        }
    }
}

#[test]
fn before_the_exchange_is_done_no_sound_leaves_and_none_is_let_in() {
    // Both wait for the other's key.
    let mut pair = Pair::new(Setup { post_quantum: [Some(Role::Responder); 2], ..OURS });
    pair.run(9_000 * MS);
    for side in [&mut pair.a, &mut pair.b] {
        side.session.handle_datagram(&[128; 100], pair.now);
        assert!(side.session.connected().is_none() && side.events.is_empty());
        assert!(side.sent.iter().all(|(_, datagram)| (20..64).contains(&datagram[0])), "nothing but the handshake");
        let stats = side.stats();
        assert_eq!((stats.sent.packets, stats.sent.rtcp_packets, stats.discarded.before_keys), (0, 0, 1));
        assert!(stats.sent.dropped_before_keys > 400);
        assert!(side.heard.iter().all(|sample| *sample == 0.0));
    }
    pair.run(1_500 * MS);
    for side in [&mut pair.a, &mut pair.b] {
        assert!(matches!(side.events[..], [Event::Failed(_)]), "{:?}", side.events);
        assert!(side.session.poll_timeout().is_none());
        side.sent.clear();
    }
    let timed_out =
        |event: &Event| matches!(event, Event::Failed(Failure::PostQuantum(post_quantum::Failure::Timeout)));
    assert!(pair.a.events.iter().chain(&pair.b.events).any(timed_out));
    pair.run(5_000 * MS);
    assert!(pair.a.sent.is_empty() && pair.b.sent.is_empty(), "nothing follows");
}

#[test]
fn a_phone_alone_with_the_announcement_notices_at_the_first_vfy1_message() {
    let mut pair = Pair::new(Setup { post_quantum: [Some(Role::Responder), None], ..OURS });
    pair.run(500 * MS);
    assert!(pair.a.events.is_empty(), "still waiting");
    pair.b.session.send_channel_data(b"VFY1\x01\x00\x00\x40", pair.now).unwrap();
    pair.run(100 * MS);
    assert_stripped(&pair.a);
    assert_eq!(pair.a.stats().sent.packets, 0);
}

#[test]
fn a_phone_without_the_announcement_notices_at_the_first_frame_of_the_exchange() {
    let mut pair = Pair::new(Setup { post_quantum: [None, Some(Role::Initiator)], ..OURS });
    pair.run(500 * MS);
    assert_stripped(&pair.a);
    assert!(pair.b.session.connected().is_none());
    let closed = |event: &Event| matches!(event, Event::Failed(Failure::Dtls(dtls::Failure::Closed)));
    assert!(pair.b.events.iter().any(closed));
    assert_eq!(pair.b.stats().sent.packets, 0);
}

#[test]
fn a_bad_line_ends_with_equal_keys_or_with_a_reason() {
    for (loss, seeds, most_unfinished) in [(0.2, 0..30, 0), (0.5, 0..30, 8)] {
        let mut unfinished = 0;
        for seed in seeds {
            let network = || {
                NetemConfig::new()
                    .latency(30 * MS)
                    .jitter(25 * MS)
                    .reorder_gap(4)
                    .duplicate(Probability::new(0.1))
                    .loss(RandomLoss::new(Probability::new(loss)))
            };
            let mut pair = Pair::new(Setup { seed, ..OURS });
            pair.a.link = Netem::new(network().seed(seed * 2));
            pair.b.link = Netem::new(network().seed(seed * 2 + 1));
            let done = |side: &Side| {
                side.events.iter().any(|event| matches!(event, Event::Encrypted { .. } | Event::Failed(_)))
            };
            for _ in 0..60 {
                if done(&pair.a) && done(&pair.b) {
                    break;
                }
                pair.run(1_000 * MS);
            }
            assert!(done(&pair.a) && done(&pair.b), "seed {seed} at {loss}");
            match (pair.a.session.connected(), pair.b.session.connected()) {
                (Some(_), Some(_)) => assert_eq!(keys(&pair.a), keys(&pair.b)),
                (None, _) | (_, None) => unfinished += 1,
            }
        }
        println!("loss {loss}: {unfinished} of 30 gave up");
        assert!(unfinished <= most_unfinished, "{unfinished} at {loss}");
    }
}

#[test]
fn one_changed_bit_of_any_fragment_leaves_no_sound_and_no_verification() {
    let honest = mixed_through(|_| {});
    assert!(hears(&honest[0], &honest[1]) && hears(&honest[1], &honest[0]));
    assert_eq!(verification(&honest), [Ok(()), Ok(())]);
    for kind in [1, 2] {
        for (number, at) in (0..2_u8).flat_map(|number| (8..552).step_by(17).map(move |at| (number, at))) {
            let ends = mixed_through(|frame| {
                if frame[4] == kind && frame[5] == number {
                    frame[at] ^= 1 << (at % 8);
                }
            });
            let which = format!("type {kind}, half {number}, octet {at}");
            // A key that became none by the change ends the exchange; every other change is noticed by what follows.
            if let [Some(_), Some(_)] = ends {
                assert!(!hears(&ends[0], &ends[1]) && !hears(&ends[1], &ends[0]), "{which}");
                let refused = Err(Some(verify::Failure::ProofRefused));
                assert_eq!(verification(&ends), [refused, Err(None)], "{which}");
            }
        }
    }
}

fn assert_stripped(side: &Side) {
    let stripped =
        |event: &Event| matches!(event, Event::Failed(Failure::PostQuantum(post_quantum::Failure::Stripped)));
    assert!(side.events.iter().any(stripped), "{:?}", side.events);
    assert!(side.session.connected().is_none() && side.session.poll_timeout().is_none());
}

fn keys(side: &Side) -> Vec<u8> {
    side.session.connected().unwrap().keys.expose().to_vec()
}

/// What two phones have after the exchange, whose frames went through `tamper`.
fn mixed_through(mut tamper: impl FnMut(&mut Vec<u8>)) -> [Option<Box<Connected>>; 2] {
    let now = Instant::now();
    let mut mixes = [Role::Initiator, Role::Responder].map(|role| KeyMix::new(Peer::Ours, Some(role)));
    let mut ends = [None, None];
    for (mix, role) in mixes.iter_mut().zip([dtls::Role::Server, dtls::Role::Client]) {
        assert!(mix.handle_connected(connected(role), now).is_none(), "kept back");
    }
    loop {
        let mut moved = false;
        for from in 0..2 {
            while let Some(output) = mixes[from].poll_output() {
                moved = true;
                match output {
                    key_mix::Output::Mixed(connected) => ends[from] = Some(connected),
                    key_mix::Output::Failed(failure) => assert_eq!(failure, post_quantum::Failure::KeyRefused),
                    key_mix::Output::Send(mut frame) => {
                        tamper(&mut frame);
                        assert!(mixes[1 - from].handle_data(frame, now).is_none());
                    }
                }
            }
        }
        if !moved {
            return ends;
        }
    }
}

fn connected(role: dtls::Role) -> Box<Connected> {
    let (client, server) = ([1; 32], [2; 32]);
    let (local_fingerprint, peer_fingerprint) = match role {
        dtls::Role::Client => (client, server),
        dtls::Role::Server => (server, client),
    };
    let profile = Profile::AeadAes256Gcm;
    let keys = ExporterBlock::new(profile, &[5; 88]).unwrap();
    Box::new(Connected { profile, keys, local_fingerprint, peer_fingerprint, role, version: Version::Dtls13 })
}

/// Whether a packet of one end opens at the other.
fn hears(from: &Option<Box<Connected>>, to: &Option<Box<Connected>>) -> bool {
    let context = |end: &Option<Box<Connected>>| {
        let end = end.as_ref().unwrap();
        Context::new(&end.keys, end.role, SsrcPolicy::Fixed)
    };
    let mut packet = [[0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9].as_slice(), &[7; 60]].concat();
    let len = packet.len();
    packet.resize(len + 20, 0);
    let len = context(from).protect_rtp(&mut packet, len).unwrap();
    context(to).unprotect_rtp(&mut packet[..len]).is_ok()
}

/// How VFY1 ends between the two: proven, failed, or neither.
fn verification(ends: &[Option<Box<Connected>>; 2]) -> [Result<(), Option<verify::Failure>>; 2] {
    let now = Instant::now();
    let mut sides = [Role::Initiator, Role::Responder].map(|role| {
        let end = ends[usize::from(role == Role::Responder)].as_ref().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(role as u64);
        let settings = verify::Settings {
            role,
            channel: ChannelBinding::new(&end.keys, end.role, &end.local_fingerprint, &end.peer_fingerprint),
            own_address: AddressHash::of("somebody@gw.example"),
            peer_address: None,
            pinned: None,
            capabilities: Capabilities { ml_kem: true },
            post_quantum_ran: true,
            tokens: Vec::new(),
        };
        let identity = IdentityKey::generate(&mut rng);
        Exchange::new(settings, identity, &mut rng, now)
    });
    let mut results = [Err(None), Err(None)];
    loop {
        let mut moved = false;
        for from in 0..2 {
            while let Some(output) = sides[from].poll_output() {
                moved = true;
                match output {
                    verify::Output::Send(message) => sides[1 - from].handle_message(&message, now),
                    verify::Output::Proven(_) => results[from] = Ok(()),
                    verify::Output::Failed(failure) => results[from] = Err(Some(failure)),
                    verify::Output::LinkUsedBefore => panic!("there is no link"),
                }
            }
        }
        if !moved {
            return results;
        }
    }
}

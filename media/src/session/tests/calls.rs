//! Calls between two sessions in virtual time.
// The figures printed are what a report on quality quotes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use proptest::prelude::*;
use str0m_netem::{NetemConfig, Probability, RandomLoss};

use super::call_pair::{FRAME, MS, OURS, PLAIN_PAYLOADS, Pair, Setup};
use crate::dtls::{self, Version};
use crate::rtp;
use crate::session::*;
use crate::synthetic_speech::{align, level, speech};

const SECOND: usize = 48_000;

#[test]
fn what_is_said_is_heard() {
    let mut pair = Pair::encrypted(OURS, NetemConfig::new().latency(40 * MS));
    pair.a.say(speech(21, 10 * SECOND));
    pair.b.say(speech(22, 10 * SECOND));
    pair.run(10_000 * MS);
    for (speaker, listener) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
        let (lag, alike) = align(&speaker.voice[..9 * SECOND], &listener.heard, SECOND / 5);
        println!("lag {} ms, correlation {alike}, {:?}", lag as f32 / 48.0, listener.stats());
        assert!(alike >= 0.9, "correlation {alike}");
        assert!(lag < SECOND / 10, "{} ms", lag / 48);
        assert_eq!(listener.stats().discarded, Discarded::default());
        assert_eq!(listener.stats().playout.concealed_frames, 0);
        let first_sounds = listener.events.iter().filter(|event| matches!(event, Event::FirstSound)).count();
        assert_eq!(first_sounds, 1);
    }
}

#[test]
fn statistics_tell_round_trip_loss_and_delay() {
    let network = NetemConfig::new().latency(30 * MS).loss(RandomLoss::new(Probability::new(0.1)));
    let mut pair = Pair::encrypted(OURS, network);
    pair.run(30_000 * MS);
    let stats = pair.a.stats();
    let round_trip = stats.network.round_trip.unwrap();
    assert!(round_trip.abs_diff(60 * MS) <= 8 * MS, "{round_trip:?}");
    assert!((stats.network.loss_received - 0.1).abs() < 0.04, "{stats:?}");
    assert!((stats.network.loss_sent - 0.1).abs() < 0.1, "{stats:?}");
    assert!(stats.sent.rtcp_packets >= 3 && stats.received.rtcp_packets >= 3, "{stats:?}");
    let total = stats.mouth_to_ear.total().unwrap();
    assert!(total > 60 * MS && total < 150 * MS, "{:?}", stats.mouth_to_ear);
}

#[test]
fn sound_still_flows_at_thirty_percent_loss() {
    for (loss, at_least) in [(0.0, 0.9), (0.1, 0.88), (0.2, 0.86), (0.3, 0.82)] {
        let network = NetemConfig::new()
            .latency(50 * MS)
            .jitter(15 * MS)
            .loss(RandomLoss::new(Probability::new(loss)))
            .duplicate(Probability::new(0.02))
            .reorder_gap(20);
        let mut pair = Pair::encrypted(OURS, network);
        pair.a.say(speech(23, 15 * SECOND));
        pair.run(16_000 * MS);
        let stats = pair.b.stats();
        let alike = median_likeness(&pair.a.voice, &pair.b.heard);
        println!("loss {loss}: median correlation {alike:.3}, {:?} {:?}", stats.playout, stats.mouth_to_ear);
        assert!(alike >= at_least, "loss {loss}: correlation {alike}, {stats:?}");
        assert!(stats.playout.actual < 160 * MS, "loss {loss}: {stats:?}");
        let loudness = level(&pair.b.heard[2 * SECOND..15 * SECOND]) / level(&pair.a.voice[2 * SECOND..15 * SECOND]);
        assert!(loudness > 0.7, "loss {loss}: loudness {loudness}");
    }
}

#[test]
fn the_same_seed_gives_the_same_call() {
    let run = |seed| {
        let network = NetemConfig::new().latency(40 * MS).jitter(20 * MS).loss(RandomLoss::new(Probability::new(0.1)));
        let mut pair = Pair::encrypted(Setup { seed, ..OURS }, network);
        pair.a.say(speech(24, 5 * SECOND));
        pair.run(8_000 * MS);
        (pair.b.stats(), pair.b.heard.clone())
    };
    assert!(run(5) == run(5));
    assert!(run(5).0 != run(6).0);
}

#[test]
fn keys_pressed_arrive_once_each_through_loss() {
    let network = NetemConfig::new().latency(20 * MS).loss(RandomLoss::new(Probability::new(0.2)));
    for payload in [OURS.payload, PLAIN_PAYLOADS] {
        let mut pair = Pair::encrypted(Setup { payload, ..OURS }, network);
        pair.run(500 * MS);
        for digit in "0123456789*#abcd55".chars() {
            assert!(pair.a.session.send_dtmf(digit));
        }
        assert!(!pair.a.session.send_dtmf('x'));
        pair.run(6_000 * MS);
        let keys: String = pair
            .b
            .events
            .iter()
            .filter_map(|event| if let Event::DtmfReceived(digit) = event { Some(*digit) } else { None })
            .collect();
        assert_eq!(keys, "0123456789*#ABCD55");
    }
}

#[test]
fn hold_is_told_inside_the_channel_and_taken_back() {
    let network = NetemConfig::new().latency(20 * MS).jitter(15 * MS).loss(RandomLoss::new(Probability::new(0.2)));
    let mut pair = Pair::encrypted(OURS, network);
    pair.a.say(speech(25, 2 * SECOND));
    pair.run(2_000 * MS);
    pair.a.session.set_held(true);
    assert!(!pair.a.session.send_dtmf('1'), "nobody would hear it");
    pair.run(1_000 * MS);
    let from = pair.b.heard.len();
    pair.run(1_000 * MS);
    assert!(level(&pair.b.heard[from..]) < 1e-3, "held means silence");
    pair.a.session.set_held(false);
    pair.run(1_000 * MS);
    let told: Vec<bool> = pair
        .b
        .events
        .iter()
        .filter_map(|event| if let Event::PeerHeld(held) = event { Some(*held) } else { None })
        .collect();
    assert_eq!(told, [true, false]);
    assert!(level(&pair.b.heard[from + SECOND + SECOND / 2..]) > 1e-2, "sound is back");
}

#[test]
fn sound_waits_for_the_verification_and_muting_silences() {
    let mut pair = Pair::encrypted(Setup { sound: SoundGate::UntilVerified, ..OURS }, NetemConfig::new());
    pair.b.session.open_sound();
    pair.a.say(speech(26, SECOND));
    assert!(!pair.a.session.send_dtmf('1'), "a key may be a secret");
    pair.run(2_000 * MS);
    assert!(level(&pair.b.heard) < 1e-3, "nothing before the verification");
    assert!(pair.b.stats().playout.played_frames > 80, "but packets all the same");
    pair.a.session.open_sound();
    pair.run(2_000 * MS);
    assert!(level(&pair.b.heard[3 * SECOND..]) > 1e-2);
    pair.a.session.set_muted(true);
    pair.run(2_000 * MS);
    assert!(level(&pair.b.heard[5 * SECOND..]) < 1e-3);
}

#[test]
fn nobody_is_heard_before_the_verification_whatever_they_send() {
    let mut pair = Pair::encrypted(Setup { sound: SoundGate::UntilVerified, ..OURS }, NetemConfig::new());
    // The other side does not keep to it.
    pair.a.session.open_sound();
    pair.a.say(speech(27, SECOND));
    assert!(pair.a.session.send_dtmf('1'));
    pair.run(2_000 * MS);
    assert!(pair.b.stats().playout.played_frames > 80 && pair.b.heard.iter().all(|sample| *sample == 0.0));
    let told = |event: &Event| matches!(event, Event::FirstSound | Event::DtmfReceived(_));
    assert!(!pair.b.events.iter().any(told));
    pair.b.session.open_sound();
    pair.run(2_000 * MS);
    assert!(level(&pair.b.heard[3 * SECOND..]) > 1e-2);
    assert_eq!(pair.b.events.iter().filter(|event| told(event)).count(), 1, "sound, and no key of before");
}

#[test]
fn captured_sound_before_keys_is_dropped_never_queued() {
    let mut pair = Pair::new(OURS);
    let loud = vec![0.5; FRAME];
    for _ in 0..50 {
        pair.a.session.handle_capture(&loud, pair.now);
    }
    assert_eq!(pair.a.stats().sent.dropped_before_keys, 50);
    pair.a.microphone = false;
    pair.run(3_000 * MS);
    assert!(pair.a.session.connected().is_some());
    assert!(level(&pair.b.heard) < 1e-3);
    pair.a.session.handle_capture(&loud[1..], pair.now);
    assert_eq!(pair.a.stats().sent.wrong_length_frames, 1);
}

#[test]
fn the_channel_carries_data_frames_both_ways() {
    let mut pair = Pair::new(OURS);
    assert!(pair.a.session.send_channel_data(b"early", pair.now).is_err());
    let mut pair = Pair::encrypted(OURS, NetemConfig::new());
    pair.a.session.send_channel_data(b"from a", pair.now).unwrap();
    pair.b.session.send_channel_data(b"from b", pair.now).unwrap();
    pair.run(100 * MS);
    let frames = |events: &[Event]| -> Vec<Vec<u8>> {
        let data =
            events.iter().filter_map(|event| if let Event::ChannelData(data) = event { Some(data) } else { None });
        data.cloned().collect()
    };
    assert_eq!(frames(&pair.b.events), [b"from a".to_vec()]);
    assert_eq!(frames(&pair.a.events), [b"from b".to_vec()]);
}

#[test]
fn another_certificate_than_announced_ends_the_session() {
    let mut pair = Pair::new(Setup { honest: false, ..OURS });
    pair.run(10_000 * MS);
    let failed = |event: &Event| matches!(event, Event::Failed(Failure::Dtls(dtls::Failure::FingerprintMismatch)));
    assert!(pair.a.events.iter().any(failed), "{:?}", pair.a.events);
    assert!(pair.a.session.connected().is_none() && pair.a.session.poll_timeout().is_none());
    assert_eq!(pair.a.stats().sent.packets, 0);
    assert!(!pair.a.session.send_dtmf('1'));
}

#[test]
fn a_silent_peer_is_noticed_and_its_return_too() {
    let mut pair = Pair::encrypted(OURS, NetemConfig::new());
    pair.run(1_000 * MS);
    let (now, mut told) = (pair.now, Vec::new());
    for second in 1..8 {
        pair.b.session.handle_timeout(now + second * 1_000 * MS);
    }
    pair.now = now + 8_000 * MS;
    pair.run(500 * MS);
    for event in &pair.b.events {
        if let Event::PeerSilent(silent) = event {
            told.push(*silent);
        }
    }
    assert_eq!(told, [true, false]);
}

#[test]
fn a_foreign_phone_hears_and_is_heard() {
    let foreign = Setup { peer: Peer::Foreign, payload: PLAIN_PAYLOADS, post_quantum: [None; 2], ..OURS };
    let mut pair = Pair::encrypted(foreign, NetemConfig::new().latency(20 * MS));
    pair.a.say(speech(27, 5 * SECOND));
    pair.run(5_000 * MS);
    let (_, alike) = align(&pair.a.voice[..4 * SECOND], &pair.b.heard, SECOND / 5);
    assert!(alike >= 0.9, "correlation {alike}");
    let encrypted = |event: &Event| matches!(event, Event::Encrypted { dtls_version: Version::Dtls12, .. });
    assert!(pair.b.events.iter().any(encrypted));
    assert!(pair.a.stats().network.round_trip.is_some());
}

#[test]
fn what_is_no_media_is_counted_by_cause() {
    let mut pair = Pair::new(OURS);
    let now = pair.now;
    let session = &mut pair.a.session;
    for datagram in [&[][..], &[0; 20], &[70; 20], &[255; 20], &[128; 20], &[0x80, 200, 0, 0], &[20; 2_000]] {
        session.handle_datagram(datagram, now);
    }
    let discarded = session.stats().discarded;
    assert_eq!((discarded.not_media, discarded.before_keys, discarded.too_long), (4, 2, 1));
    let mut pair = Pair::encrypted(OURS, NetemConfig::new());
    pair.a.session.handle_datagram(&[128; 60], pair.now);
    pair.a.session.handle_datagram(&[0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], pair.now);
    let discarded = pair.a.stats().discarded;
    assert_eq!((discarded.rtp_refused, discarded.rtcp_refused), (1, 1));
}

#[test]
fn an_owner_that_never_polls_does_not_grow_the_queue() {
    let mut pair = Pair::encrypted(OURS, NetemConfig::new());
    let frame = vec![0.0; FRAME];
    for n in 0..600 {
        pair.a.session.handle_capture(&frame, pair.now + n * 20 * MS);
    }
    let mut kept = 0;
    while pair.a.session.poll_output().is_some() {
        kept += 1;
    }
    assert_eq!(kept, MAX_QUEUED_OUTPUTS);
    assert_eq!(pair.a.stats().discarded.outputs, 600 - MAX_QUEUED_OUTPUTS as u64);
}

#[test]
fn settings_that_clash_are_refused() {
    let check = |payload, ptime_ms| {
        let certificate = crate::certificate::Certificate::generate(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let settings = Settings {
            certificate,
            dtls_role: dtls::Role::Client,
            peer: Peer::Ours,
            peer_fingerprint: [0; 32],
            post_quantum: None,
            payload,
            ptime_ms,
            sound: SoundGate::Open,
        };
        settings.check()
    };
    assert_eq!(check(OURS.payload, 20), Ok(()));
    assert_eq!(check(OURS.payload, 30), Err(SettingsError::Ptime(30)));
    for (opus, red, telephone_event) in
        [(111, Some(111), None), (128, None, None), (72, None, None), (111, None, Some(111))]
    {
        assert_eq!(check(Payloads { opus, red, telephone_event }, 20), Err(SettingsError::Payloads));
    }
}

#[test]
fn garbage_from_a_peer_with_valid_keys_breaks_nothing() {
    let mut pair = Pair::encrypted(OURS, NetemConfig::new());
    let connected = pair.b.session.connected().unwrap();
    let mut villain = srtp::Context::new(&connected.keys, connected.role.other(), SsrcPolicy::Fixed);
    let mut random = crate::synthetic_speech::Random(31);
    let mut block = [0.0; 480];
    for n in 0..4_000u16 {
        let now = pair.now + u32::from(n) * 5 * MS;
        let mut packet = vec![0u8; 1_000];
        let len = 12 + random.below(300);
        for byte in &mut packet[12..len] {
            *byte = random.next() as u8;
        }
        let payload_type = [111, 112, 101, 5][random.below(4)];
        let timestamp = u32::from(n) * 240 + if random.below(20) == 0 { random.next() as u32 } else { 0 };
        rtp::Header { payload_type, marker: false, sequence: n, timestamp, ssrc: 7 }.write(&mut packet);
        if random.below(8) == 0 {
            packet[0] |= (random.next() as u8) & 0x3f;
        }
        if let Ok(len) = villain.protect_rtp(&mut packet, len) {
            pair.b.session.handle_datagram(&packet[..len], now);
        }
        let mut report = vec![0u8; 400];
        let len = 8 + random.below(40) * 4;
        for byte in &mut report[8..len] {
            *byte = random.next() as u8;
        }
        report[..8].copy_from_slice(&[0x81, 200 + random.below(6) as u8, 0, random.below(12) as u8, 0, 0, 0, 7]);
        if let Ok(len) = villain.protect_rtcp(&mut report, len) {
            pair.b.session.handle_datagram(&report[..len], now);
        }
        pair.b.session.handle_timeout(now);
        pair.b.session.fill_playout(&mut block, now);
        while pair.b.session.poll_output().is_some() {}
        assert!(block.iter().all(|sample| sample.abs() <= 1.0));
    }
    let stats = pair.b.stats();
    println!("{stats:?}");
    assert!(stats.received.packets > 3_000 && stats.received.rtcp_packets > 3_000);
    let Discarded { unknown_payload, red_malformed, opus_malformed, rtcp_malformed, .. } = stats.discarded;
    assert!(unknown_payload > 100 && red_malformed > 100 && opus_malformed > 100 && rtcp_malformed > 100, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_payload_is_taken_or_counted(payload in proptest::collection::vec(any::<u8>(), 0..400), number in 0u8..128) {
        let mut incoming = Incoming::new(OURS.payload, 20).unwrap();
        let mut datagram = vec![0; 12];
        rtp::Header { payload_type: number, marker: false, sequence: 1, timestamp: 1, ssrc: 1 }.write(&mut datagram);
        datagram.extend_from_slice(&payload);
        let mut discarded = Discarded::default();
        let now = Instant::now();
        incoming.handle_rtp(&datagram, now, &mut discarded, |_| {});
        let mut block = [0.0; 2_000];
        incoming.fill(&mut block, now + Duration::from_millis(100));
    }
}

/// Median over some half seconds of how alike they are to the best-fitting part of what was heard: the delay
/// changes during a call, and sound is stretched where it does.
fn median_likeness(said: &[f32], heard: &[f32]) -> f32 {
    let mut scores: Vec<f32> = (4..28)
        .step_by(2)
        .map(|half| half * SECOND / 2)
        .map(|at| align(&said[at..at + SECOND / 2], &heard[at..at + SECOND], SECOND / 4).1)
        .collect();
    scores.sort_by(f32::total_cmp);
    scores[scores.len() / 2]
}

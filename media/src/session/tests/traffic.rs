//! What an observer of the wire sees of a call: one size, one rhythm, one payload type.
// The figures printed are what a report on quality quotes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::time::Duration;

use str0m_netem::NetemConfig;

use super::call_pair::{MS, OURS, Pair, Setup, Side};
use crate::srtp::is_rtcp;
use crate::synthetic_speech::speech;

const SECOND: usize = 48_000;

/// Twenty seconds through speech, silence, mute, hold, keys and a dead microphone, so many times.
fn all_states(setup: Setup, rounds: u64) -> Pair {
    let mut pair = Pair::encrypted(setup, NetemConfig::new().latency(20 * MS));
    for round in 0..rounds {
        pair.a.say(speech(40 + round, 5 * SECOND));
        pair.run(5_000 * MS);
        pair.a.say(vec![0.0; 960]);
        pair.run(3_000 * MS);
        pair.a.say(speech(50 + round, 5 * SECOND));
        pair.a.session.set_muted(true);
        pair.run(3_000 * MS);
        pair.a.session.set_muted(false);
        "12#".chars().for_each(|digit| assert!(pair.a.session.send_dtmf(digit)));
        pair.run(2_000 * MS);
        pair.a.session.set_held(true);
        pair.run(3_000 * MS);
        pair.a.session.set_held(false);
        pair.run(1_000 * MS);
        pair.a.microphone = false;
        pair.run(2_000 * MS);
        pair.a.microphone = true;
        pair.run(1_000 * MS);
    }
    assert_eq!((pair.now - pair.start).as_secs(), 20 * rounds);
    pair
}

fn rtp(side: &Side) -> impl Iterator<Item = &(std::time::Instant, Vec<u8>)> {
    side.sent.iter().filter(|(_, datagram)| (128..192).contains(&datagram[0]) && !is_rtcp(datagram))
}

fn rtcp(side: &Side) -> impl Iterator<Item = &(std::time::Instant, Vec<u8>)> {
    side.sent.iter().filter(|(_, datagram)| is_rtcp(datagram))
}

#[test]
fn all_datagrams_of_a_call_have_one_size_and_one_rhythm() {
    for (ptime_ms, rounds) in [(20, 3), (10, 1), (40, 1), (60, 1)] {
        let pair = all_states(Setup { ptime_ms, ..OURS }, rounds);
        let ptime = u32::from(ptime_ms) * MS;
        let sizes: BTreeSet<usize> = rtp(&pair.a).map(|(_, datagram)| datagram.len()).collect();
        let report_sizes: BTreeSet<usize> = rtcp(&pair.a).map(|(_, datagram)| datagram.len()).collect();
        println!("{ptime_ms} ms: {sizes:?} {report_sizes:?}");
        assert_eq!(sizes.len(), 1, "{sizes:?}");
        assert_eq!(sizes, report_sizes, "reports look like sound");
        let size = *sizes.first().unwrap();
        assert_eq!(size, 12 + 8 * usize::from(ptime_ms) + 16);

        let times: Vec<_> = rtp(&pair.a).map(|(at, _)| *at).collect();
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(*gaps.iter().max().unwrap() <= ptime * 3, "{:?}", gaps.iter().max());
        let in_step = gaps.iter().filter(|gap| **gap == ptime).count();
        assert!(in_step * 1_000 >= gaps.len() * 970, "{in_step} of {}", gaps.len());
        headers_are_alike_but_for_their_counters(&pair, usize::from(ptime_ms) * 48);
        if rounds == 3 {
            reports_come_every_few_seconds_and_never_say_goodbye(&pair);
        }
    }
}

fn headers_are_alike_but_for_their_counters(pair: &Pair, step: usize) {
    let headers: BTreeSet<[u8; 2]> = rtp(&pair.a).map(|(_, datagram)| [datagram[0], datagram[1]]).collect();
    assert_eq!(headers, BTreeSet::from([[0x80, 112]]), "version 2, no marker, one payload type");
    let sources: BTreeSet<&[u8]> = rtp(&pair.a).map(|(_, datagram)| &datagram[8..12]).collect();
    assert_eq!(sources.len(), 1);
    let counters: Vec<(u16, u32)> = rtp(&pair.a)
        .map(|(_, d)| (u16::from_be_bytes([d[2], d[3]]), u32::from_be_bytes([d[4], d[5], d[6], d[7]])))
        .collect();
    for pair in counters.windows(2) {
        assert_eq!(pair[1].0.wrapping_sub(pair[0].0), 1);
        assert_eq!(pair[1].1.wrapping_sub(pair[0].1), step as u32);
    }
}

#[test]
fn two_calls_start_at_different_counters_and_far_from_the_wrap() {
    let starts: Vec<[u8; 12]> = (0..8)
        .map(|seed| {
            let mut pair = Pair::encrypted(Setup { seed, ..OURS }, NetemConfig::new());
            pair.run(100 * MS);
            *rtp(&pair.a).next().unwrap().1.first_chunk().unwrap()
        })
        .collect();
    for field in [2..4, 4..8, 8..12] {
        let values: BTreeSet<&[u8]> = starts.iter().map(|start| &start[field.clone()]).collect();
        assert_eq!(values.len(), starts.len());
    }
    assert!(starts.iter().all(|start| start[2] < 0x80), "first sequence numbers are below 2^15");
}

fn reports_come_every_few_seconds_and_never_say_goodbye(pair: &Pair) {
    let times: Vec<_> = rtcp(&pair.a).map(|(at, _)| *at).collect();
    assert!((9..=20).contains(&times.len()), "{}", times.len());
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= 7_510 * MS, "{longest:?}");
    assert!(rtcp(&pair.a).all(|(_, datagram)| datagram[1] == 200 || datagram[1] == 201));
}

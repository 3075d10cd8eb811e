//! The playout buffer in virtual time: frames leave every 20 ms, arrive as each test says, and the
//! speaker pulls blocks as each test says.
// The figures printed are what a report on quality quotes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use super::{Incoming, Playout, Stats};
use crate::codec::Encoder;
use crate::synthetic_speech::{Random, align, level, speech};

const FRAME: usize = 960;
const MS: Duration = Duration::from_millis(1);

#[test]
fn a_steady_stream_plays_with_little_delay_and_without_any_change() {
    let call = Call::new(1, 300);
    let heard = call.play(|n| vec![call.sent_at(n) + 40 * MS], 480);
    let (lag, alike) = align(&call.said[..FRAME * 280], &heard.sound, 9_600);
    println!("lag {} ms, correlation {alike}, {:?}", lag as f32 / 48.0, heard.stats);
    assert!(alike > 0.92, "correlation {alike}");
    // 20 ms frame, 40 ms network, at most 20 ms wait, 6.5 ms encoder.
    assert!(lag <= 48 * 88, "lag {} ms", lag / 48);
    assert_eq!(heard.stats.concealed_frames + heard.stats.late_packets + heard.stats.fec_frames, 0);
    assert!(heard.stats.actual <= 30 * MS);
    assert!(heard.stats.expanded + heard.stats.accelerated <= 20 * MS);
}

#[test]
fn before_anything_arrives_there_is_silence_of_any_length() {
    let mut playout = Playout::new(20).unwrap();
    let now = Instant::now();
    for length in [0, 1, 441, 4_800, 20_000] {
        let mut block = vec![1.0; length];
        playout.fill(&mut block, now);
        assert!(block.iter().all(|&sample| sample == 0.0));
    }
    assert!(!playout.has_played());
    assert_eq!(playout.stats().actual, Duration::ZERO);
}

#[test]
fn blocks_of_any_length_give_the_same_sound() {
    let call = Call::new(2, 200);
    for block in [64, 160, 480, 1_024, 2_880] {
        let heard = call.play(|n| vec![call.sent_at(n) + 10 * MS], block);
        // From the third second on the wait has settled.
        let (_, alike) = align(&call.said[FRAME * 100..FRAME * 180], &heard.sound[FRAME * 100..], 9_600);
        assert!(alike > 0.9, "block {block}: correlation {alike}, {:?}", heard.stats);
        assert_eq!(heard.stats.concealed_frames, 0, "block {block}: {:?}", heard.stats);
    }
}

#[test]
fn the_wait_grows_with_jitter_and_shrinks_when_it_is_over() {
    let call = Call::new(3, 2_000);
    let mut random = Random(3);
    let jitter: Vec<u32> = (0..2_000).map(|n| if n < 800 { random.below(80) as u32 } else { 0 }).collect();
    let arrive = |n: usize| vec![call.sent_at(n) + 20 * MS + jitter[n] * MS];
    let mut waits = Vec::new();
    let heard = call.play_watched(arrive, 480, |stats| waits.push(stats));
    let at = |second: usize| waits[second * 100];
    println!("at 14 s {:?}\nat the end {:?}", at(14), heard.stats);
    assert!(at(14).actual > 55 * MS && at(14).actual < 110 * MS, "{:?}", at(14));
    assert!(heard.stats.actual < 35 * MS, "{:?}", heard.stats);
    let late = heard.stats.late_packets + heard.stats.concealed_frames;
    assert!(late < 40, "{:?}", heard.stats);
}

#[test]
fn a_backlog_at_the_start_is_drained() {
    let call = Call::new(4, 400);
    // The path opens after a second: everything sent until then comes at once.
    let arrive = |n: usize| vec![(call.sent_at(n) + 20 * MS).max(call.sent_at(50))];
    let mut first_wait = None;
    let heard = call.play_watched(arrive, 480, |stats| {
        if stats.played_frames == 60 {
            first_wait.get_or_insert(stats.actual);
        }
    });
    println!("{first_wait:?} {:?}", heard.stats);
    assert!(heard.stats.actual < 35 * MS, "{:?}", heard.stats);
    assert!(first_wait.unwrap() < 150 * MS, "{first_wait:?}");
}

#[test]
fn redundant_copies_repair_single_losses_bit_for_bit() {
    let call = Call::new(5, 300);
    let heard = call.play_redundant(|n| n % 7 != 3);
    let whole = call.play_redundant(|_| true);
    println!("{:?}", heard.stats);
    assert!(heard.stats.redundant_frames > 30);
    // Until the wait has grown by one frame some copies come too late.
    assert!(heard.stats.concealed_frames < 6, "{:?}", heard.stats);
    let tail = |sound: &[f32]| sound[48_000 * 3..48_000 * 5].to_vec();
    let (_, alike) = align(&tail(&whole.sound)[2_400..], &tail(&heard.sound), 4_800);
    assert!(alike > 0.98, "correlation {alike}");
}

#[test]
fn in_band_fec_repairs_where_there_is_no_copy() {
    let call = Call::with_loss(6, 300, 20);
    let heard = call.play(|n| if n % 6 == 3 { vec![] } else { vec![call.sent_at(n) + 20 * MS] }, 480);
    println!("{:?}", heard.stats);
    assert!(heard.stats.fec_frames > 30, "{:?}", heard.stats);
    assert!(heard.stats.concealed_frames < 20, "{:?}", heard.stats);
}

#[test]
fn an_outage_fades_to_silence_and_sound_comes_back() {
    let call = Call::new(7, 400);
    let arrive = |n: usize| if (150..250).contains(&n) { vec![] } else { vec![call.sent_at(n) + 20 * MS] };
    let heard = call.play(arrive, 480);
    println!("{:?}", heard.stats);
    let second = |from: f32, to: f32| level(&heard.sound[(from * 48_000.0) as usize..(to * 48_000.0) as usize]);
    assert!(second(3.6, 4.9) < 1e-4, "silence while nothing comes");
    assert!(second(5.2, 7.0) > 0.01, "sound again");
    assert!(heard.stats.actual < 40 * MS, "{:?}", heard.stats);
}

#[test]
fn a_stall_is_caught_up_with() {
    let call = Call::new(8, 1_500);
    let arrive = |n: usize| {
        let stalled = (200..215).contains(&n);
        vec![if stalled { call.sent_at(215) + 20 * MS } else { call.sent_at(n) + 20 * MS }]
    };
    let heard = call.play(arrive, 480);
    println!("{:?}", heard.stats);
    assert!(heard.stats.actual < 35 * MS, "{:?}", heard.stats);
}

#[test]
fn a_speaker_that_stood_still_goes_on_with_what_is_said_now() {
    for still_s in [1, 2, 4, 8] {
        let call = Call::new(15, 900);
        let mut playout = Playout::new(20).unwrap();
        let back = 200 + still_s * 50;
        let mut block = [0.0; FRAME];
        let mut heard = Vec::new();
        for n in 0..back + 150 {
            let timestamp = call.first_timestamp.wrapping_add((n * FRAME) as u32);
            playout.insert(Incoming { timestamp, opus: &call.packets[n], redundant: false }, call.sent_at(n));
            if !(200..back).contains(&n) {
                playout.fill(&mut block, call.sent_at(n));
                heard.extend_from_slice(&block);
            }
        }
        let stats = playout.stats();
        let (_, alike) = align(&call.said[FRAME * (back + 60)..FRAME * (back + 120)], &heard[FRAME * 260..], FRAME * 4);
        assert!(stats.actual < 60 * MS, "after {still_s} s: {stats:?}");
        assert!(alike > 0.85, "after {still_s} s: correlation {alike}, {stats:?}");
    }
}

#[test]
fn a_path_that_becomes_a_second_longer_is_followed() {
    let call = Call::new(14, 500);
    let heard = call.play(|n| vec![call.sent_at(n) + if n < 200 { 20 * MS } else { 1_020 * MS }], 480);
    println!("{:?}", heard.stats);
    let (_, alike) = align(&call.said[FRAME * 280..FRAME * 400], &heard.sound[FRAME * 320..], FRAME * 25);
    assert!(alike > 0.9, "correlation {alike}, {:?}", heard.stats);
    assert!(heard.stats.actual < 40 * MS, "{:?}", heard.stats);
}

#[test]
fn duplicates_and_reordering_change_nothing_heard() {
    let call = Call::new(9, 300);
    let arrive = |n: usize| {
        let late = if n.is_multiple_of(5) { 25 } else { 0 };
        let at = call.sent_at(n) + 20 * MS + late * MS;
        vec![at, at + 3 * MS]
    };
    let heard = call.play(arrive, 480);
    println!("{:?}", heard.stats);
    assert!(heard.stats.duplicate_packets >= 290, "{:?}", heard.stats);
    assert!(heard.stats.concealed_frames < 4, "{:?}", heard.stats);
}

#[test]
fn timestamps_wrap_unheard() {
    let mut call = Call::new(10, 300);
    call.first_timestamp = 0u32.wrapping_sub(960 * 100);
    let heard = call.play(|n| vec![call.sent_at(n) + 20 * MS], 480);
    assert_eq!((heard.stats.restarts, heard.stats.concealed_frames), (0, 0), "{:?}", heard.stats);
    assert!(align(&call.said[..FRAME * 280], &heard.sound, 9_600).1 > 0.92);
}

#[test]
fn timestamps_that_jump_begin_a_new_stream() {
    let call = Call::new(11, 100);
    let mut playout = Playout::new(20).unwrap();
    let mut block = [0.0; FRAME];
    for (n, packet) in call.packets.iter().enumerate() {
        let timestamp = (n * FRAME) as u32 + if n >= 50 { 0x5000_0000 } else { 0 };
        assert!(playout.insert(Incoming { timestamp, opus: packet, redundant: false }, call.sent_at(n)));
        playout.fill(&mut block, call.sent_at(n) + 5 * MS);
    }
    let stats = playout.stats();
    assert_eq!(stats.restarts, 1);
    assert!(stats.played_frames > 90, "{stats:?}");
}

#[test]
fn an_hour_with_drifting_clocks_neither_grows_nor_runs_dry() {
    for (drift, seconds) in [(200e-6, 3_600), (-200e-6, 600)] {
        let (longest, stats) = drifting_call(drift, seconds);
        println!("drift {drift}: longest wait {longest:?}, {stats:?}");
        assert!(longest < 60 * MS, "{longest:?}");
        // 200 ppm of an hour are 720 ms of sound, taken away or added without a gap.
        let expected = seconds as u32 * MS / 5;
        let (with, against) = match drift > 0.0 {
            true => (stats.accelerated, stats.expanded),
            false => (stats.expanded, stats.accelerated),
        };
        assert!(with.abs_diff(expected + against) < 60 * MS, "{stats:?}");
        assert!(against < expected / 2 + 60 * MS, "{stats:?}");
        assert!(stats.concealed_frames < 20, "{stats:?}");
    }
}

#[test]
fn what_is_no_opus_is_refused_and_any_timestamp_is_survived() {
    let call = Call::new(12, 20);
    let mut playout = Playout::new(20).unwrap();
    let mut random = Random(12);
    let start = Instant::now();
    let mut block = vec![0.0; 4_800];
    for n in 0..3_000u32 {
        let at = start + n * 5 * MS;
        let garbage: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
        let timestamp = if random.below(3) == 0 { random.next() as u32 } else { n * 240 };
        playout.insert(Incoming { timestamp, opus: &garbage, redundant: random.below(2) == 0 }, at);
        let packet = &call.packets[random.below(20)];
        playout.insert(Incoming { timestamp: n * 240 + random.below(960) as u32, opus: packet, redundant: false }, at);
        let length = random.below(480);
        playout.fill(&mut block[..length], at);
        assert!(block[..length].iter().all(|sample| sample.abs() <= 1.0));
    }
    assert!(!playout.insert(Incoming { timestamp: 0, opus: &[], redundant: false }, start));
}

struct Call {
    said: Vec<f32>,
    packets: Vec<Vec<u8>>,
    start: Instant,
    first_timestamp: u32,
}

struct Heard {
    sound: Vec<f32>,
    stats: Stats,
}

impl Call {
    fn new(seed: u64, frames: usize) -> Self {
        Self::with_loss(seed, frames, 0)
    }

    fn with_loss(seed: u64, frames: usize, loss: u8) -> Self {
        let said = speech(seed, frames * FRAME);
        let mut encoder = Encoder::new(20, 77).unwrap();
        encoder.set_expected_loss(loss);
        let mut encode = |frame: &[f32]| {
            let mut packet = vec![0; 77];
            encoder.encode(frame, &mut packet).unwrap();
            packet
        };
        let packets = said.chunks(FRAME).map(&mut encode).collect();
        Self { said, packets, start: Instant::now(), first_timestamp: 12_345 }
    }

    /// A frame leaves when it is full.
    fn sent_at(&self, n: usize) -> Instant {
        self.start + (n as u32 + 1) * 20 * MS
    }

    fn play(&self, arrive: impl Fn(usize) -> Vec<Instant>, block: usize) -> Heard {
        self.play_watched(arrive, block, |_| {})
    }

    fn play_watched(
        &self,
        arrive: impl Fn(usize) -> Vec<Instant>,
        block: usize,
        mut watch: impl FnMut(Stats),
    ) -> Heard {
        let mut arrivals: Vec<(Instant, usize, bool)> = Vec::new();
        for n in 0..self.packets.len() {
            arrivals.extend(arrive(n).into_iter().map(|at| (at, n, false)));
        }
        self.run(arrivals, block, &mut watch)
    }

    /// Each packet also carries the one before; `kept` says which packets arrive.
    fn play_redundant(&self, kept: impl Fn(usize) -> bool) -> Heard {
        let mut arrivals = Vec::new();
        for n in (0..self.packets.len()).filter(|&n| kept(n)) {
            let at = self.sent_at(n) + 20 * MS;
            arrivals.extend(n.checked_sub(1).map(|before| (at, before, true)));
            arrivals.push((at, n, false));
        }
        self.run(arrivals, 480, &mut |_| {})
    }

    fn run(&self, mut arrivals: Vec<(Instant, usize, bool)>, block: usize, watch: &mut dyn FnMut(Stats)) -> Heard {
        arrivals.sort_by_key(|&(at, _, _)| at);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut playout = Playout::new(20).unwrap();
        let mut sound = Vec::new();
        while sound.len() < self.said.len() {
            let now = self.start + Duration::from_secs_f64(sound.len() as f64 / 48_000.0);
            while let Some((at, n, redundant)) = arrivals.next_if(|&(at, _, _)| at <= now) {
                let timestamp = self.first_timestamp.wrapping_add((n * FRAME) as u32);
                playout.insert(Incoming { timestamp, opus: &self.packets[n], redundant }, at);
            }
            let from = sound.len();
            sound.resize(from + block, 0.0);
            playout.fill(&mut sound[from..], now);
            watch(playout.stats());
        }
        Heard { sound, stats: playout.stats() }
    }
}

/// The sender's clock runs fast by `drift`; returns the longest wait after the first minute.
fn drifting_call(drift: f64, seconds: usize) -> (Duration, Stats) {
    let call = Call::new(13, 250);
    let mut playout = Playout::new(20).unwrap();
    let mut block = [0.0; FRAME];
    let mut next_packet = 0usize;
    let mut longest = Duration::ZERO;
    for pull in 0..seconds * 50 {
        let now = call.start + pull as u32 * 20 * MS;
        loop {
            let sent = (next_packet + 1) as f64 * 0.020 / (1.0 + drift);
            let at = call.start + Duration::from_secs_f64(sent) + (next_packet as u32 * 7 % 9) * MS;
            if at > now {
                break;
            }
            let opus = &call.packets[next_packet % call.packets.len()];
            let timestamp = (next_packet * FRAME) as u32;
            playout.insert(Incoming { timestamp, opus, redundant: false }, at);
            next_packet += 1;
        }
        playout.fill(&mut block, now);
        if pull > 3_000 {
            longest = longest.max(playout.stats().actual);
        }
    }
    (longest, playout.stats())
}

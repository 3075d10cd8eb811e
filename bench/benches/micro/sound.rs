//! Opus and the playout buffer, in frames of 20 ms as our phones send them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use undertone_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES};
use undertone_media::playout::{Incoming, Playout};

const PTIME_MS: u16 = 20;
const FRAME: usize = 960;
/// One Opus frame in a packet of our phones, which carries two.
const OPUS_LEN: usize = 77;
/// Frames that are encoded in turn: a second of something like a voice.
const FRAMES: usize = 50;

pub(crate) fn benches(c: &mut Criterion) {
    let voice: Vec<[f32; FRAME]> = (0..FRAMES).map(frame).collect();
    let mut encoder = Encoder::new(PTIME_MS, OPUS_LEN).unwrap();
    let packets: Vec<[u8; OPUS_LEN]> = voice
        .iter()
        .map(|frame| {
            let mut packet = [0; OPUS_LEN];
            encoder.encode(frame, &mut packet).unwrap();
            packet
        })
        .collect();

    let mut group = c.benchmark_group("sound");
    let (mut at, mut packet) = (0, [0; OPUS_LEN]);
    group.bench_function("encode 20 ms", |b| {
        b.iter(|| {
            at = (at + 1) % FRAMES;
            encoder.encode(black_box(&voice[at]), &mut packet).unwrap();
        });
    });
    let mut decoder = Decoder::new().unwrap();
    let mut pcm = vec![0.0; MAX_PACKET_SAMPLES];
    group.bench_function("decode 20 ms", |b| {
        b.iter(|| {
            at = (at + 1) % FRAMES;
            decoder.decode(black_box(&packets[at]), &mut pcm).unwrap()
        });
    });
    group.bench_function("decode 20 ms, then conceal 20 ms", |b| {
        b.iter(|| {
            at = (at + 1) % FRAMES;
            // Concealment of a voice that has just spoken, not of endless silence.
            decoder.decode(black_box(&packets[at]), &mut pcm).unwrap();
            decoder.conceal(&mut pcm[..FRAME]).unwrap()
        });
    });
    let mut playout = Playout::new(PTIME_MS).unwrap();
    let (mut now, mut timestamp) = (Instant::now(), 0u32);
    let mut block = [0.0; FRAME];
    group.bench_function("playout tick: a packet in, 20 ms out", |b| {
        b.iter(|| {
            at = (at + 1) % FRAMES;
            now += Duration::from_millis(20);
            timestamp = timestamp.wrapping_add(FRAME as u32);
            playout.insert(Incoming { timestamp, opus: &packets[at], redundant: false }, now);
            playout.fill(black_box(&mut block), now);
        });
    });
    group.finish();
}

/// A glottal pulse train with two formants and a slow melody.
fn frame(index: usize) -> [f32; FRAME] {
    std::array::from_fn(|n| {
        let t = (index * FRAME + n) as f32 / 48_000.0;
        let pitch = 110.0 + 20.0 * (t * 9.0).sin();
        let phase = (t * pitch).fract();
        let pulse = (-phase * 8.0).exp();
        let formants = (t * 700.0 * std::f32::consts::TAU).sin() + 0.5 * (t * 1_800.0 * std::f32::consts::TAU).sin();
        0.3 * pulse * formants
    })
}

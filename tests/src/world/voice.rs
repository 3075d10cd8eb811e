//! A test voice: syllables of a gliding buzz, hisses and pauses, the same for the same seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::f32::consts::TAU;

const RATE_HZ: f32 = 48_000.0;
/// Overtones of the buzz: up to about 2 kHz, where speech has its energy.
const OVERTONES: usize = 12;
/// Loudest sample.
const PEAK: f32 = 0.5;

/// So many samples of the voice with this seed.
pub fn voice(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut out = Vec::with_capacity(count + RATE_HZ as usize);
    while out.len() < count {
        syllable(&mut out, &mut rng);
        if below(&mut rng, 3) == 0 {
            let pause = below(&mut rng, RATE_HZ as usize / 5);
            out.resize(out.len() + pause, 0.0);
        }
    }
    out.truncate(count);
    let peak = out.iter().fold(1e-6_f32, |peak, sample| peak.max(sample.abs()));
    out.iter_mut().for_each(|sample| *sample *= PEAK / peak);
    out
}

/// A hiss, then a buzz whose pitch glides and whose overtones are shaped like a vowel's.
fn syllable(out: &mut Vec<f32>, rng: &mut impl RngCore) {
    let hiss = below(rng, RATE_HZ as usize / 25);
    let mut last = 0.0;
    for _ in 0..hiss {
        let noise = unit(rng);
        out.push(0.04 * (noise - last));
        last = noise;
    }
    let length = RATE_HZ as usize / 10 + below(rng, RATE_HZ as usize / 6);
    let (from_hz, to_hz) = (90.0 + 120.0 * unit(rng).abs(), 90.0 + 120.0 * unit(rng).abs());
    let formant_hz = 300.0 + 1_800.0 * unit(rng).abs();
    let mut phase = 0.0_f32;
    for n in 0..length {
        let along = n as f32 / length as f32;
        let pitch_hz = from_hz + (to_hz - from_hz) * along;
        phase = (phase + TAU * pitch_hz / RATE_HZ) % TAU;
        let envelope = (along * std::f32::consts::PI).sin();
        let buzz: f32 = (1..=OVERTONES)
            .map(|k| {
                let away = (k as f32 * pitch_hz - formant_hz) / 400.0;
                (0.25 / k as f32 + (-away * away).exp()) * (k as f32 * phase).sin()
            })
            .sum();
        out.push(envelope * buzz);
    }
}

fn below(rng: &mut impl RngCore, limit: usize) -> usize {
    rng.next_u32() as usize % limit
}

/// −1 to 1.
fn unit(rng: &mut impl RngCore) -> f32 {
    rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0
}

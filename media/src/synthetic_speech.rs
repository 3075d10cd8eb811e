//! A voice for tests: syllables of pulses through formant resonators, hissing consonants, pauses.
//! Deterministic, and enough like speech that Opus treats it as speech.

use crate::SAMPLE_RATE_HZ;

const RATE: f32 = SAMPLE_RATE_HZ as f32;

/// First three formants of five vowels, in Hz.
const VOWELS: [[f32; 3]; 5] = [
    [730., 1_090., 2_440.],
    [270., 2_290., 3_010.],
    [530., 1_840., 2_480.],
    [570., 840., 2_410.],
    [300., 870., 2_240.],
];

/// So many samples of the voice of this seed, peak about 0.5.
pub(crate) fn speech(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random(seed.wrapping_mul(2) + 1);
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let vowel = VOWELS[random.below(VOWELS.len())];
        consonant(&mut out, &mut random);
        syllable(&mut out, &mut random, vowel);
        if random.below(4) == 0 {
            let pause = out.len() + random.below(RATE as usize / 5);
            out.resize(pause, 0.0);
        }
    }
    out.truncate(count);
    let peak = out.iter().fold(1e-6f32, |peak, sample| peak.max(sample.abs()));
    out.iter_mut().for_each(|sample| *sample *= 0.5 / peak);
    out
}

/// Best normalised correlation of `heard` with any part of `said` up to `most_lag` samples earlier in `heard`:
/// (lag, correlation).
pub(crate) fn align(said: &[f32], heard: &[f32], most_lag: usize) -> (usize, f32) {
    let length = said.len().min(heard.len().saturating_sub(most_lag));
    let at = |lag: usize, step: usize| correlation(&said[..length], &heard[lag..lag + length], step);
    let coarse = (0..=most_lag).step_by(8).map(|lag| (lag, at(lag, 4))).fold((0, -1.0), larger);
    let from = coarse.0.saturating_sub(8);
    (from..=(coarse.0 + 8).min(most_lag)).map(|lag| (lag, at(lag, 1))).fold((0, -1.0), larger)
}

/// Normalised correlation of two signals, looking at every `step`th sample.
pub(crate) fn correlation(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut cross, mut own, mut other) = (0.0f64, 1e-12f64, 1e-12f64);
    for (a, b) in a.iter().zip(b).step_by(step) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        cross += a * b;
        own += a * a;
        other += b * b;
    }
    (cross / (own * other).sqrt()) as f32
}

/// Root of the mean square.
pub(crate) fn level(signal: &[f32]) -> f32 {
    (signal.iter().map(|sample| sample * sample).sum::<f32>() / signal.len().max(1) as f32).sqrt()
}

/// A pure tone.
pub(crate) fn tone(frequency: f32, count: usize) -> Vec<f32> {
    (0..count).map(|n| 0.4 * (std::f32::consts::TAU * frequency * n as f32 / RATE).sin()).collect()
}

fn larger(best: (usize, f32), next: (usize, f32)) -> (usize, f32) {
    if next.1 > best.1 { next } else { best }
}

fn consonant(out: &mut Vec<f32>, random: &mut Random) {
    let count = random.below(RATE as usize / 20);
    let mut before = 0.0;
    for n in 0..count {
        let fade = (n.min(count - n) as f32 / 480.0).min(1.0);
        let noise = random.unit();
        out.push(0.02 * fade * (noise - before));
        before = noise;
    }
}

fn syllable(out: &mut Vec<f32>, random: &mut Random, formants: [f32; 3]) {
    let count = RATE as usize / 8 + random.below(RATE as usize / 6);
    let start = 100.0 + random.below(60) as f32;
    let glide = random.unit() * 30.0;
    let mut resonators = formants.map(|formant| Resonator::new(formant, 60.0 + formant / 20.0));
    let mut phase = 0.0;
    for n in 0..count {
        let progress = n as f32 / count as f32;
        phase += (start + glide * progress) / RATE;
        let pulse = if phase >= 1.0 {
            phase -= 1.0;
            1.0
        } else {
            0.0
        };
        let excitation = pulse + 0.002 * random.unit();
        let voiced: f32 = resonators.iter_mut().map(|resonator| resonator.next(excitation)).sum();
        out.push(voiced * (progress * std::f32::consts::PI).sin());
    }
}

struct Resonator {
    a1: f32,
    a2: f32,
    y1: f32,
    y2: f32,
}

impl Resonator {
    fn new(frequency: f32, bandwidth: f32) -> Self {
        let radius = (-std::f32::consts::PI * bandwidth / RATE).exp();
        let angle = std::f32::consts::TAU * frequency / RATE;
        Self { a1: 2.0 * radius * angle.cos(), a2: -radius * radius, y1: 0.0, y2: 0.0 }
    }

    fn next(&mut self, input: f32) -> f32 {
        let y = input + self.a1 * self.y1 + self.a2 * self.y2;
        self.y2 = self.y1;
        self.y1 = y;
        y
    }
}

/// Knuth's MMIX generator: repeatable everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// −1 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

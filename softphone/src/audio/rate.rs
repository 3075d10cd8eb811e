//! Conversion between the phone's 48 kHz and the rate of a device or file that has another one.

use std::collections::VecDeque;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction};

/// Chunk of one conversion step as a fraction of a second: 5 ms of added delay.
const CHUNKS_PER_SECOND: u32 = 200;
/// Taps of the interpolation filter: 0.7 ms of delay each way, images below −90 dB.
const SINC_TAPS: usize = 64;
const SINC_OVERSAMPLING: usize = 128;

/// A mono stream at one rate in, at another rate out.
pub struct RateConverter {
    inner: Async<f32>,
    pending: Vec<f32>,
    chunk: usize,
    output: Vec<f32>,
    ready: VecDeque<f32>,
}

impl std::fmt::Debug for RateConverter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateConverter").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

impl RateConverter {
    /// A converter from `from_hz` to `to_hz`; `None` if the rates are equal or too far apart to make sense.
    #[must_use]
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        if from_hz == to_hz || from_hz == 0 || to_hz == 0 {
            return None;
        }
        let chunk = (from_hz / CHUNKS_PER_SECOND).max(1) as usize;
        let parameters = SincInterpolationParameters {
            sinc_len: SINC_TAPS,
            f_cutoff: None,
            oversampling_factor: SINC_OVERSAMPLING,
            interpolation: SincInterpolationType::Linear,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input).ok()?;
        let output = vec![0.0; inner.output_frames_max()];
        let second = to_hz as usize;
        Some(Self {
            inner,
            pending: Vec::with_capacity(2 * chunk),
            chunk,
            output,
            ready: VecDeque::with_capacity(second),
        })
    }

    /// Takes sound at the input rate.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let part = samples.len().min(self.chunk - self.pending.len());
            self.pending.extend_from_slice(&samples[..part]);
            samples = &samples[part..];
            if self.pending.len() == self.chunk {
                self.convert();
            }
        }
    }

    /// Samples at the output rate that are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Samples at the input rate still waiting for a whole chunk.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Moves up to `out.len()` ready samples out; returns how many.
    pub fn pop(&mut self, out: &mut [f32]) -> usize {
        let count = out.len().min(self.ready.len());
        for (slot, sample) in out.iter_mut().zip(self.ready.drain(..count)) {
            *slot = sample;
        }
        count
    }

    /// Forgets sound that has not been taken out.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.ready.clear();
        self.inner.reset();
    }

    fn convert(&mut self) {
        let room = self.output.len();
        let written = match (
            InterleavedSlice::new(self.pending.as_slice(), 1, self.chunk),
            InterleavedSlice::new_mut(self.output.as_mut_slice(), 1, room),
        ) {
            (Ok(input), Ok(mut output)) => {
                self.inner.process_into_buffer(&input, &mut output, None).map_or(0, |(_, written)| written)
            }
            _ => 0,
        };
        self.pending.clear();
        self.ready.extend(&self.output[..written]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rates_need_no_converter() {
        assert!(RateConverter::new(48_000, 48_000).is_none());
        assert!(RateConverter::new(0, 48_000).is_none());
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_loudness() {
        for (from, to) in [(44_100u32, 48_000u32), (48_000, 44_100), (16_000, 48_000), (96_000, 48_000)] {
            let mut converter = RateConverter::new(from, to).expect("different rates");
            let tone = |n: usize, rate: u32| (n as f64 * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin();
            let input: Vec<f32> = (0..from as usize).map(|n| tone(n, from) as f32 * 0.5).collect();
            for block in input.chunks(317) {
                converter.push(block);
            }
            let mut out = vec![0.0; to as usize];
            let count = converter.pop(&mut out);
            assert!(count.abs_diff(to as usize) < to as usize / 50, "{from}->{to}: {count}");
            let middle = &out[count / 4..count / 2];
            let (mut sine, mut cosine) = (0.0, 0.0);
            for (n, sample) in middle.iter().enumerate() {
                let phase = n as f64 * 440.0 * std::f64::consts::TAU / f64::from(to);
                sine += f64::from(*sample) * phase.sin();
                cosine += f64::from(*sample) * phase.cos();
            }
            let amplitude = 2.0 * (sine * sine + cosine * cosine).sqrt() / middle.len() as f64;
            assert!((amplitude - 0.5).abs() < 0.02, "{from}->{to}: amplitude {amplitude}");
        }
    }
}

//! Time-scale modification: makes a frame longer or shorter by whole pitch periods, keeping its pitch.
//!
//! Waveform similarity overlap-add: among all lags the one is taken at which the frame is most like
//! itself, and the frame is cross-faded with its copy that far away. First and last sample stay, so
//! the seams to the neighbouring frames stay as well.

use super::samples;

/// Shortest period: 400 Hz; shorter ones are multiples of each other anyway.
const LEAST_LAG: usize = samples(5) / 2;

/// Longest period: 80 Hz, a low voice; also the most one frame is changed by.
const MOST_LAG: usize = samples(25) / 2;

/// Longest cross-fade; as long as the comparison.
const MOST_OVERLAP: usize = samples(15) / 2;

/// Shortest cross-fade that hides a seam: frames too short for it are left alone.
const LEAST_OVERLAP: usize = samples(5) / 2;

/// The first search looks at every fourth sample and every fourth lag.
const COARSE: usize = 4;

/// Mean square below which a frame counts as silence and any cut is unheard (−50 dBFS).
const SILENCE_POWER: f32 = 1e-5;

/// How a frame may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Take one period out.
    Shorten,
    /// Put one period in.
    Lengthen,
}

/// Changes the length of `frame` by at most `most` samples if it is alike enough (similarity 0–1, at
/// least `alike`); returns by how many samples.
pub(super) fn stretch(frame: &mut Vec<f32>, change: Change, most: usize, alike: f32) -> usize {
    let most_lag = most.min(MOST_LAG).min(frame.len() * 5 / 8);
    let overlap = MOST_OVERLAP.min(frame.len() - most_lag);
    if most_lag < LEAST_LAG || overlap < LEAST_OVERLAP {
        return 0;
    }
    let power = power(frame);
    let (lag, similarity) = best_lag(frame, most_lag, overlap);
    if power > SILENCE_POWER && similarity < alike {
        return 0;
    }
    match change {
        Change::Shorten => shorten(frame, lag, overlap),
        Change::Lengthen => lengthen(frame, lag, overlap),
    }
    lag
}

fn shorten(frame: &mut Vec<f32>, lag: usize, overlap: usize) {
    for at in 0..overlap {
        let towards = (at as f32 + 0.5) / overlap as f32;
        frame[at] = frame[at] * (1.0 - towards) + frame[at + lag] * towards;
    }
    let end = frame.len();
    frame.copy_within(overlap + lag..end, overlap);
    frame.truncate(end - lag);
}

fn lengthen(frame: &mut Vec<f32>, lag: usize, overlap: usize) {
    let end = frame.len();
    frame.resize(end + lag, 0.0);
    frame.copy_within(overlap..end, overlap + lag);
    // The part that moved is in place; from `lag` on, what follows fades into what was one lag before.
    // Backwards, because each sample reads one `lag` earlier that must not yet be overwritten.
    for at in (0..overlap).rev() {
        let towards = (at as f32 + 0.5) / overlap as f32;
        let following = frame_before_move(frame, at + lag, overlap, lag);
        frame[at + lag] = following * (1.0 - towards) + frame[at] * towards;
    }
}

/// The sample that stood at `at` before everything from `overlap` on moved up by `lag`.
fn frame_before_move(frame: &[f32], at: usize, overlap: usize, lag: usize) -> f32 {
    if at < overlap { frame[at] } else { frame[at + lag] }
}

fn best_lag(frame: &[f32], most_lag: usize, overlap: usize) -> (usize, f32) {
    let coarse = (LEAST_LAG..=most_lag)
        .step_by(COARSE)
        .map(|lag| (lag, similarity(frame, lag, overlap, COARSE)))
        .fold((LEAST_LAG, f32::MIN), better);
    let from = coarse.0.saturating_sub(COARSE - 1).max(LEAST_LAG);
    let to = (coarse.0 + COARSE - 1).min(most_lag);
    (from..=to).map(|lag| (lag, similarity(frame, lag, overlap, 1))).fold((LEAST_LAG, f32::MIN), better)
}

fn better(best: (usize, f32), next: (usize, f32)) -> (usize, f32) {
    if next.1 > best.1 { next } else { best }
}

/// Normalised correlation of the frame's begin with itself, `lag` samples later.
fn similarity(frame: &[f32], lag: usize, overlap: usize, step: usize) -> f32 {
    let here = frame[..overlap].iter().step_by(step);
    let there = frame[lag..lag + overlap].iter().step_by(step);
    let (mut cross, mut own, mut other) = (0.0f32, 1e-9f32, 1e-9f32);
    for (a, b) in here.zip(there) {
        cross += a * b;
        own += a * a;
        other += b * b;
    }
    cross / (own * other).sqrt()
}

fn power(frame: &[f32]) -> f32 {
    frame.iter().map(|sample| sample * sample).sum::<f32>() / frame.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic_speech::{level, speech, tone};

    /// Cycles in a signal, by its rising zero crossings.
    fn cycles(signal: &[f32]) -> usize {
        signal.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count()
    }

    fn largest_step(signal: &[f32]) -> f32 {
        signal.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    fn all_frames(signal: &[f32], change: Change) -> Vec<f32> {
        let mut out = Vec::new();
        for frame in signal.chunks(960) {
            let mut frame = frame.to_vec();
            let before = frame.len();
            let by = stretch(&mut frame, change, 600, 0.9);
            let expected = match change {
                Change::Shorten => before - by,
                Change::Lengthen => before + by,
            };
            assert_eq!(frame.len(), expected);
            out.extend(frame);
        }
        out
    }

    #[test]
    fn a_tone_keeps_its_pitch_while_its_length_changes() {
        for frequency in [110.0, 200.0, 437.0, 1_000.0] {
            let original = tone(frequency, 48_000);
            for change in [Change::Shorten, Change::Lengthen] {
                let changed = all_frames(&original, change);
                let ratio = changed.len() as f32 / 48_000.0;
                match change {
                    Change::Shorten => assert!(ratio < 0.9, "{frequency} Hz: {ratio}"),
                    Change::Lengthen => assert!(ratio > 1.1, "{frequency} Hz: {ratio}"),
                }
                let pitch = cycles(&changed) as f32 / (changed.len() as f32 / 48_000.0);
                assert!((pitch - frequency).abs() < frequency * 0.02 + 1.0, "{frequency} Hz became {pitch} Hz");
                assert!(largest_step(&changed) < 1.3 * largest_step(&original), "no clicks");
                assert!((level(&changed) / level(&original) - 1.0).abs() < 0.05, "no holes");
            }
        }
    }

    #[test]
    fn lengthening_is_the_crossfade_it_claims_to_be() {
        let frame: Vec<f32> = speech(8, 48_000)[24_000..24_960].to_vec();
        for (lag, overlap) in [(120, 360), (360, 360), (600, 360), (200, 120)] {
            let mut changed = frame.clone();
            lengthen(&mut changed, lag, overlap);
            let mut expected = frame[..lag].to_vec();
            for at in 0..overlap {
                let towards = (at as f32 + 0.5) / overlap as f32;
                expected.push(frame[lag + at] * (1.0 - towards) + frame[at] * towards);
            }
            expected.extend_from_slice(&frame[overlap..]);
            assert_eq!(changed, expected);
        }
    }

    #[test]
    fn speech_is_changed_where_it_repeats_itself_and_noise_is_left_alone() {
        let said = speech(9, 96_000);
        assert!(all_frames(&said, Change::Shorten).len() < 86_000);
        let mut random = crate::synthetic_speech::Random(5);
        let mut noise: Vec<f32> = (0..960).map(|_| random.unit()).collect();
        assert_eq!(stretch(&mut noise, Change::Shorten, 600, 0.88), 0);
        assert!(stretch(&mut noise, Change::Shorten, 600, -1.0) > 0);
    }

    #[test]
    fn silence_is_changed_at_will_and_too_short_frames_are_not() {
        assert!(stretch(&mut vec![0.0; 960], Change::Lengthen, 960, 0.9) > 0);
        assert_eq!(stretch(&mut vec![0.0; 960], Change::Shorten, 100, 0.9), 0);
        assert_eq!(stretch(&mut vec![0.0; 120], Change::Shorten, 600, 0.9), 0);
        assert_eq!(stretch(&mut Vec::new(), Change::Shorten, 600, 0.9), 0);
    }
}

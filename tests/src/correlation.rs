//! How alike two recordings of the same speech are, after alignment.
//!
//! A playout buffer stretches and shrinks sound by milliseconds, so one global shift is not enough:
//! the recordings are aligned coarsely by loudness, then every fifth of a second of sent speech finds
//! its best place in the received one, and the correlations are averaged weighted by energy. Longer
//! pieces would mostly contain a stretched place, which no single shift fits.

/// Both recordings are compared below 4 kHz, where speech has its energy.
const COMPARE_RATE_HZ: usize = 8_000;
/// Resolution of the coarse alignment: 10 ms.
const ENVELOPE_HZ: usize = 100;
/// Length of one compared piece: 0.2 s.
const PIECE_SAMPLES: usize = COMPARE_RATE_HZ / 5;
/// How far a piece may lie from its coarse place: 60 ms.
const PIECE_SLACK_SAMPLES: usize = COMPARE_RATE_HZ * 60 / 1000;
/// Shorter recordings say nothing.
const MIN_SECONDS: usize = 1;

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Energy-weighted mean of the pieces' correlation coefficients, −1 to 1.
    pub correlation: f32,
    /// Where the sent speech starts in the received recording, in milliseconds.
    pub offset_ms: u32,
    /// Share of the sent speech's energy that was compared, 0 to 1.
    pub compared: f32,
}

/// Compares `received` with `sent`, both mono at `rate_hz` (a multiple of 8 kHz).
/// `None` if either is too short, or nothing of the sent speech fits into the received one.
pub fn compare(sent: &[f32], received: &[f32], rate_hz: usize) -> Option<Likeness> {
    let sent = decimate(sent, rate_hz / COMPARE_RATE_HZ);
    let received = decimate(received, rate_hz / COMPARE_RATE_HZ);
    if sent.len().min(received.len()) < MIN_SECONDS * COMPARE_RATE_HZ {
        return None;
    }
    let start = coarse_offset(&sent, &received);
    let total: f32 = sent.iter().map(|x| x * x).sum();
    let (mut weighted, mut weight) = (0.0, 0.0);
    for (index, piece) in sent.chunks_exact(PIECE_SAMPLES).enumerate() {
        let energy: f32 = piece.iter().map(|x| x * x).sum();
        let at = start + index * PIECE_SAMPLES;
        if energy > 0.0 && at + PIECE_SAMPLES <= received.len() {
            weighted += energy * best_near(piece, &received, at);
            weight += energy;
        }
    }
    (weight > 0.0).then(|| Likeness {
        correlation: weighted / weight,
        offset_ms: (start * 1000 / COMPARE_RATE_HZ) as u32,
        compared: weight / total,
    })
}

/// Best correlation of `piece` with `received` around sample `at`: every second place first, since speech
/// hardly changes within an eighth of a millisecond, then the neighbours of the best one.
fn best_near(piece: &[f32], received: &[f32], at: usize) -> f32 {
    let first = at.saturating_sub(PIECE_SLACK_SAMPLES);
    let last = (at + PIECE_SLACK_SAMPLES).min(received.len() - piece.len());
    let fit = |lag: usize| coefficient(piece, &received[lag..lag + piece.len()]);
    let (mut best, mut best_lag) = (-1.0, first);
    for lag in (first..=last).step_by(2) {
        let found = fit(lag);
        if found > best {
            (best, best_lag) = (found, lag);
        }
    }
    [best_lag.saturating_sub(1).max(first), (best_lag + 1).min(last)].into_iter().map(fit).fold(best, f32::max)
}

fn coefficient(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (x, y) in a.iter().zip(b) {
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Lag, in samples, at which the loudness curves agree best; the received one may start later.
fn coarse_offset(sent: &[f32], received: &[f32]) -> usize {
    let (sent, received) = (envelope(sent), envelope(received));
    let score = |lag: usize| -> f32 { sent.iter().zip(&received[lag..]).map(|(x, y)| x * y).sum() };
    let best = (0..received.len()).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0);
    best * COMPARE_RATE_HZ / ENVELOPE_HZ
}

/// Loudness per 10 ms, mean removed so that silence counts against speech.
fn envelope(samples: &[f32]) -> Vec<f32> {
    let loud = |block: &[f32]| (block.iter().map(|x| x * x).sum::<f32>() / block.len() as f32).sqrt();
    let curve: Vec<f32> = samples.chunks(COMPARE_RATE_HZ / ENVELOPE_HZ).map(loud).collect();
    let mean = curve.iter().sum::<f32>() / curve.len() as f32;
    curve.into_iter().map(|x| x - mean).collect()
}

/// Low-pass by two moving averages, then every `factor`-th sample.
fn decimate(samples: &[f32], factor: usize) -> Vec<f32> {
    let average = |input: &[f32]| -> Vec<f32> {
        input.windows(factor).map(|window| window.iter().sum::<f32>() / factor as f32).collect()
    };
    if factor <= 1 || samples.len() < 2 * factor {
        return samples.to_vec();
    }
    average(&average(samples)).into_iter().step_by(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something with the rhythm of speech: bursts of a gliding tone between pauses.
    fn speech(seconds: usize, seed: f32) -> Vec<f32> {
        (0..seconds * 48_000)
            .map(|n| {
                let t = n as f32 / 48_000.0;
                let loud = (t * (2.1 + seed) * 3.0).sin().max(0.0) * (t * 1.3).cos().abs();
                loud * (t * 900.0 + (t * 5.0 + seed).sin() * 40.0).sin()
            })
            .collect()
    }

    #[test]
    fn a_late_and_quieter_copy_is_the_same_speech() {
        let sent = speech(4, 0.0);
        let mut received = vec![0.0; 33_333];
        received.extend(sent.iter().map(|x| x * 0.4));
        let likeness = compare(&sent, &received, 48_000).unwrap();
        assert!(likeness.correlation > 0.99, "{likeness:?}");
        assert!(likeness.compared > 0.8, "{likeness:?}");
        assert!(likeness.offset_ms.abs_diff(694) <= 20, "{likeness:?}");
    }

    #[test]
    fn other_speech_noise_and_silence_are_not_the_same_speech() {
        let sent = speech(4, 0.0);
        let other = compare(&sent, &speech(4, 0.7), 48_000).unwrap();
        assert!(other.correlation < 0.6, "{other:?}");
        let silence = compare(&sent, &vec![0.0; sent.len()], 48_000);
        assert!(silence.is_none_or(|likeness| likeness.correlation < 0.1), "{silence:?}");
        assert_eq!(compare(&vec![0.0; 96_000], &sent, 48_000), None);
        assert_eq!(compare(&sent, &sent[..20_000], 48_000), None);
    }
}

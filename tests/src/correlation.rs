//! How alike two recordings of the same speech are, after alignment.
//!
//! A playout buffer stretches and shrinks sound by milliseconds, so one global shift is not enough:
//! the recordings are aligned coarsely by loudness, then every fifth of a second of sent speech finds
//! its best place in the received one, near where the piece before it was found, and the correlations
//! are averaged weighted by energy. Longer pieces would mostly contain a stretched place, which no
//! single shift fits; on a busy machine the buffer's wait may grow by a tenth of a second within a word.

/// Both recordings are compared below 4 kHz, where speech has its energy.
const COMPARE_RATE_HZ: usize = 8_000;
/// Resolution of the coarse alignment: 10 ms.
const ENVELOPE_HZ: usize = 100;
/// Length of one compared piece: 0.2 s.
const PIECE_SAMPLES: usize = COMPARE_RATE_HZ / 5;
/// How far a piece usually lies from where the piece before it lets it be expected: 60 ms.
const PIECE_SLACK_SAMPLES: usize = COMPARE_RATE_HZ * 60 / 1000;
/// How far it may lie after a stall of the machine, which the playout buffer answers with a longer wait: 200 ms.
const STALL_SLACK_SAMPLES: usize = COMPARE_RATE_HZ * 200 / 1000;
/// A piece that fits less well is looked for further away, and says nothing about where the next one lies.
const GOOD_FIT: f32 = 0.8;
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
    let (mut weighted, mut weight, mut lag) = (0.0, 0.0, start);
    for (index, piece) in sent.chunks_exact(PIECE_SAMPLES).enumerate() {
        let energy: f32 = piece.iter().map(|x| x * x).sum();
        let (before, at) = (index * PIECE_SAMPLES, lag + index * PIECE_SAMPLES);
        if energy > 0.0 && at + PIECE_SAMPLES <= received.len() {
            let (mut found, mut correlation) = best_near(piece, &received, at, PIECE_SLACK_SAMPLES);
            if correlation < GOOD_FIT {
                (found, correlation) = best_near(piece, &received, at, STALL_SLACK_SAMPLES);
            }
            if correlation >= GOOD_FIT {
                lag = found.saturating_sub(before);
            }
            weighted += energy * correlation;
            weight += energy;
        }
    }
    (weight > 0.0).then(|| Likeness {
        correlation: weighted / weight,
        offset_ms: (start * 1000 / COMPARE_RATE_HZ) as u32,
        compared: weight / total,
    })
}

/// Where within `slack` of sample `at` of `received` the `piece` fits best, and its correlation there: every second
/// place first, since speech hardly changes within an eighth of a millisecond, then the neighbours of the best one.
fn best_near(piece: &[f32], received: &[f32], at: usize, slack: usize) -> (usize, f32) {
    let first = at.saturating_sub(slack);
    let last = (at + slack).min(received.len() - piece.len());
    let fit = |place: usize| (place, coefficient(piece, &received[place..place + piece.len()]));
    let better = |a: (usize, f32), b: (usize, f32)| if b.1 > a.1 { b } else { a };
    let best = (first..=last).step_by(2).map(fit).fold((at, -1.0), better);
    [best.0.saturating_sub(1).max(first), (best.0 + 1).min(last)].into_iter().map(fit).fold(best, better)
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
    fn speech_that_comes_later_and_later_is_followed() {
        let sent = speech(8, 0.0);
        let mut received = Vec::new();
        for piece in sent.chunks(24_000) {
            received.extend_from_slice(piece);
            // Each half second 20 ms more: 300 ms in the end.
            received.extend(vec![0.0; 960]);
        }
        let likeness = compare(&sent, &received, 48_000).unwrap();
        assert!(likeness.correlation > 0.9 && likeness.compared > 0.9, "{likeness:?}");
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

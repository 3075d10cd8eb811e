//! How much later a listener hears what was said, by laying pieces of both recordings upon each other.
//!
//! The delay is counted from the moment a sound is made: a frame begins one packet length before it is complete.

/// Both recordings are compared at this rate: an eighth of a millisecond is fine enough.
const RATE_HZ: usize = 8_000;
const DECIMATION: usize = undertone_media::SAMPLE_RATE_HZ as usize / RATE_HZ;
/// Length of one piece: a syllable, shorter than most of the playout buffer's changes are apart.
const PIECE: usize = RATE_HZ / 4;
/// A piece is laid on every half second.
const STEP: usize = RATE_HZ / 2;
/// The first piece may be so late: longer than any delay a person would put up with.
const MAX_LAG: usize = RATE_HZ / 2;
/// Later pieces are looked for so near to the one before: what the playout buffer can change in a moment.
const NEAR: usize = RATE_HZ / 20;
/// Pieces that fit worse were damaged too much to tell when they came.
const MIN_FIT: f32 = 0.8;
/// Pieces quieter than this, in mean power, are pauses.
const MIN_POWER: f32 = 1e-5;

/// From mouth to ear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Delay {
    /// Half of the pieces came within this time.
    pub(super) median_ms: f32,
    /// All but one of twenty pieces came within this time.
    pub(super) p95_ms: f32,
}

/// Measures the delay; both recordings are at 48 kHz and begin when the first frame was complete.
pub(super) fn mouth_to_ear(said: &[f32], heard: &[f32]) -> Option<Delay> {
    let (said, heard) = (decimate(said), decimate(heard));
    let mut lags = Vec::new();
    let mut near: Option<usize> = None;
    for at in (0..said.len().saturating_sub(PIECE)).step_by(STEP) {
        let piece = &said[at..at + PIECE];
        let power = piece.iter().map(|x| x * x).sum::<f32>() / PIECE as f32;
        if power < MIN_POWER {
            continue;
        }
        let range = near.map_or(0..MAX_LAG, |lag| lag.saturating_sub(NEAR)..lag + NEAR);
        let fits = range.filter_map(|lag| Some((lag, fit(piece, heard.get(at + lag..at + lag + PIECE)?))));
        if let Some((lag, _)) = fits.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, fit)| *fit >= MIN_FIT) {
            lags.push(lag);
            near = Some(lag);
        }
    }
    lags.sort_unstable();
    let packet_ms = f32::from(undertone_media::session::DEFAULT_PTIME_MS);
    let at = |share: f32| {
        let index = ((lags.len() as f32 * share) as usize).min(lags.len().checked_sub(1)?);
        Some(lags[index] as f32 * 1000.0 / RATE_HZ as f32 + packet_ms)
    };
    Some(Delay { median_ms: at(0.5)?, p95_ms: at(0.95)? })
}

fn fit(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (x, y) in a.iter().zip(b) {
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Mean of every six samples: coarse, but the same for both recordings.
fn decimate(samples: &[f32]) -> Vec<f32> {
    samples.chunks_exact(DECIMATION).map(|block| block.iter().sum::<f32>() / DECIMATION as f32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_delay_is_found_to_the_millisecond() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        // Noise held for half a millisecond: nothing in it repeats.
        let said: Vec<f32> = (0..4_000).flat_map(|_| vec![noise(); 24]).collect();
        let mut heard = vec![0.0; 48 * 35];
        heard.extend(said.iter().map(|x| x * 0.5));
        let delay = mouth_to_ear(&said, &heard).unwrap();
        assert!((delay.median_ms - 55.0).abs() <= 0.2 && (delay.p95_ms - 55.0).abs() <= 0.2, "{delay:?}");
    }

    #[test]
    fn silence_has_no_delay() {
        assert_eq!(mouth_to_ear(&[0.0; 96_000], &[0.0; 96_000]), None);
        assert_eq!(mouth_to_ear(&[], &[]), None);
    }
}

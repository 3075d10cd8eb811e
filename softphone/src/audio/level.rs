//! A level meter: loudness of a stretch of sound in decibels below full scale, and as a bar of characters.

/// Quieter than this is shown as nothing: 16-bit sound has no more to say.
const FLOOR_DBFS: f32 = -60.0;

/// Collects sound until it is read.
#[derive(Debug, Default)]
pub struct Level {
    energy: f64,
    samples: u64,
    peak: f32,
}

impl Level {
    /// Adds sound to the current stretch.
    pub fn add(&mut self, samples: &[f32]) {
        for sample in samples {
            self.energy += f64::from(*sample) * f64::from(*sample);
            self.peak = self.peak.max(sample.abs());
        }
        self.samples += samples.len() as u64;
    }

    /// Loudness of the stretch in dBFS (−60 for silence), and whether it was clipped; a new stretch begins.
    pub fn take(&mut self) -> (f32, bool) {
        let Self { energy, samples, peak } = std::mem::take(self);
        let rms = if samples == 0 { 0.0 } else { (energy / samples as f64).sqrt() };
        let dbfs = if rms > 0.0 { (20.0 * rms.log10()) as f32 } else { FLOOR_DBFS };
        (dbfs.max(FLOOR_DBFS), peak >= 0.999)
    }
}

/// A bar of `width` characters for a loudness.
#[must_use]
pub fn bar(dbfs: f32, width: usize) -> String {
    let part = ((dbfs - FLOOR_DBFS) / -FLOOR_DBFS).clamp(0.0, 1.0);
    let full = (part * width as f32).round() as usize;
    format!("{}{}", "#".repeat(full), "-".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_the_floor_and_full_scale_is_zero() {
        let mut level = Level::default();
        assert_eq!(level.take(), (-60.0, false));
        level.add(&[1.0, -1.0, 1.0, -1.0]);
        let (dbfs, clipped) = level.take();
        assert!(dbfs.abs() < 0.01 && clipped);
        level.add(&[0.1; 100]);
        assert!((level.take().0 + 20.0).abs() < 0.01);
    }

    #[test]
    fn the_bar_is_always_as_wide_as_asked() {
        for dbfs in [-200.0, -60.0, -30.0, 0.0, 20.0, f32::NAN] {
            assert_eq!(bar(dbfs, 20).len(), 20);
        }
        assert_eq!(bar(-30.0, 4), "##--");
    }
}

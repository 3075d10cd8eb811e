//! A WAV file in place of a microphone: played once, in real time, from the start of each call, then silence.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavReader};

use super::error::SoundError;
use super::pace::Pace;
use super::rate::RateConverter;
use super::{Microphone, SAMPLE_RATE_HZ, duration_of};

/// The longest file: it is held in memory, 11 MB a minute.
const MAX_MINUTES: u32 = 30;

/// The sound of one file, mono at 48 kHz, shared by the calls that play it.
#[derive(Debug, Clone)]
pub struct WavSound {
    samples: Arc<[f32]>,
}

/// Plays a [`WavSound`] in real time.
#[derive(Debug)]
pub struct WavMicrophone {
    sound: WavSound,
    position: usize,
    pace: Pace,
}

impl WavSound {
    /// Reads a PCM or float WAV file of any rate and number of channels.
    ///
    /// # Errors
    /// When it is missing, is no WAV file, or is too long.
    pub fn read(path: &Path) -> Result<Self, SoundError> {
        let fail = |why: String| SoundError::ReadWav { path: path.to_owned(), why };
        let mut reader = WavReader::open(path).map_err(|error| fail(error.to_string()))?;
        let spec = reader.spec();
        if spec.channels == 0 || spec.sample_rate == 0 {
            return Err(fail("no channels or no sample rate".to_owned()));
        }
        if reader.duration() / spec.sample_rate >= MAX_MINUTES * 60 {
            return Err(SoundError::LongWav { path: path.to_owned(), limit_minutes: MAX_MINUTES });
        }
        let interleaved: Result<Vec<f32>, _> = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().collect(),
            SampleFormat::Int => {
                let scale = 1.0 / f64::from(1u32 << (spec.bits_per_sample.clamp(1, 32) - 1));
                reader.samples::<i32>().map(|sample| sample.map(|sample| (f64::from(sample) * scale) as f32)).collect()
            }
        };
        let interleaved = interleaved.map_err(|error| fail(error.to_string()))?;
        let channels = usize::from(spec.channels);
        let mono: Vec<f32> = interleaved
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .map(|sample| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 })
            .collect();
        Ok(Self { samples: convert(mono, spec.sample_rate).into() })
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration_of(self.samples.len(), SAMPLE_RATE_HZ)
    }

    /// A microphone for one call.
    #[must_use]
    pub fn microphone(&self) -> WavMicrophone {
        WavMicrophone { sound: self.clone(), position: 0, pace: Pace::default() }
    }
}

impl Microphone for WavMicrophone {
    fn start(&mut self, now: Instant) {
        self.position = 0;
        self.pace.start(now);
    }

    fn read_frame(&mut self, frame: &mut [f32], now: Instant) -> bool {
        if !self.pace.beat(duration_of(frame.len(), SAMPLE_RATE_HZ), now) {
            return false;
        }
        let rest = self.sound.samples.get(self.position..).unwrap_or_default();
        let count = rest.len().min(frame.len());
        frame[..count].copy_from_slice(&rest[..count]);
        frame[count..].fill(0.0);
        self.position += count;
        true
    }

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

fn convert(mono: Vec<f32>, rate_hz: u32) -> Vec<f32> {
    let Some(mut converter) = RateConverter::new(rate_hz, SAMPLE_RATE_HZ) else { return mono };
    let mut out = Vec::with_capacity(mono.len() * SAMPLE_RATE_HZ as usize / rate_hz as usize + SAMPLE_RATE_HZ as usize);
    let tail = vec![0.0; rate_hz as usize / 50];
    for block in mono.chunks(rate_hz as usize / 10 + 1).chain(std::iter::once(tail.as_slice())) {
        converter.push(block);
        let from = out.len();
        out.resize(from + converter.ready(), 0.0);
        converter.pop(&mut out[from..]);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    #[test]
    fn a_file_plays_once_in_real_time_and_again_in_the_next_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.wav");
        write(&path, 1, 48_000, &[8192; 1000]);
        let mut microphone = WavSound::read(&path).unwrap().microphone();
        let start = Instant::now();
        let mut frame = [9.0; 960];
        assert!(!microphone.read_frame(&mut frame, start), "nothing before the call");
        for call in 0..2 {
            let start = start + Duration::from_secs(call);
            microphone.start(start);
            assert!(microphone.read_frame(&mut frame, start));
            assert!(frame.iter().all(|sample| *sample == 0.25));
            assert!(!microphone.read_frame(&mut frame, start + Duration::from_millis(19)), "no faster than real time");
            assert!(microphone.read_frame(&mut frame, start + FRAME));
            assert_eq!(frame.iter().filter(|sample| **sample == 0.25).count(), 40);
            assert!(microphone.read_frame(&mut frame, start + 2 * FRAME), "silence goes on");
            assert!(frame.iter().all(|sample| *sample == 0.0));
        }
    }

    #[test]
    fn stereo_at_another_rate_is_mixed_and_converted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stereo.wav");
        let interleaved: Vec<i16> = (0..16_000).flat_map(|_| [16_384, 0]).collect();
        write(&path, 2, 16_000, &interleaved);
        let sound = WavSound::read(&path).unwrap();
        assert!((sound.duration().as_secs_f64() - 1.0).abs() < 0.03);
        assert!((sound.samples[24_000] - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_missing_or_broken_file_is_one_clear_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not.wav");
        let missing = WavSound::read(&path).unwrap_err().to_string();
        assert!(missing.contains("not.wav") && missing.contains("--mic"), "{missing}");
        std::fs::write(&path, b"RIFF nonsense").unwrap();
        assert!(WavSound::read(&path).is_err());
    }

    fn write(path: &Path, channels: u16, sample_rate: u32, samples: &[i16]) {
        let spec = hound::WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
    }
}

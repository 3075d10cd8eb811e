//! A WAV file in place of a speaker. The file is valid at every moment from its creation on: the header is written
//! again twice a second, so a phone that is killed leaves at most half a second unheard.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::error::SoundError;
use super::pace::Pace;
use super::{SAMPLE_RATE_HZ, Speaker};

/// Sound is taken from the call in blocks of this length.
const BLOCK: Duration = Duration::from_millis(10);
const BLOCK_SAMPLES: usize = (SAMPLE_RATE_HZ / 100) as usize;
/// The header is renewed after this many samples.
const FLUSH_SAMPLES: usize = (SAMPLE_RATE_HZ / 2) as usize;
/// A WAV header counts bytes in 32 bits: recording stops before it overflows, after 12 hours.
const MAX_SAMPLES: u64 = 12 * 3600 * SAMPLE_RATE_HZ as u64;

/// One file that several calls write to in turn.
#[derive(Clone)]
pub struct WavRecording {
    shared: Arc<Mutex<Recording>>,
}

struct Recording {
    writer: Option<WavWriter<BufWriter<File>>>,
    path: PathBuf,
    since_flush: usize,
    total: u64,
}

impl std::fmt::Debug for WavRecording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WavRecording")
    }
}

impl WavRecording {
    /// Creates the file, valid and empty.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, SoundError> {
        let spec =
            WavSpec { channels: 1, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(path, spec).map_err(|error| unwritable(path, &error))?;
        writer.flush().map_err(|error| unwritable(path, &error))?;
        let recording = Recording { writer: Some(writer), path: path.to_owned(), since_flush: 0, total: 0 };
        Ok(Self { shared: Arc::new(Mutex::new(recording)) })
    }

    /// A speaker for one call.
    #[must_use]
    pub fn speaker(&self) -> WavSpeaker {
        WavSpeaker { recording: self.clone(), pace: Pace::default() }
    }

    /// Writes the last samples and the final header.
    ///
    /// # Errors
    /// When the file could not be written, now or earlier.
    pub fn finish(&self) -> Result<(), SoundError> {
        let mut recording = self.lock();
        let path = recording.path.clone();
        match recording.writer.take() {
            Some(writer) => writer.finalize().map_err(|error| unwritable(&path, &error)),
            None => Err(SoundError::WriteWav { path, why: "the disk is full or the recording was ended".to_owned() }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recording> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn write(&mut self, samples: &[f32]) {
        self.total += samples.len() as u64;
        self.since_flush += samples.len();
        let flush = self.since_flush >= FLUSH_SAMPLES;
        let Some(writer) = &mut self.writer else { return };
        let mut result = samples.iter().try_for_each(|sample| writer.write_sample(to_i16(*sample)));
        if flush && result.is_ok() {
            result = writer.flush();
        }
        if flush {
            self.since_flush = 0;
        }
        // A full disk ends the recording, never the call.
        if result.is_err() || self.total > MAX_SAMPLES {
            self.writer = None;
        }
    }
}

/// Writes one call's sound to a [`WavRecording`] in real time.
#[derive(Debug)]
pub struct WavSpeaker {
    recording: WavRecording,
    pace: Pace,
}

impl Speaker for WavSpeaker {
    fn start(&mut self, now: Instant) {
        self.pace.start(now);
    }

    fn wanted(&mut self, now: Instant) -> usize {
        if self.pace.beat(BLOCK, now) { BLOCK_SAMPLES } else { 0 }
    }

    fn write(&mut self, samples: &[f32], _now: Instant) {
        self.recording.lock().write(samples);
    }

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

impl Drop for WavSpeaker {
    fn drop(&mut self) {
        let mut recording = self.recording.lock();
        let ended = recording.writer.as_mut().is_some_and(|writer| writer.flush().is_err());
        if ended {
            recording.writer = None;
        }
    }
}

fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16
}

fn unwritable(path: &Path, error: &hound::Error) -> SoundError {
    SoundError::WriteWav { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_valid_before_during_and_after_a_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let recording = WavRecording::create(&path).unwrap();
        assert_eq!(length(&path), 0);
        let mut speaker = recording.speaker();
        let start = Instant::now();
        speaker.start(start);
        for block in 0..151 {
            let now = start + BLOCK * block;
            let wanted = speaker.wanted(now);
            speaker.write(&vec![0.5; wanted], now);
        }
        let during = length(&path);
        assert!((72_000 - 24_000..=72_480).contains(&during), "at most half a second is missing: {during}");
        drop(speaker);
        assert_eq!(length(&path), 151 * 480, "the end of a call flushes");
        recording.finish().unwrap();
        assert_eq!(length(&path), 151 * 480);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_one_clear_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/heard.wav");
        let text = WavRecording::create(&path).unwrap_err().to_string();
        assert!(text.contains("missing/heard.wav") && text.contains("--speaker"), "{text}");
    }

    fn length(path: &Path) -> u32 {
        hound::WavReader::open(path).unwrap().len()
    }
}

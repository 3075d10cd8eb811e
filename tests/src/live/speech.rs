//! Spoken test sentences, rendered by espeak-ng, and recordings read back.

use super::process::LiveError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the test voice says: about nine seconds with pauses and all kinds of sounds.
const TEXT: &str = "Hello, this is Undertone. Nobody listens to this call, and nobody can tell where I am. \
     The quick brown fox jumps over the lazy dog, while seven wizards keep watch.";

/// Sampling rate of all recordings.
const RATE_HZ: u32 = 48_000;

/// A sentence as 48 kHz mono wav.
pub struct Speech {
    /// The file.
    pub file: PathBuf,
    /// Its samples, −1 to 1.
    pub samples: Vec<f32>,
}

impl Speech {
    /// Renders the sentence in `voice` (such as `en` or `fr`) into `folder`; `lead_in_ms` of silence come first.
    pub fn render(folder: &Path, name: &str, voice: &str, lead_in_ms: usize) -> Result<Self, LiveError> {
        let raw = folder.join(format!("{name}-22k.wav"));
        let file = folder.join(format!("{name}.wav"));
        let output = Command::new("espeak-ng").args(["-v", voice, "-s", "150", "-w"]).arg(&raw).arg(TEXT).output();
        let output = output.map_err(|reason| LiveError::Io { what: "starting espeak-ng".into(), reason })?;
        if !output.status.success() {
            return Err(LiveError::Failed {
                name: "espeak-ng".into(),
                said: String::from_utf8_lossy(&output.stderr).into(),
            });
        }
        let mut samples = vec![0.0; lead_in_ms * RATE_HZ as usize / 1000];
        samples.extend(upsample(&read_any_rate(&raw)?));
        write_wav(&file, &samples, 1)?;
        Ok(Self { file, samples })
    }
}

/// Reads a 48 kHz wav; of several channels the first.
pub fn read_wav(file: &Path) -> Result<Vec<f32>, LiveError> {
    let (rate, samples) = read_any_rate(file)?;
    if rate != RATE_HZ {
        return Err(LiveError::Sound(format!("{} has {rate} Hz instead of {RATE_HZ}", file.display())));
    }
    Ok(samples)
}

fn read_any_rate(file: &Path) -> Result<(u32, Vec<f32>), LiveError> {
    let refuse = |reason: hound::Error| LiveError::Sound(format!("cannot read {}: {reason}", file.display()));
    let mut reader = hound::WavReader::open(file).map_err(refuse)?;
    let spec = reader.spec();
    // linphonec writes its header over the first samples, so that the announced last ones are missing.
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().map_while(Result::ok).collect(),
        hound::SampleFormat::Int => {
            reader.samples::<i16>().map_while(Result::ok).map(|s| f32::from(s) / 32_768.0).collect()
        }
    };
    Ok((spec.sample_rate, samples.into_iter().step_by(usize::from(spec.channels)).collect()))
}

/// To 48 kHz by straight lines between samples: good enough for a test voice that is compared with itself.
fn upsample((rate, samples): &(u32, Vec<f32>)) -> Vec<f32> {
    let step = f64::from(*rate) / f64::from(RATE_HZ);
    let count = (samples.len() as f64 / step) as usize;
    (0..count)
        .map(|n| {
            let position = n as f64 * step;
            let at = position as usize;
            let next = samples.get(at + 1).copied().unwrap_or_default();
            samples[at] + (next - samples[at]) * (position - at as f64) as f32
        })
        .collect()
}

/// Writes 48 kHz wav with the same sound on all channels.
pub(super) fn write_wav(file: &Path, samples: &[f32], channels: u16) -> Result<(), LiveError> {
    let refuse = |reason: hound::Error| LiveError::Sound(format!("cannot write {}: {reason}", file.display()));
    let spec =
        hound::WavSpec { channels, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(file, spec).map_err(refuse)?;
    for sample in samples {
        for _ in 0..channels {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).map_err(refuse)?;
        }
    }
    writer.finalize().map_err(refuse)
}

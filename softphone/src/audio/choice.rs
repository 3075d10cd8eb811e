//! What `--mic` and `--speaker` may say: a device name, a WAV file, or nothing at all.

use std::path::{Path, PathBuf};

/// Where captured sound shall come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MicrophoneChoice {
    /// The system's default microphone.
    #[default]
    Default,
    /// A device by its name or id as `undertone devices` prints it.
    Named(String),
    /// A WAV file, played once from the start of each call, then silence.
    Wav(PathBuf),
    /// No sound at all (`silence`).
    Silence,
}

/// Where received sound shall go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SpeakerChoice {
    /// The system's default speaker.
    #[default]
    Default,
    /// A device by its name or id as `undertone devices` prints it.
    Named(String),
    /// A WAV file, written while calls last.
    Wav(PathBuf),
    /// Nowhere (`none`).
    Nowhere,
}

impl MicrophoneChoice {
    /// Reads the value of `--mic`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "default" => Self::Default,
            "silence" => Self::Silence,
            _ if is_wav(text) => Self::Wav(PathBuf::from(text)),
            _ => Self::Named(text.to_owned()),
        }
    }
}

impl SpeakerChoice {
    /// Reads the value of `--speaker`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "default" => Self::Default,
            "none" => Self::Nowhere,
            _ if is_wav(text) => Self::Wav(PathBuf::from(text)),
            _ => Self::Named(text.to_owned()),
        }
    }
}

fn is_wav(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("wav"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_file_is_told_from_a_device_name() {
        assert_eq!(MicrophoneChoice::parse("a/B.WAV"), MicrophoneChoice::Wav("a/B.WAV".into()));
        assert_eq!(MicrophoneChoice::parse("USB Headset"), MicrophoneChoice::Named("USB Headset".into()));
        assert_eq!(SpeakerChoice::parse("out.wav"), SpeakerChoice::Wav("out.wav".into()));
        assert_eq!(SpeakerChoice::parse("wav"), SpeakerChoice::Named("wav".into()));
    }

    #[test]
    fn silence_and_nowhere_have_words() {
        assert_eq!(MicrophoneChoice::parse("silence"), MicrophoneChoice::Silence);
        assert_eq!(SpeakerChoice::parse("none"), SpeakerChoice::Nowhere);
        assert_eq!(MicrophoneChoice::parse("default"), MicrophoneChoice::Default);
    }
}

//! The sound of this phone: what `--mic` and `--speaker` chose, opened for one call at a time.

use std::sync::mpsc::{Receiver, sync_channel};

use super::choice::{MicrophoneChoice, SpeakerChoice};
use super::error::{End, SoundError};
use super::silence::{Nowhere, Silence};
use super::stream::{open_microphone, open_speaker};
use super::supervisor::{Devices, FIRST_BLOCK_FRAMES, Notify, Supervisor};
use super::wav_microphone::WavSound;
use super::wav_speaker::WavRecording;
use super::{Microphone, Speaker, device, echo};

/// Both ends may change twice before the media thread looks; the supervisor waits beyond that.
const CHANGES: usize = 4;

/// A device that came or went while a call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundNotice {
    /// Silence stands in for it.
    Lost(End),
    /// It is used again.
    Back(End),
}

/// A new end for the media thread.
pub enum SoundChange {
    /// Replaces the microphone.
    Microphone(Box<dyn Microphone>),
    /// Replaces the speaker.
    Speaker(Box<dyn Speaker>),
}

/// The sound of one call, handed to its media thread.
pub struct CallSound {
    /// Where sound comes from at first.
    pub microphone: Box<dyn Microphone>,
    /// Where sound goes at first.
    pub speaker: Box<dyn Speaker>,
    /// Ends that replace them.
    pub changes: Receiver<SoundChange>,
}

impl std::fmt::Debug for SoundChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Microphone(_) => "SoundChange::Microphone",
            Self::Speaker(_) => "SoundChange::Speaker",
        })
    }
}

impl std::fmt::Debug for CallSound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallSound")
    }
}

/// The chosen ends.
#[derive(Debug)]
pub struct Sound {
    ends: Ends,
    supervisor: Option<Supervisor>,
}

#[derive(Debug)]
enum Ends {
    Echo,
    Chosen { microphone: MicrophoneEnd, speaker: SpeakerEnd },
}

#[derive(Debug)]
enum MicrophoneEnd {
    Device,
    Wav(WavSound),
    Silence,
}

#[derive(Debug)]
enum SpeakerEnd {
    Device,
    Wav(WavRecording),
    Nowhere,
}

impl Sound {
    /// Reads or creates the files and tries the devices, so that what cannot work is said before any call.
    ///
    /// # Errors
    /// When a file or a device cannot be used.
    pub fn open(microphone: MicrophoneChoice, speaker: SpeakerChoice, notify: Notify) -> Result<Self, SoundError> {
        let mut devices = Devices::default();
        let microphone = match microphone {
            MicrophoneChoice::Default => {
                devices.microphone = Some(None);
                MicrophoneEnd::Device
            }
            MicrophoneChoice::Named(name) => {
                devices.microphone = Some(Some(name));
                MicrophoneEnd::Device
            }
            MicrophoneChoice::Wav(path) => MicrophoneEnd::Wav(WavSound::read(&path)?),
            MicrophoneChoice::Silence => MicrophoneEnd::Silence,
        };
        let wav_speaker = match speaker {
            SpeakerChoice::Default => {
                devices.speaker = Some(None);
                None
            }
            SpeakerChoice::Named(name) => {
                devices.speaker = Some(Some(name));
                None
            }
            SpeakerChoice::Wav(path) => Some(Some(path)),
            SpeakerChoice::Nowhere => Some(None),
        };
        try_devices(&devices)?;
        // Only now, so that nothing is left behind when a device is missing.
        let speaker = match wav_speaker {
            None => SpeakerEnd::Device,
            Some(None) => SpeakerEnd::Nowhere,
            Some(Some(path)) => SpeakerEnd::Wav(WavRecording::create(&path)?),
        };
        let needs_devices = devices.microphone.is_some() || devices.speaker.is_some();
        let supervisor = needs_devices.then(|| Supervisor::start(devices, notify)).transpose()?;
        Ok(Self { ends: Ends::Chosen { microphone, speaker }, supervisor })
    }

    /// The loop of `undertone echo`: no device, every call hears itself.
    #[must_use]
    pub fn echo() -> Self {
        Self { ends: Ends::Echo, supervisor: None }
    }

    /// Opens the sound of one call; devices follow as soon as they are open.
    pub fn begin_call(&mut self) -> CallSound {
        let (sender, changes) = sync_channel(CHANGES);
        let (microphone, speaker): (Box<dyn Microphone>, Box<dyn Speaker>) = match &self.ends {
            Ends::Echo => {
                let (microphone, speaker) = echo::pair();
                (Box::new(microphone), Box::new(speaker))
            }
            Ends::Chosen { microphone, speaker } => (
                match microphone {
                    MicrophoneEnd::Wav(sound) => Box::new(sound.microphone()),
                    MicrophoneEnd::Device | MicrophoneEnd::Silence => Box::new(Silence::default()),
                },
                match speaker {
                    SpeakerEnd::Wav(recording) => Box::new(recording.speaker()),
                    SpeakerEnd::Device | SpeakerEnd::Nowhere => Box::new(Nowhere::default()),
                },
            ),
        };
        if let Some(supervisor) = &self.supervisor {
            supervisor.open(sender);
        }
        CallSound { microphone, speaker, changes }
    }

    /// Closes the devices.
    pub fn end_call(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.close();
        }
    }

    /// Closes everything and completes the recording.
    ///
    /// # Errors
    /// When the recording could not be written.
    pub fn finish(self) -> Result<(), SoundError> {
        drop(self.supervisor);
        match self.ends {
            Ends::Chosen { speaker: SpeakerEnd::Wav(recording), .. } => recording.finish(),
            Ends::Chosen { .. } | Ends::Echo => Ok(()),
        }
    }
}

fn try_devices(devices: &Devices) -> Result<(), SoundError> {
    if let Some(name) = &devices.microphone {
        drop(open_microphone(&device::find(End::Microphone, name.as_deref())?, FIRST_BLOCK_FRAMES)?);
    }
    if let Some(name) = &devices.speaker {
        drop(open_speaker(&device::find(End::Speaker, name.as_deref())?, FIRST_BLOCK_FRAMES)?);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn files_replace_devices_and_need_no_thread() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard.wav");
        let mut sound =
            Sound::open(MicrophoneChoice::Silence, SpeakerChoice::Wav(heard.clone()), Box::new(|_| {})).unwrap();
        assert!(sound.supervisor.is_none());
        let mut call = sound.begin_call();
        let start = Instant::now();
        call.speaker.start(start);
        for ms in 0..100 {
            let now = start + Duration::from_millis(ms);
            let wanted = call.speaker.wanted(now);
            call.speaker.write(&vec![0.1; wanted], now);
        }
        drop(call);
        sound.end_call();
        sound.finish().unwrap();
        assert_eq!(hound::WavReader::open(heard).unwrap().len(), 4800);
    }

    #[test]
    fn a_missing_file_leaves_no_recording_behind() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard.wav");
        let microphone = MicrophoneChoice::Wav(folder.path().join("missing.wav"));
        assert!(Sound::open(microphone, SpeakerChoice::Wav(heard.clone()), Box::new(|_| {})).is_err());
        assert!(!heard.exists());
    }
}

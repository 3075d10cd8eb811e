//! Why there is no sound, in one sentence each.

use std::path::PathBuf;

use thiserror::Error;

/// Which end of the sound is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Sound into the phone.
    Microphone,
    /// Sound out of the phone.
    Speaker,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}

impl End {
    /// The option of the command line that chooses this end.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Microphone => "--mic",
            Self::Speaker => "--speaker",
        }
    }
}

/// Why a microphone or a speaker cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SoundError {
    /// No sound system, or one without such a device.
    #[error("no {0} was found on this machine: connect one, or give a file with {opt} FILE.wav", opt = .0.option())]
    None(End),
    /// A name that no device has.
    #[error("there is no {end} named \"{name}\": `undertone devices` lists the names")]
    Unknown {
        /// Which end.
        end: End,
        /// What was asked for.
        name: String,
    },
    /// Another program holds it.
    #[error("the {0} is in use by another program: close that program, or choose another device with {opt}", opt = .0.option())]
    Busy(End),
    /// The system does not let us.
    #[error("this user may not use the {0}: add the user to the group `audio`, or allow it in the system's settings")]
    Forbidden(End),
    /// It exists and cannot be opened.
    #[error("the {end} cannot be opened ({why}): choose another one with {opt}", opt = .end.option())]
    Unusable {
        /// Which end.
        end: End,
        /// The sound system's own words.
        why: String,
    },
    /// A WAV file that cannot be read.
    #[error("{}: cannot be read as a WAV file ({why}): --mic needs an uncompressed PCM or float WAV file", path.display())]
    ReadWav {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A WAV file that is too long.
    #[error("{}: is longer than {limit_minutes} minutes: cut it for --mic", path.display())]
    LongWav {
        /// The file.
        path: PathBuf,
        /// The longest accepted.
        limit_minutes: u32,
    },
    /// A WAV file that cannot be written.
    #[error("{}: cannot be written ({why}): choose a writable place for --speaker", path.display())]
    WriteWav {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The thread that watches the devices could not be started.
    #[error("the sound thread could not be started ({0}): close some programs and try again")]
    Thread(String),
}

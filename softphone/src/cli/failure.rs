//! What ends a command early, and with which exit code.

use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;
use undertone_config::ConfigError;

use crate::audio::SoundError;
use crate::keeping::contacts_file::ChangeError;
use crate::keeping::error::KeptError;
use crate::keeping::keystore::KeystoreError;
use crate::net::tls::ConnectError;

/// Why a command did not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The call did not come about; the events have said why.
    #[error("the call did not happen")]
    NoCall,
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The contacts were not changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The keystore does not give the identity's passphrase.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The keystore's passphrase is not the one of the file.
    #[error(
        "the passphrase in the keystore of your desktop session does not open {}: if you put an exported copy there, \
         give its passphrase with --passphrase-file FILE",
        file.display()
    )]
    OtherKeystore {
        /// The identity file.
        file: PathBuf,
    },
    /// A passphrase was given for an identity that the keystore opens.
    #[error(
        "{} is opened by the keystore of your desktop session and not by the passphrase that was given: leave out \
         --passphrase-file and UNDERTONE_PASSPHRASE",
        file.display()
    )]
    InKeystore {
        /// The identity file.
        file: PathBuf,
    },
    /// An identity is kept and nobody gave the passphrase.
    #[error(
        "your identity is locked and there is no terminal to ask for its passphrase at: give --passphrase-file FILE or \
         set UNDERTONE_PASSPHRASE"
    )]
    Locked,
    /// A sound device or file cannot be used.
    #[error(transparent)]
    Sound(#[from] SoundError),
    /// The gateway cannot be reached or trusted.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The gateway refused the account, or something else a person has to change.
    #[error("{0}")]
    Refused(String),
    /// An argument or answer cannot be used.
    #[error("{0}")]
    Argument(String),
    /// The address for direct calls cannot be used.
    #[error("--direct {address}: cannot be listened on ({why}): give a free address and port of this machine")]
    Direct {
        /// As typed.
        address: String,
        /// The system's words.
        why: io::Error,
    },
    /// Nothing can be asked because nobody is there.
    #[error("{0} is missing and there is no terminal to ask at: give it as an option, see `undertone setup --help`")]
    NobodyToAsk(&'static str),
    /// Standard input or output broke.
    #[error("reading or writing failed ({0}): try again")]
    Output(#[source] io::Error),
    /// The system refused something every program gets.
    #[error("the phone could not be started ({0}): close some programs and try again")]
    System(#[source] io::Error),
}

impl Failure {
    /// The program's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCall => 1,
            Self::Config(_)
            | Self::Kept(_)
            | Self::Change(_)
            | Self::Keystore(_)
            | Self::OtherKeystore { .. }
            | Self::InKeystore { .. }
            | Self::Locked
            | Self::Sound(_)
            | Self::Connect(_)
            | Self::Refused(_)
            | Self::Argument(_)
            | Self::Direct { .. }
            | Self::NobodyToAsk(_)
            | Self::Output(_)
            | Self::System(_) => 2,
        }
    }

    /// The sentence, without the numbers the system adds to its own words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let text = self.to_string();
        let mut parts = text.split(" (os error ");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |said, part| said + part.split_once(')').map_or("", |(_, rest)| rest))
    }

    /// Says it: in one sentence, or as one JSON object among the others.
    pub fn tell(&self, json: bool, out: &mut impl Write, err: &mut impl Write) {
        if matches!(self, Self::NoCall) {
            // The last event has said it already.
            return;
        }
        // Nothing more can be done when nobody can be told.
        let _ = if json {
            writeln!(out, "{}", serde_json::json!({ "event": "failed", "sentence": self.sentence() }))
        } else {
            writeln!(err, "undertone: {}", self.sentence())
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_or_one_json_line() {
        let failure = Failure::Argument("bob has no gateway".into());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        failure.tell(false, &mut out, &mut err);
        assert_eq!((out.as_slice(), err.as_slice()), (&b""[..], &b"undertone: bob has no gateway\n"[..]));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        failure.tell(true, &mut out, &mut err);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["event"], "failed");
        assert!(err.is_empty());
        let system = Failure::System(io::Error::from_raw_os_error(24)).sentence();
        assert!(!system.contains("os error") && system.ends_with("close some programs and try again"), "{system}");
        assert_eq!((failure.exit_code(), Failure::NoCall.exit_code()), (2, 1));
    }
}
